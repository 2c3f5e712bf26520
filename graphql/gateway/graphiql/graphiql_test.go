package graphiql

import (
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
)

func get(t *testing.T, path string, header ...string) *http.Response {
	t.Helper()
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", Page)
	mux.Handle("GET /graphiql/{file}", Assets())
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, nil)
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	mux.ServeHTTP(w, r)
	return w.Result()
}

// Everything that the page loads is in the binary, packed for clients that unpack and plain for others.
func TestThePageIsComplete(t *testing.T) {
	page := get(t, "/")
	html, _ := io.ReadAll(page.Body)
	if csp := page.Header.Get("Content-Security-Policy"); !strings.Contains(csp, "default-src 'none'") {
		t.Errorf("got Content-Security-Policy %q", csp)
	}
	if strings.Contains(string(html), "//") {
		t.Errorf("the page loads from elsewhere:\n%s", html)
	}
	links := regexp.MustCompile(`(?:href|src)="([^"]*)"`).FindAllStringSubmatch(string(html), -1)
	if len(links) < 6 {
		t.Fatalf("got %d links in\n%s", len(links), html)
	}
	for _, link := range links {
		plain := get(t, "/"+link[1])
		body, err := io.ReadAll(plain.Body)
		if plain.StatusCode != http.StatusOK || err != nil || len(body) < 50 || body[0] == 0x1f {
			t.Errorf("%s: status %d, %d bytes, %v", link[1], plain.StatusCode, len(body), err)
		}
		if media := plain.Header.Get("Content-Type"); strings.HasSuffix(link[1], ".js") != strings.HasPrefix(media,
			"text/javascript") {
			t.Errorf("%s: got Content-Type %q", link[1], media)
		}
	}
	if packed := get(t, "/graphiql/graphiql.js", "Accept-Encoding",
		"gzip"); packed.Header.Get("Content-Encoding") != "gzip" || packed.Header.Get("Vary") != "Accept-Encoding" {
		t.Errorf("got %v", packed.Header)
	}
}

func TestWhatIsNoAsset(t *testing.T) {
	for _, path := range []string{"/graphiql/none.js", "/graphiql/..%2fgraphiql.go", "/graphiql/.."} {
		if got := get(t, path); got.StatusCode == http.StatusOK {
			t.Errorf("%s was served", path)
		}
	}
}
