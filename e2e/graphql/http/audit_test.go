//go:build e2e

package http

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"syscall"
	"testing"

	"github.com/catalyst-router/catalyst/e2e/examples/books"
	"github.com/catalyst-router/catalyst/graphql/subgraph"
	"github.com/catalyst-router/catalyst/graphql/supergraph"
)

// every is how many audits there are; fewer would mean that some were not run.
const every = 61

func TestAudits(t *testing.T) {
	install(t)
	url := gateway(t, "--supergraph", supergraphFile(t))
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

// install gets the packages that package-lock.json names.
func install(t *testing.T) {
	t.Helper()
	if _, err := os.Stat("node_modules"); err == nil {
		return
	}
	if out, err := exec.CommandContext(t.Context(), "npm", "ci", "--no-audit", "--no-fund").CombinedOutput(); err != nil {
		t.Fatalf("npm ci: %v\n%s", err, out)
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
	res := supergraph.Compose([]supergraph.Subgraph{{Name: "books", URL: srv.URL + "/graphql", SDL: sdl}}, supergraph.Options{})
	if res.Errors != nil {
		t.Fatal(res.Errors)
	}
	file := filepath.Join(t.TempDir(), "supergraph.graphql")
	if err := os.WriteFile(file, []byte(res.SDL), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// gateway starts the real command and returns the URL of its endpoint when it is ready.
func gateway(t *testing.T, args ...string) string {
	t.Helper()
	binary, err := filepath.Abs("../../../bin/catalyst")
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(context.Background(), binary, append([]string{"gateway", "--listen", "127.0.0.1:0"}, args...)...)
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatalf("start %s (make build makes it): %v", binary, err)
	}
	t.Cleanup(func() {
		if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
			t.Error(err)
		}
		if err := cmd.Wait(); err != nil {
			t.Errorf("the gateway ended with: %v", err)
		}
	})
	up := regexp.MustCompile(`gateway is up.*listen=(\S+)`)
	lines := bufio.NewScanner(stderr)
	for lines.Scan() {
		if m := up.FindStringSubmatch(lines.Text()); m != nil {
			go func() { _, _ = io.Copy(io.Discard, stderr) }() // ends with the process
			if _, _, err := net.SplitHostPort(m[1]); err != nil {
				t.Fatal(err)
			}
			return fmt.Sprintf("http://%s/graphql", m[1])
		}
		t.Log(lines.Text())
	}
	t.Fatal("the gateway ended before it was up")
	return ""
}
