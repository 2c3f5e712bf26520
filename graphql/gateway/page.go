package gateway

import "net/http"

func (g *Gateway) wantsPage(*http.Request) bool { return false }

func servePage(http.ResponseWriter, *http.Request) {}
