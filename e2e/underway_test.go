//go:build e2e

package e2e

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"testing"
	"time"

	"github.com/catalyst-router/catalyst/e2e/examples"
	"github.com/catalyst-router/catalyst/e2e/lab"
)

// soonEnds is how long what is under way may go on after its right has ended; revocations are followed at once.
const soonEnds = 10 * time.Second

// held is a TCP connection that stays.
type held struct {
	conn net.Conn
	r    *bufio.Reader
}

func hold(t *testing.T, n *lab.Node, service string) *held {
	t.Helper()
	var out *held
	must(t, lab.Eventually(t.Context(), service+" answers at "+n.Name, func(ctx context.Context) error {
		at, err := n.TCPPort(ctx, service)
		if err != nil {
			return err
		}
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", at)
		if err != nil {
			return err
		}
		if out = (&held{conn, bufio.NewReader(conn)}); !out.alive() {
			_ = conn.Close()
			return fmt.Errorf("%s at %s does not answer", service, n.Name)
		}
		return nil
	}))
	t.Cleanup(func() { _ = out.conn.Close() })
	return out
}

func (h *held) alive() bool {
	_ = h.conn.SetDeadline(time.Now().Add(5 * time.Second))
	if _, err := io.WriteString(h.conn, "hello\n"); err != nil {
		return false
	}
	_, err := h.r.ReadString('\n')
	return err == nil
}

// ends waits until a connection is closed by the other side.
func (h *held) ends(t *testing.T, why string) {
	t.Helper()
	began := time.Now()
	_ = h.conn.SetReadDeadline(began.Add(soonEnds))
	_, err := h.r.ReadString('\n')
	if nerr, ok := err.(net.Error); err == nil || ok && nerr.Timeout() { //nolint:errorlint // of a net.Conn itself
		t.Fatalf("%s: the connection goes on: %v", why, err)
	}
	t.Logf("%s: ended after %s", why, time.Since(began).Round(time.Millisecond))
}

// The connections of a peer that is removed, and those of a node that is revoked, end within seconds; that of another
// peer goes on.
func TestConnectionsEndWithTheirRight(t *testing.T) {
	t.Parallel()
	l := members(t, "acme.example", "a c d e", nil)
	n := func(name string) *lab.Node { return l.Nodes[name] }
	for _, peer := range []string{"c", "d", "e"} {
		must(t, lab.Peer(t.Context(), n("a"), n(peer)))
	}
	lines, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	go func() { _ = examples.ServeLines(t.Context(), lines, "lines") }()
	_, err = n("a").CLI(t.Context(), "route", "add", "lines", "--addr", lines.Addr().String(), "-p", "tcp")
	must(t, err)
	c, d, e := hold(t, n("c"), "lines"), hold(t, n("d"), "lines"), hold(t, n("e"), "lines")
	_, err = n("a").CLI(t.Context(), "peer", "remove", "c")
	must(t, err)
	c.ends(t, "c was removed")
	if !d.alive() || !e.alive() {
		t.Fatal("a connection of another peer has ended")
	}
	_, err = l.OrgCLI(t.Context(), "org", "revoke-node", "e")
	must(t, err)
	e.ends(t, "e was revoked")
	if !d.alive() {
		t.Fatal("a connection of another peer has ended")
	}
	hold(t, n("d"), "lines")
}
