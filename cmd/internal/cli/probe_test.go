package cli

import (
	"bytes"
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"github.com/catalyst-router/catalyst/cmd/internal/cli/console"
)

// What serves is told from what does not, over TCP and over a Unix socket.
func TestProbe(t *testing.T) {
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/readyz" {
			http.Error(w, "not ready: no Envoy", http.StatusServiceUnavailable)
		}
	})
	srv := httptest.NewServer(h)
	defer srv.Close()
	socket := filepath.Join(t.TempDir(), "s.sock")
	l, err := net.Listen("unix", socket) //nolint:noctx // at once
	if err != nil {
		t.Fatal(err)
	}
	over := &http.Server{Handler: h} //nolint:gosec // it ends with the test
	go func() { _ = over.Serve(l) }()
	defer func() { _ = over.Close() }()
	at := strings.TrimPrefix(srv.URL, "http://")
	for _, c := range []struct {
		args []string
		want string // of the error; "" for none
	}{
		{[]string{srv.URL + "/readyz"}, ""},
		{[]string{srv.URL + "/other"}, "503 Service Unavailable: not ready: no Envoy"},
		{[]string{"tcp://" + at}, ""},
		{[]string{"tcp://127.0.0.1:1"}, "connection refused"},
		{[]string{"--unix", socket, "http://envoy/readyz"}, ""},
		{[]string{"--unix", socket, "tcp://any:0"}, ""},
		{[]string{"--unix", socket + "x", "http://envoy/readyz"}, "no such file"},
		{[]string{"ftp://" + at}, "want http://HOST:PORT/PATH or tcp://HOST:PORT"},
	} {
		var out, said bytes.Buffer
		code := Main(context.Background(), append([]string{"probe"}, c.args...),
			console.IO{Out: &out, Err: &said, In: nil}, "test")
		if (code == 0) != (c.want == "") || !strings.Contains(said.String(), c.want) {
			t.Errorf("%v: exit %d, %s, want %q", c.args, code, said.String(), c.want)
		}
	}
}
