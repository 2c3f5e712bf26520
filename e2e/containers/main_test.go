//go:build e2e

package containers

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/catalyst-router/catalyst/e2e/dockerd"
	"github.com/catalyst-router/catalyst/e2e/lab"
)

func TestMain(m *testing.M) { os.Exit(dockerd.Apart(m.Run)) }

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// root is the module's directory.
const root = "../.."

// program builds one of the module's programs as a static one.
func program(t *testing.T, pkg string) string {
	t.Helper()
	out := filepath.Join(t.TempDir(), filepath.Base(pkg))
	cmd := exec.CommandContext(t.Context(), "go", "build", "-o", out, pkg)
	cmd.Dir, cmd.Env = root, append(os.Environ(), "CGO_ENABLED=0")
	if said, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build %s: %v %s", pkg, err, said)
	}
	return out
}

// engine starts a Docker Engine that ends with the test.
func engine(t *testing.T) *dockerd.Engine {
	t.Helper()
	e, err := dockerd.Start(t.Context())
	must(t, err)
	t.Cleanup(func() { must(t, e.Stop()) })
	return e
}

// node starts a node beside the engine.
func node(t *testing.T, flags ...string) *lab.Node {
	t.Helper()
	binary, err := lab.Binary(root)
	must(t, err)
	l, err := lab.New(t.Context(), binary, "acme.example")
	must(t, err)
	t.Cleanup(func() {
		if t.Failed() {
			log, _ := os.ReadFile(filepath.Join(l.Dir, "a", "node.log"))
			t.Logf("node a:\n%s", log[max(0, len(log)-6000):])
		}
		must(t, l.Close())
	})
	n, err := l.Add(t.Context(), "a", flags...)
	must(t, err)
	return n
}

// offered waits until a node offers what is wanted: NAME ADDRESS… (FOUND BY; FOUND IN), by name.
func offered(t *testing.T, n *lab.Node, want ...string) {
	t.Helper()
	must(t, n.Offers(t.Context(), want...))
}

// status waits until the node says of its only source what is wanted.
func status(t *testing.T, n *lab.Node, want func(s lab.Source) error) {
	t.Helper()
	must(t, lab.Eventually(t.Context(), "the status of discovery", func(ctx context.Context) error {
		all, err := n.Sources(ctx)
		if err != nil {
			return err
		}
		if err := want(all[0]); err != nil {
			return fmt.Errorf("%w: %+v", err, all[0])
		}
		return nil
	}))
}

// restart restarts a node, over which its Envoy and its peers go on.
func restart(t *testing.T, n *lab.Node) {
	t.Helper()
	must(t, n.Stop(syscall.SIGTERM))
	must(t, n.Start(t.Context()))
}
