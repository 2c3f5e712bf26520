//go:build e2e

package planning

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/vektah/gqlparser/v2/ast"
	"golang.org/x/tools/txtar"

	"github.com/catalyst-router/catalyst/e2e/graphql/process"
	"github.com/catalyst-router/catalyst/graphql/plan/graph"
)

// TestProcess runs the gateway as people do: with a supergraph that Apollo's composer made, and from the URLs of
// subgraphs.
func TestProcess(t *testing.T) {
	o := start(t)
	ar, err := txtar.ParseFile("testdata/shop.txtar")
	if err != nil {
		t.Fatal(err)
	}
	q := question{World: "shop"}
	var queries []ask
	for _, f := range ar.Files {
		switch name, kind, _ := strings.Cut(f.Name, "."); kind {
		case "graphql":
			w := wire{Name: name, SDL: string(f.Data)}
			if library := strings.Trim(strings.SplitN(w.SDL, "\n", 2)[0], "# "); library != "plain" {
				w.Library = library
			}
			q.Subgraphs = append(q.Subgraphs, w)
		case "query":
			queries = append(queries, ask{name, string(f.Data), nil})
		}
	}
	theirs := o.ask(t, q)
	if theirs.Supergraph == "" {
		t.Fatal(string(theirs.Errors[0]))
	}
	file := filepath.Join(t.TempDir(), "supergraph.graphql")
	if err := os.WriteFile(file, []byte(theirs.Supergraph), 0o600); err != nil {
		t.Fatal(err)
	}
	g, err := graph.Read(theirs.Supergraph)
	if err != nil {
		t.Fatal(err)
	}
	queries = append(queries, madeUp(g.Schema, 60)...)
	var flags []string
	for name, url := range theirs.URLs {
		flags = append(flags, "--subgraph", name+"="+url)
	}
	for name, url := range map[string]string{"supergraph": catalyst(t, "--supergraph", file),
		"subgraphs": catalyst(t, flags...)} {
		t.Run(name, func(t *testing.T) {
			for _, q := range queries {
				same(t, o, url, q)
			}
		})
	}
}

type ask struct {
	name, text string
	variables  map[string]any
}

// madeUp are operations by chance.
func madeUp(schema *ast.Schema, n int) []ask {
	r := rand.New(rand.NewPCG(*seed, 7))
	var out []ask
	for i := range n {
		text, variables := operation(r, schema)
		out = append(out, ask{fmt.Sprint("chance", i), text, variables})
	}
	return out
}

// same fails if an answer is not the monolith's.
func same(t *testing.T, o oracle, url string, q ask) {
	t.Helper()
	want := o.ask(t, question{Query: q.text, Variables: q.variables})
	if want.Invalid != nil {
		return
	}
	body := text(question{Query: q.text, Variables: q.variables})
	status, raw := post(t, url, body)
	var got answer
	if err := json.Unmarshal(raw, &got); err != nil {
		t.Fatalf("%s: %v: %s", q.name, err, raw)
	}
	if status != http.StatusOK || !bytes.Equal(got.Data, want.Data) || (len(got.Errors) > 0) != (len(want.Errors) > 0) {
		t.Errorf("%s: %s %s\ngot  %d %s %s\nwant %s %s\ntheir %s\n%s", q.name, q.text, text(q.variables), status, got.Data,
			got.Errors, want.Data, want.Errors, want.Plan, strings.Join(want.Requests, "\n"))
	}
}

func post(t *testing.T, url, body string) (int, []byte) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, raw
}

// catalyst starts the real command and returns the URL of its endpoint when it is ready.
func catalyst(t *testing.T, args ...string) string {
	t.Helper()
	url := process.Gateway(t, os.Stderr, args...)
	ready(t, url+"/readyz")
	return url + "/graphql"
}

// ready waits until the gateway has a graph.
func ready(t *testing.T, url string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	for {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode == http.StatusOK {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatal("the gateway is not ready")
		case <-time.After(20 * time.Millisecond):
		}
	}
}
