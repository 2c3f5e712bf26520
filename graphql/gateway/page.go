package gateway

import "net/http"

// wantsPage reports whether a request is a browser's that opens the endpoint itself: it likes HTML better than what
// operations answer with.
func (g *Gateway) wantsPage(r *http.Request) bool {
	if g.cfg.Page == nil || r.Method != http.MethodGet && r.Method != http.MethodHead {
		return false
	}
	return prefersHTML(r.Header)
}
