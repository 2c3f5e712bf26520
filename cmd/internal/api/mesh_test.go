package api

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/Khan/genqlient/graphql"

	"github.com/catalyst-router/catalyst/auth/disk"
	"github.com/catalyst-router/catalyst/auth/identity"
)

// A node asks another by its own certificate, in the caller's name: what the caller proved himself with does not
// leave the node.
func TestTheCallersTokenStaysHere(t *testing.T) {
	dir := t.TempDir()
	if err := disk.InitCA(filepath.Join(dir, "ca"), "acme.example"); err != nil {
		t.Fatal(err)
	}
	authority, err := disk.LoadCA(filepath.Join(dir, "ca"))
	if err != nil {
		t.Fatal(err)
	}
	sources := map[string]*identity.Source{}
	for _, name := range []string{"a", "b"} {
		if _, _, err := disk.IssueNode(authority, filepath.Join(dir, name), name, time.Hour); err != nil {
			t.Fatal(err)
		}
		if sources[name], err = identity.Open(filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	b, err := NewMesh(t.Context(), MeshConfig{
		Node:     sources["b"].Material().Node,
		Identity: sources["b"],
		Log:      slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.listener.Close() })
	var seen http.Header
	answers := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		seen = r.Header.Clone()
		if body, _ := io.ReadAll(r.Body); !strings.Contains(string(body), "node") {
			http.Error(w, "the body is gone", http.StatusBadRequest)
			return
		}
		_, _ = io.WriteString(w, `{"data":{}}`)
	})
	at := httptest.NewServer(b.permitted(answers))
	t.Cleanup(at.Close)
	envoy := strings.TrimPrefix(at.URL, "http://")
	a, err := NewMesh(t.Context(), MeshConfig{
		Node:     sources["a"].Material().Node,
		Identity: sources["a"],
		Log:      slog.New(slog.DiscardHandler),
		Egress:   envoy,
		Client:   http.DefaultClient,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = a.listener.Close() })
	ask := func(ctx context.Context) error {
		c, err := a.Client(ctx, "acme.example/b")
		if err != nil {
			return err
		}
		return c.MakeRequest(ctx, &graphql.Request{Query: "{ node { id } }"}, &graphql.Response{Data: &struct{}{}})
	}
	if err := ask(t.Context()); err == nil {
		t.Error("it asks in nobody's name")
	}
	if err := ask(context.WithValue(t.Context(), callerKey{}, "ada")); err != nil {
		t.Fatal(err)
	}
	if got := seen.Get("Authorization"); !strings.HasPrefix(got, identity.VoucherScheme+" ") ||
		strings.Contains(got, "Bearer") {
		t.Errorf("the other node sees %.40s…", got)
	}
	for name, header := range map[string]string{"what was used before": seen.Get("Authorization"),
		"nonsense": identity.VoucherScheme + " x.y.z"} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, at.URL+"/graphql",
			strings.NewReader("{ node { id } }"))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", header)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if resp.StatusCode != http.StatusUnauthorized {
			t.Errorf("%s: %d", name, resp.StatusCode)
		}
	}
}
