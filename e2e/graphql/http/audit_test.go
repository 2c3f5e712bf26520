//go:build e2e

package http

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/catalyst-router/catalyst/e2e/examples/books"
	"github.com/catalyst-router/catalyst/e2e/graphql/process"
	"github.com/catalyst-router/catalyst/graphql/subgraph"
	"github.com/catalyst-router/catalyst/graphql/supergraph"
)

// every is how many audits there are; fewer would mean that some were not run.
const every = 61

func TestAudits(t *testing.T) {
	process.Install(t)
	url := process.Gateway(t, io.Discard, "--supergraph", supergraphFile(t)) + "/graphql"
	node := exec.CommandContext(t.Context(), "node", "audit.mjs", url)
	var stderr bytes.Buffer
	node.Stderr = &stderr
	out, err := node.Output()
	if err != nil {
		t.Fatalf("node audit.mjs: %v\n%s", err, stderr.String())
	}
	n := 0
	for dec := json.NewDecoder(bytes.NewReader(out)); ; n++ {
		var audit struct{ ID, Name, Status, Reason string }
		if err := dec.Decode(&audit); err == io.EOF {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		if audit.Status != "ok" {
			t.Errorf("%s %s: %s: %s", audit.ID, audit.Name, audit.Status, audit.Reason)
		}
	}
	if n != every {
		t.Errorf("%d audits were run, want %d", n, every)
	}
}

// supergraphFile composes the example books into a file.
func supergraphFile(t *testing.T) string {
	t.Helper()
	srv := httptest.NewServer(books.Handler())
	t.Cleanup(srv.Close)
	sdl, _, err := subgraph.Fetch(t.Context(), http.DefaultClient, srv.URL+"/graphql", nil)
	if err != nil {
		t.Fatal(err)
	}
	res := supergraph.Compose([]supergraph.Subgraph{{Name: "books", URL: srv.URL + "/graphql", SDL: sdl}},
		supergraph.Options{})
	if res.Errors != nil {
		t.Fatal(res.Errors)
	}
	file := filepath.Join(t.TempDir(), "supergraph.graphql")
	if err := os.WriteFile(file, []byte(res.SDL), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}
