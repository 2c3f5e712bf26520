package gateway

import "net/http"

func (g *Gateway) wantsPage(*http.Request) bool { return false }

func servePage(http.ResponseWriter, *http.Request) {}

// Page serves GraphiQL for the endpoint at path.
func Page(_ string) http.Handler { return http.HandlerFunc(servePage) }
