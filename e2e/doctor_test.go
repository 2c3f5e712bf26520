//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/catalyst-router/catalyst/e2e/lab"
)

// doctor examines a node and returns what it found, in one line each.
func doctor(ctx context.Context, n *lab.Node, flags ...string) (string, error) {
	out, err := n.CLI(ctx, append([]string{"doctor", "--identity", filepath.Join(n.Dir, "identity"), "--data",
		filepath.Join(n.Dir, "data"), "--peering-listen", n.Peering, "--envoy-ingress", n.Ingress, "--envoy-egress", n.Egress,
		"--admin", n.Admin, "--gateway-listen", n.Gateway, "-o", "json"}, flags...)...)
	var found []struct{ Check, State, Where, What, Advice string }
	if err := json.Unmarshal([]byte(out), &found); err != nil {
		return out, fmt.Errorf("%w: %s", err, out)
	}
	var lines []string
	for _, f := range found {
		if f.State == "wrong" && f.Advice == "" {
			err = fmt.Errorf("no advice: %v", f)
		}
		lines = append(lines, f.Check+" "+f.State+" "+f.Where+": "+f.What)
	}
	return strings.Join(lines, "\n"), err
}

// A sound node has nothing wrong, running and not; then one thing after the other is broken, and named.
func TestDoctor(t *testing.T) {
	l, err := lab.New(t.Context(), binary(t), "acme.example")
	must(t, err)
	t.Cleanup(func() { must(t, l.Close()) })
	must(t, l.StartAuth(t.Context()))
	server := nameserver()
	a, err := l.Add(t.Context(), "a", "--dns", server+":53")
	must(t, err)
	b, err := l.Add(t.Context(), "b")
	must(t, err)
	must(t, lab.Peer(t.Context(), a, b))
	_, err = a.CLI(t.Context(), "route", "add", "db", "-p", "tcp", "--addr", "127.0.0.1:5432")
	must(t, err)
	dns := []string{"--dns", server + ":53"}
	says := func(what string, wrong bool, parts ...string) {
		t.Helper()
		must(t, lab.Eventually(t.Context(), what, func(ctx context.Context) error {
			text, err := doctor(ctx, a, dns...)
			if (err != nil) != wrong {
				return fmt.Errorf("exit status: %w; %s", err, text)
			}
			for _, p := range parts {
				if !strings.Contains(text, p) {
					return fmt.Errorf("got\n%s\nwant %s", text, p)
				}
			}
			return nil
		}))
	}
	// Nobody set up split DNS on this machine; all else is sound.
	sound := []string{"node ok the node: it runs and serves", "files ok", "clock ok the identity service at " + l.Auth,
		"clock ok acme.example/b at " + b.Ingress, "peers ok acme.example/b at " + b.Peering + ": it is reached",
		"ports ok peering.listen " + a.Peering + ": the node listens there", "ports ok envoy.ingress " + a.Ingress + ": " +
			"Envoy",
		"envoy ok", "certificates ok", "journal ok", "disk ok", "dns ok " + server + ":53: the node answers for acme.example"}
	says("a sound node without split DNS", false, append(sound, "dns warning db.acme.example: this machine's resolver "+
		"does not ask the node")...)

	dns = nil // looking a name up that is not there takes this machine's resolver a while

	key := filepath.Join(a.Dir, "identity", "key.pem")
	must(t, os.Chmod(key, 0o644)) //nolint:gosec // that is what is tried
	says("a key that others may read", true, "files wrong "+key+": others may read or write it (mode 0644)")
	must(t, os.Chmod(key, 0o600))

	must(t, b.Stop(syscall.SIGTERM))
	says("a peer that is down", true, "peers wrong acme.example/b at "+b.Peering+": it takes no connection")
	imposter, err := net.Listen("tcp", b.Peering)
	must(t, err)
	go func() { // ends with the listener
		for {
			c, err := imposter.Accept()
			if err != nil {
				return
			}
			_ = c.Close()
		}
	}()
	says("something else in the place of a peer", true, "peers wrong acme.example/b at "+b.Peering+": TLS fails")
	must(t, imposter.Close())

	must(t, a.Stop(syscall.SIGINT))
	squatter, err := net.Listen("tcp", a.Ingress)
	must(t, err)
	says("a port that is taken", true, "node ok this machine: no node answers", "ports wrong envoy.ingress "+a.Ingress+
		": process "+fmt.Sprint(os.Getpid()), "ports ok peering.listen "+a.Peering+": it is free")
	must(t, squatter.Close())

	must(t, l.StopAuth(syscall.SIGTERM))
	says("an identity service that is away", true, "clock unknown the identity service at "+l.Auth)

	journal := filepath.Join(a.Dir, "data", "journal.db")
	must(t, os.WriteFile(journal, []byte(strings.Repeat("no database ", 400)), 0o600))
	says("a journal that is none", true, "journal wrong "+journal)
	must(t, os.RemoveAll(filepath.Join(a.Dir, "identity")))
	says("no identity", true, "certificates wrong "+filepath.Join(a.Dir, "identity"))
}
