// Package graphiql serves GraphiQL, the GraphQL editor for browsers, out of the binary: nothing is loaded from
// elsewhere. The page asks the endpoint `graphql` beside it, and loads its assets from `graphiql/` beside it, so that
// it works below a prefix as well:
//
//	mux.HandleFunc("GET /{$}", graphiql.Page)
//	mux.Handle("GET /graphiql/{file}", graphiql.Assets())
package graphiql

import (
	"compress/gzip"
	"embed"
	"io"
	"net/http"
	"path"
	"strings"
)

//go:embed assets
var assets embed.FS //nolint:gochecknoglobals // embed wants a variable

// policy lets the page load and ask nothing but its own origin. GraphiQL sets styles from scripts, and its fonts are
// data in its style sheet.
const policy = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; font-src 'self' data:; " +
	"img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// Page serves the page.
func Page(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Security-Policy", policy)
	w.Header().Set("Referrer-Policy", "no-referrer")
	w.Header().Set("Cache-Control", "no-cache")
	serve(w, r, "page.html")
}

// Assets serves what the page loads, by the path value "file".
func Assets() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "max-age=3600")
		serve(w, r, r.PathValue("file"))
	})
}

// serve sends a file. Large ones are embedded compressed, and unpacked for clients that do not take gzip.
func serve(w http.ResponseWriter, r *http.Request, name string) {
	if name != path.Base(name) {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Type", mediaType(name))
	w.Header().Set("X-Content-Type-Options", "nosniff")
	if f, err := assets.Open("assets/" + name); err == nil {
		send(w, f)
		return
	}
	f, err := assets.Open("assets/" + name + ".gz")
	if err != nil {
		w.Header().Del("Content-Type")
		w.Header().Del("Cache-Control")
		http.NotFound(w, r)
		return
	}
	w.Header().Add("Vary", "Accept-Encoding")
	if strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
		w.Header().Set("Content-Encoding", "gzip")
		send(w, f)
		return
	}
	z, err := gzip.NewReader(f)
	if err != nil { // assets are ours
		http.Error(w, "the asset cannot be unpacked", http.StatusInternalServerError)
		return
	}
	send(w, z)
}

func send(w io.Writer, from io.ReadCloser) {
	_, _ = io.Copy(w, from) // the client may have gone
	_ = from.Close()
}

func mediaType(name string) string {
	switch path.Ext(name) {
	case ".html":
		return "text/html; charset=utf-8"
	case ".js":
		return "text/javascript; charset=utf-8"
	case ".css":
		return "text/css; charset=utf-8"
	}
	return "text/plain; charset=utf-8"
}
