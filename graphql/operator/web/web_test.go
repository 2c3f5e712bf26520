package web

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/catalyst-router/catalyst/auth/secret"
)

func handler(t *testing.T, token secret.Text) http.Handler {
	t.Helper()
	api := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(`{"data":{}}`)) })
	h, err := Handler(Config{API: api, Token: token, Hosts: []string{"localhost", "127.0.0.1", "::1"}})
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func TestWhoIsAnswered(t *testing.T) {
	h := handler(t, secret.NewText("right"))
	for _, c := range []struct {
		method, path, host, bearer string
		want                       int
	}{
		{"GET", "/", "localhost:9480", "", 200},
		{"GET", "/app.js", "127.0.0.1:9480", "", 200},
		{"GET", "/pages/map.js", "[::1]:9480", "", 200},
		{"GET", "/nowhere", "localhost", "", 404},
		{"POST", "/graphql", "LOCALHOST:9480", "Bearer right", 200},
		{"POST", "/graphql", "localhost", "", 401},
		{"POST", "/graphql", "localhost", "Bearer wrong", 401},
		{"POST", "/graphql", "localhost", "Bearer ", 401},
		{"POST", "/graphql", "localhost", "right", 401},
		{"GET", "/graphql", "localhost", "Bearer right", 404},
		{"POST", "/mesh", "localhost", "Bearer right", 404}, // a node that asks no others
		{"POST", "/mesh", "localhost", "Bearer wrong", 401},
		{"POST", "/mesh", "evil.example", "Bearer right", 421},
		{"POST", "/graphql", "evil.example", "Bearer right", 421},
		{"GET", "/", "localhost.evil.example", "", 421},
		{"GET", "/", "", "", 421},
	} {
		r := httptest.NewRequest(c.method, "http://x"+c.path, strings.NewReader("{}"))
		r.Host = c.host
		if c.bearer != "" {
			r.Header.Set("Authorization", c.bearer)
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code != c.want {
			t.Errorf("%s %s, Host %q, %q: %d, want %d", c.method, c.path, c.host, c.bearer, w.Code, c.want)
		}
		if c.want != 421 && w.Header().Get("Content-Security-Policy") != policy {
			t.Errorf("%s %s has no policy", c.method, c.path)
		}
	}
}

// A page without a token would let everybody in: it is not served at all.
func TestNoTokenNoPage(t *testing.T) {
	if _, err := Handler(Config{API: http.NotFoundHandler()}); err == nil {
		t.Error("served without a token")
	}
}

// The token is kept over restarts, is for its owner alone, and is another one once its file is gone. A file that was
// cut short is replaced.
func TestKeptToken(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "web-token")
	first, err := KeptToken(dir)
	if err != nil || len(first.Reveal()) < 43 {
		t.Fatalf("%d characters, %v", len(first.Reveal()), err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	if again, err := KeptToken(dir); err != nil || again != first {
		t.Errorf("another token after a restart: %v", err)
	}
	for name, spoil := range map[string]func() error{
		"removed":   func() error { return os.Remove(path) },
		"cut short": func() error { return os.WriteFile(path, []byte("abc"), 0o600) },
	} {
		if err := spoil(); err != nil {
			t.Fatal(err)
		}
		if other, err := KeptToken(dir); err != nil || other == first || len(other.Reveal()) < 43 {
			t.Errorf("%s: the same token, or none: %v", name, err)
		}
	}
	if err := KeepLink(dir, "http://127.0.0.1:1", first); err != nil {
		t.Fatal(err)
	}
	if link, err := Link(dir); err != nil || link.Reveal() != "http://127.0.0.1:1/#token="+first.Reveal() {
		t.Errorf("%v", err)
	}
	if _, err := Link(t.TempDir()); err == nil || !strings.Contains(err.Error(), "--web") {
		t.Errorf("got %v", err)
	}
}
