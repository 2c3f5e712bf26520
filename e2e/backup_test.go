//go:build e2e

package e2e

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/catalyst-router/catalyst/e2e/lab"
)

// lose kills a node and its Envoy, and deletes all that they had.
func lose(t *testing.T, n *lab.Node) {
	t.Helper()
	must(t, n.Stop(syscall.SIGKILL))
	n.KillEnvoy()
	for _, dir := range []string{"identity", "data"} {
		must(t, os.RemoveAll(filepath.Join(n.Dir, dir)))
	}
}

// backedUp backs up a node that runs, and verifies the backup.
func backedUp(t *testing.T, n *lab.Node, file string, key ...string) {
	t.Helper()
	_, err := n.CLI(t.Context(), append([]string{"backup", "node", file, "--identity", filepath.Join(n.Dir, "identity"),
		"--data", filepath.Join(n.Dir, "data")}, key...)...)
	must(t, err)
	_, err = n.CLI(t.Context(), append([]string{"backup", "verify", file}, key...)...)
	must(t, err)
}

// Machines are lost with all that was on them, and put back from their backups: the same identity, the same ports, the
// same services, and calls go through.
func TestLostMachines(t *testing.T) {
	l, err := lab.New(t.Context(), binary(t), "acme.example")
	must(t, err)
	t.Cleanup(func() { must(t, l.Close()) })
	must(t, l.StartAuth(t.Context()))
	node := map[string]*lab.Node{}
	for _, name := range []string{"a", "b"} {
		node[name], err = l.Add(t.Context(), name)
		must(t, err)
	}
	a, b := node["a"], node["b"]
	must(t, lab.Peer(t.Context(), a, b))
	offer(t, a, "books", "one")
	offer(t, b, "films", "two")
	_, err = b.CLI(t.Context(), "route", "add", "db", "-p", "tcp", "--addr", "127.0.0.1:5432")
	must(t, err)
	served := func(after string) (port string) {
		t.Helper()
		must(t, lab.Eventually(t.Context(), "calls after "+after, func(ctx context.Context) error {
			for _, call := range []struct {
				at   *lab.Node
				name string
			}{{b, "books"}, {a, "films"}} {
				if status, body, err := call.at.Get(ctx, call.name+".acme.example", "/books"); err != nil || status != 200 {
					return errors.Join(fmt.Errorf("%s at %s: %d %s", call.name, call.at.Name, status, body), err)
				}
			}
			port, err = a.TCPPort(ctx, "db.acme.example")
			return err
		}))
		return port
	}
	port := served("the start")
	dir := t.TempDir()
	key := filepath.Join(dir, "key")
	_, err = l.Run(t.Context(), "backup", "key", key)
	must(t, err)
	locked := []string{"--key", key}
	file := func(name string) string { return filepath.Join(dir, name) }

	// Lost at once: it goes on as the same.
	before, err := os.ReadFile(filepath.Join(a.Dir, "identity", "svid.pem"))
	must(t, err)
	backedUp(t, a, file("a"), locked...)
	lose(t, a)
	_, err = a.CLI(t.Context(), append([]string{"restore", file("a")}, locked...)...)
	must(t, err)
	must(t, a.Start(t.Context()))
	if again := served("the loss of a"); again != port {
		t.Errorf("the port of db.acme.example is %s, and was %s", again, port)
	}
	after, err := os.ReadFile(filepath.Join(a.Dir, "identity", "svid.pem"))
	must(t, err)
	if string(after) != string(before) {
		t.Error("a has another certificate")
	}
	_, err = a.CLI(t.Context(), "renew")
	must(t, err)
	if _, err := a.CLI(t.Context(), append([]string{"restore", file("a")}, locked...)...); err == nil ||
		!strings.Contains(err.Error(), "in use") {
		t.Errorf("a restore over a node that runs: %v", err)
	}

	// Lost after it renewed: the backup is taken for a copy, and said to be one, until an operator admits it.
	lose(t, a)
	_, err = a.CLI(t.Context(), append([]string{"restore", file("a")}, locked...)...)
	must(t, err)
	must(t, a.Start(t.Context()))
	if _, err := a.CLI(t.Context(), "renew"); err == nil || !strings.Contains(err.Error(), "somebody else has renewed") {
		t.Errorf("an identity of before: %v", err)
	}
	members, err := l.OrgCLI(t.Context(), "org", "nodes")
	must(t, err)
	if !strings.Contains(members, "copied") {
		t.Errorf("no alarm: %s", members)
	}
	lose(t, a)
	token, err := l.OrgCLI(t.Context(), "org", "join-token", "--node", "a")
	must(t, err)
	_, err = a.CLI(t.Context(), append([]string{"restore", file("a"), "--join", strings.TrimSpace(token)}, locked...)...)
	must(t, err)
	must(t, a.Start(t.Context()))
	if again := served("the second loss of a"); again != port {
		t.Errorf("the port of db.acme.example is %s, and was %s", again, port)
	}
	members, err = l.OrgCLI(t.Context(), "org", "nodes")
	must(t, err)
	if strings.Contains(members, "copied") {
		t.Errorf("the alarm stays: %s", members)
	}

	// The identity service is lost, and both nodes have renewed since its backup: they are no copies.
	org := []string{"backup", "org", file("org"), "--dir", l.OrgDir()}
	_, err = l.Run(t.Context(), append(org, locked...)...)
	must(t, err)
	for _, n := range node {
		_, err = n.CLI(t.Context(), "renew")
		must(t, err)
	}
	must(t, l.StopAuth(syscall.SIGKILL))
	must(t, os.RemoveAll(l.OrgDir()))
	_, err = l.Run(t.Context(), append([]string{"restore", file("org")}, locked...)...)
	must(t, err)
	must(t, l.StartAuth(t.Context()))
	for range 2 {
		for _, n := range node {
			_, err = n.CLI(t.Context(), "renew")
			must(t, err)
		}
	}
	if again := served("the loss of the identity service"); again != port {
		t.Errorf("the port of db.acme.example is %s, and was %s", again, port)
	}
	// Revocations reach whoever heard of later ones than the backup knows.
	_, err = l.OrgCLI(t.Context(), "org", "revoke-node", "a")
	must(t, err)
	must(t, lab.Eventually(t.Context(), "b hears that a is revoked", func(ctx context.Context) error {
		out, err := b.CLI(ctx, "peer", "list")
		if err == nil && strings.Contains(out, "Established") {
			err = fmt.Errorf("the session is there: %s", out)
		}
		return err
	}))
}
