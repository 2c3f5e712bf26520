package gateway

import (
	"cmp"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// CORS says which pages of other origins may read answers. The zero value allows none.
type CORS struct {
	// Origins such as https://app.example. "*" allows all of them, without credentials.
	Origins []string
	// Credentials lets pages send cookies and certificates along. It has no effect on "*".
	Credentials bool
	// Headers that pages may send besides Content-Type and the headers of CSRF prevention.
	Headers []string
	// Expose are headers of answers that pages may read.
	Expose []string
	// MaxAge is how long browsers keep the permission. Zero means 10 minutes.
	MaxAge time.Duration
}

// allows reports whether pages of an origin may read answers.
func (c *CORS) allows(origin string) bool {
	return origin != "" && (slices.Contains(c.Origins, origin) || slices.Contains(c.Origins, "*"))
}

// apply adds what the answer to any request needs.
func (c *CORS) apply(h http.Header, r *http.Request) {
	if len(c.Origins) == 0 {
		return
	}
	h.Add("Vary", "Origin")
	origin := r.Header.Get("Origin")
	if !c.allows(origin) {
		return
	}
	if slices.Contains(c.Origins, origin) {
		h.Set("Access-Control-Allow-Origin", origin)
		if c.Credentials {
			h.Set("Access-Control-Allow-Credentials", "true")
		}
	} else {
		h.Set("Access-Control-Allow-Origin", "*")
	}
	if len(c.Expose) > 0 {
		h.Set("Access-Control-Expose-Headers", strings.Join(c.Expose, ", "))
	}
}

// preflight answers OPTIONS.
func (c *CORS) preflight(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Allow", "GET, POST, OPTIONS")
	if c.allows(r.Header.Get("Origin")) && r.Header.Get("Access-Control-Request-Method") != "" {
		h.Set("Access-Control-Allow-Methods", "GET, POST")
		h.Set("Access-Control-Allow-Headers",
			strings.Join(append(append([]string{"Content-Type", "Authorization"}, preflightHeaders()...), c.Headers...), ", "))
		h.Set("Access-Control-Max-Age", strconv.Itoa(int(cmp.Or(c.MaxAge, 10*time.Minute).Seconds())))
	}
	w.WriteHeader(http.StatusNoContent)
}

// CSRF is the prevention of cross-site request forgery. Browsers send some requests of a foreign page without asking
// first: GET, and POST with the content types of forms. Such a request is refused unless it carries a header that a
// page cannot send without asking (preflightHeaders), or comes from the gateway's own origin or one that CORS allows,
// or shows no sign of a browser.
type CSRF struct {
	// Off lets all of them through.
	Off bool
	// Strict wants the header of everybody, browser or not.
	Strict bool
}

// preflightHeaders make a browser ask before it sends a request; their values do not matter.
func preflightHeaders() []string {
	return []string{"GraphQL-Require-Preflight", "Apollo-Require-Preflight", "X-Apollo-Operation-Name", "X-Requested-With"}
}

// check returns why a request is refused, or nil.
func (c *CSRF) check(r *http.Request, cors *CORS) *failure {
	if c.Off || !simple(r) || slices.ContainsFunc(preflightHeaders(),
		func(name string) bool { return r.Header.Get(name) != "" }) {
		return nil
	}
	if !c.Strict && (sameOrigin(r) || cors.allows(r.Header.Get("Origin")) || r.Method == http.MethodGet && !browser(r)) {
		return nil
	}
	return refuse(http.StatusForbidden, CodeCSRF,
		"The request could have been sent by a page of another site: send it with the header %s.", preflightHeaders()[0])
}

// simple reports whether a browser sends such a request without asking
// (https://fetch.spec.whatwg.org/#cors-safelisted-method).
func simple(r *http.Request) bool {
	mediaType, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil {
		return true
	}
	switch mediaType {
	case "application/x-www-form-urlencoded", "multipart/form-data", "text/plain":
		return true
	}
	return false
}

// sameOrigin reports whether the browser says that the request comes from the gateway's own pages, or from the person
// in front of it.
func sameOrigin(r *http.Request) bool {
	switch r.Header.Get("Sec-Fetch-Site") {
	case "same-origin", "none":
		return true
	}
	u, err := url.Parse(r.Header.Get("Origin"))
	return err == nil && u.Host != "" && strings.EqualFold(u.Host, r.Host)
}

// browser reports whether a request shows a sign of a browser.
func browser(r *http.Request) bool {
	return r.Header.Get("Sec-Fetch-Site") != "" || r.Header.Get("Origin") != "" || r.Header.Get("Cookie") != "" ||
		strings.HasPrefix(r.Header.Get("User-Agent"), "Mozilla/")
}
