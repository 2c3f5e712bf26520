//go:build e2e

package e2e

import (
	"context"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/grpc"

	"github.com/catalyst-router/catalyst/e2e/lab"
)

// A workload that speaks TLS is ordered with how it is known, is checked over TLS, and called; a trace of one that was
// ordered without TLS, or over the wrong protocol, says what it speaks and what to order, and that helps.
func TestWorkloadsOverTLSAndTheWrongProtocol(t *testing.T) {
	t.Parallel()
	_, n := world(t, "a c", "a-c")
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, "over TLS")
	}))
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.StartTLS()
	t.Cleanup(s.Close)
	ca := filepath.Join(t.TempDir(), "ca.pem")
	must(t, os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}), 0o600))
	at := s.Listener.Addr().String()
	cli := func(args ...string) string {
		t.Helper()
		out, err := n("a").CLI(t.Context(), args...)
		must(t, err)
		return out
	}
	cli("route", "add", "books", "--addr", at, "-p", "https", "--tls-ca", ca, "--tls-name", "example.com", "--health", "/",
		"--idle-timeout", "2s")
	cli("route", "add", "films", "--addr", at)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	rpc := grpc.NewServer()
	go func() { _ = rpc.Serve(l) }()
	t.Cleanup(rpc.Stop)
	cli("route", "add", "stock", "--addr", l.Addr().String())
	called := func(svc, want string) {
		t.Helper()
		must(t, lab.Eventually(t.Context(), svc+" answers", func(ctx context.Context) error {
			code, body, err := n("c").Get(ctx, svc+".acme.example", "/")
			if err != nil || code != 200 || body != want {
				return fmt.Errorf("%d %q: %w", code, body, err)
			}
			return nil
		}))
	}
	called("books", "over TLS")
	prints(t, n("c"), "TLS 1.3, certificate of example.com", "trace", "books")
	if out := cli("route", "list", "--local"); !strings.Contains(out, "http over TLS") {
		t.Errorf("route list --local:\n%s", out)
	}
	traced := func(svc string, want ...string) {
		t.Helper()
		out, _ := n("c").CLI(t.Context(), "trace", svc) // it fails: something is broken
		for _, w := range want {
			if !strings.Contains(out, w) {
				t.Errorf("trace %s says no %q:\n%s", svc, w, out)
			}
		}
	}
	traced("films", "it speaks HTTP/1.1 over TLS", "catalyst route update films.acme.example -p https with --tls-ca")
	traced("stock", "it speaks HTTP/2, the service is ordered as HTTP/1.1",
		"catalyst route update stock.acme.example -p grpc")
	cli("route", "update", "films", "-p", "https", "--tls-ca", ca)
	called("films", "over TLS")
	out, err := n("a").CLI(t.Context(), "route", "update", "films", "-p", "https", "--tls-ca", "none")
	if err == nil || !strings.Contains(out+err.Error(), "want tlsCa") {
		t.Errorf("nobody to be known: %s %v", out, err)
	}
}
