//go:build e2e

package containers

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/catalyst-router/catalyst/e2e/dockerd"
	"github.com/catalyst-router/catalyst/e2e/lab"
)

// all boots the larger Compose files as well: make compose-test.
var all = flag.Bool("all", false, "boot every Compose file") //nolint:gochecknoglobals // a flag

// composer boots them: Debian's Compose 1.29, or another.
var composer = flag.String("compose", "docker-compose", "program that boots Compose files") //nolint:gochecknoglobals

// image makes the image of the Compose files from what is built here: compose/node.Dockerfile wants a registry.
func image(t *testing.T, e *dockerd.Engine) {
	t.Helper()
	envoy := os.Getenv("CATALYST_ENVOY")
	if envoy == "" {
		t.Fatal("CATALYST_ENVOY is not set: make e2e does")
	}
	binary, err := lab.Binary(root)
	must(t, err)
	files := map[string]string{
		"/catalyst": binary, "/serve": program(t, "./e2e/examples/serve"), "/usr/local/bin/envoy": envoy,
	}
	for _, dir := range []string{"org", "data", "identity", "join", "authz"} {
		files["/"+dir] = ""
	}
	linked, err := exec.CommandContext(t.Context(), "ldd", envoy).Output()
	must(t, err)
	for _, lib := range regexp.MustCompile(`/\S+`).FindAllString(string(linked), -1) {
		files[lib], err = filepath.EvalSymlinks(lib)
		must(t, err)
	}
	must(t, e.Import(t.Context(), "catalyst-node", files, "USER 65532:65532", "ENV CATALYST_ENVOY=/usr/local/bin/envoy",
		`ENTRYPOINT ["/catalyst"]`))
}

// project is a Compose file that runs.
type project struct {
	t    *testing.T
	e    *dockerd.Engine
	file string
}

func (p *project) compose(args ...string) (string, error) {
	return p.e.Exec(p.t.Context(), nil, *composer, append([]string{"-f", p.file}, args...)...)
}

// up boots a Compose file with the one command that its head says, and waits until every part of it is healthy.
func up(t *testing.T, e *dockerd.Engine, file string) *project {
	t.Helper()
	p := &project{t, e, filepath.Join(root, "compose", file)}
	t.Cleanup(func() {
		if t.Failed() {
			logs, _ := e.Exec(context.Background(), nil, *composer, "-f", p.file, "logs", "--no-color", "--tail", "15")
			t.Logf("%s", logs[max(0, len(logs)-12000):])
		}
		_, err := e.Exec(context.Background(), nil, *composer, "-f", p.file, "down", "-v", "-t", "1")
		must(t, err)
	})
	_, err := p.compose("up", "-d", "--no-build")
	must(t, err)
	p.healthy()
	return p
}

// part is what docker inspect says of a container.
type part struct {
	Name  string
	State struct {
		Status   string
		ExitCode int
		Health   *struct{ Status string }
	}
	Config     struct{ User string }
	HostConfig struct {
		ReadonlyRootfs       bool
		CapDrop, SecurityOpt []string
		Privileged           bool
		RestartPolicy        struct{ Name string }
	}
}

// healthy waits until everything that runs on is healthy and everything else has ended well; and nobody has more rights
// than he needs.
func (p *project) healthy() {
	p.t.Helper()
	must(p.t, lab.Eventually(p.t.Context(), p.file+" is healthy", func(ctx context.Context) error {
		ids, err := p.compose("ps", "-q")
		if err != nil {
			return err
		}
		out, err := p.e.CLI(ctx, append([]string{"inspect"}, strings.Fields(ids)...)...)
		if err != nil {
			return err
		}
		var parts []part
		if err := json.Unmarshal([]byte(out), &parts); err != nil {
			return err
		}
		for _, c := range parts {
			switch once := c.HostConfig.RestartPolicy.Name == "no"; {
			case c.Config.User != "65532:65532" || !c.HostConfig.ReadonlyRootfs || c.HostConfig.Privileged ||
				strings.Join(c.HostConfig.CapDrop, " ") != "ALL" ||
				!strings.Contains(strings.Join(c.HostConfig.SecurityOpt, " "), "no-new-privileges"):
				p.t.Fatalf("%s has more rights than it needs: %+v", c.Name, c)
			case once && (c.State.Status != "exited" || c.State.ExitCode != 0):
				return fmt.Errorf("%s is %s (%d)", c.Name, c.State.Status, c.State.ExitCode)
			case !once && (c.State.Health == nil || c.State.Health.Status != "healthy"):
				return fmt.Errorf("%s is %s, and not healthy", c.Name, c.State.Status)
			}
		}
		return nil
	}))
}

// graphql asks an endpoint in the tests' network, under a name, until it answers what is wanted.
func graphql(t *testing.T, address, host, query, want string) {
	t.Helper()
	body, err := json.Marshal(map[string]string{"query": query})
	must(t, err)
	must(t, lab.Eventually(t.Context(), query+" at "+address, func(ctx context.Context) error {
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+address+"/graphql", bytes.NewReader(body))
		if err != nil {
			return err
		}
		req.Host = host
		req.Header.Set("Content-Type", "application/json")
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return err
		}
		defer func() { _ = resp.Body.Close() }()
		got, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
		if err == nil && !strings.Contains(string(got), want) {
			err = fmt.Errorf("%s %s, want %s", resp.Status, got, want)
		}
		return err
	}))
}

// The Compose files of one node and of two boot with one command, hardened and healthy, and a call crosses them: over
// the edge with its policy, the gateway, an Envoy of the node's, or two, to the examples.
func TestCompose(t *testing.T) {
	e := engine(t)
	image(t, e)
	t.Run("single", func(t *testing.T) {
		p := up(t, e, "single.yaml")
		graphql(t, "127.0.0.1:4000", "", "{ books { title } }", `"data":{"books":[{"title":`)
		graphql(t, "127.0.0.1:8080", "orders.acme.example", "{ __typename }", `"Query"`)
		req, err := http.NewRequestWithContext(t.Context(), http.MethodDelete, "http://127.0.0.1:4000/graphql", nil)
		must(t, err)
		resp, err := http.DefaultClient.Do(req)
		must(t, err)
		must(t, resp.Body.Close())
		if resp.StatusCode != http.StatusForbidden {
			t.Errorf("what no policy permits is answered %s at the edge", resp.Status)
		}
		// The same command again, as after a change of the file, is as good.
		_, err = p.compose("up", "-d", "--no-build")
		must(t, err)
		p.healthy()
		graphql(t, "127.0.0.1:4000", "", "{ books { title } }", `"data":{"books":[{"title":`)
	})
	if *all {
		t.Run("three nodes", func(t *testing.T) {
			up(t, e, "three-node.yaml")
			graphql(t, "127.0.0.1:8080", "books.acme.example", "{ books { title } }", `"title":`)
			graphql(t, "127.0.0.1:4000", "", "{ books { title } }", `"data":{"books":[{"title":`)
		})
		t.Run("organisations", func(t *testing.T) {
			p := up(t, e, "orgs.yaml")
			graphql(t, "127.0.0.1:8080", "books.acme.example", "{ books { title } }", `"title":`)
			_, err := p.compose("up", "-d", "--no-build")
			must(t, err)
			p.healthy()
		})
	}
	t.Run("two nodes", func(t *testing.T) {
		up(t, e, "two-node.yaml")
		graphql(t, "127.0.0.1:8080", "books.acme.example", "{ books { title } }", `"title":`)
		graphql(t, "127.0.0.1:4000", "", "{ books { title } }", `"data":{"books":[{"title":`)
	})
}
