//go:build e2e

package e2e

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/catalyst-router/catalyst/auth/identity"
	"github.com/catalyst-router/catalyst/bgp"
	"github.com/catalyst-router/catalyst/bgp/peering"
	"github.com/catalyst-router/catalyst/bgp/speaker"
	"github.com/catalyst-router/catalyst/e2e/lab"
)

const bgpHoldTime = bgp.DefaultHoldTime

// source runs a router in this process, as a peer of a node that it dials.
func source(t *testing.T, l *lab.Lab, at *lab.Node) *peering.Router {
	t.Helper()
	dir := filepath.Join(l.Dir, "source")
	_, err := l.Run(t.Context(), "org", "issue-node", "source", "--dir", filepath.Join(l.Dir, "org"), "--out", dir)
	must(t, err)
	src, err := identity.Open(dir)
	must(t, err)
	_, err = at.CLI(t.Context(), "peer", "add", "source")
	must(t, err)
	r := peering.New(peering.Config{
		Speaker:  speaker.Config{Self: src.Material().Node, BootID: 1, Ingress: "127.0.0.1:1"},
		Identity: src,
		Log:      slog.New(slog.DiscardHandler),
	})
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- r.Run(ctx, nil) }()
	t.Cleanup(func() { stop(); must(t, <-ended) })
	must(t, r.Do(t.Context(), speaker.PeerSet{
		Peer: speaker.Peer{Node: bgp.NodeID{Org: bgp.Org(l.Org), Name: at.Name}, Addresses: []string{at.Peering}},
	}))
	return r
}

// told is what a node knows of the services of the source, by its round.
func told(ctx context.Context, n *lab.Node) (map[string]string, error) {
	var routes []struct {
		Service string
		Paths   []struct{ Region string }
	}
	err := n.JSON(ctx, &routes, "route", "list")
	all := map[string]string{}
	for _, r := range routes {
		if name, _, _ := strings.Cut(r.Service, "."); strings.HasPrefix(name, "big") {
			all[name] = r.Paths[0].Region
		}
	}
	return all, err
}

// A node hangs with its sockets open while megabytes of changes wait for it. Its peers hear each of them, and what is
// new reaches their Envoys at once; its own Envoy goes on with what it has; and when it goes on, it has exactly what
// the others have, over the session that it had.
func TestSlowReader(t *testing.T) {
	l, n := world(t, "b c d", "b-c b-d")
	offer(t, n("b"), "books", "one")
	answers(t, n("c"), "books", "one")
	answers(t, n("d"), "books", "one")
	src := source(t, l, n("b"))
	const services, rounds = 150, 6
	bulk := make([]string, bgp.MaxTags)
	for i := range bulk {
		bulk[i] = fmt.Sprintf("%02d", i) + strings.Repeat("x", bgp.MaxTagLength-2)
	}
	must(t, n("d").Pause())
	t.Cleanup(func() { _ = n("d").Resume() })
	for round := range rounds { // a megabyte each
		for i := range services {
			a := bgp.Attributes{Protocol: bgp.HTTP, Region: fmt.Sprint("round-", round), Tags: bulk, MED: uint32(i)}
			must(t, src.Do(t.Context(), speaker.LocalSet{
				Service:    bgp.Service(fmt.Sprintf("big%d.acme.example", i)),
				Attributes: a,
			}))
		}
		// else the source would send only the last one
		must(t, lab.Eventually(t.Context(), "c has heard the round", func(ctx context.Context) error {
			got, err := told(ctx, n("c"))
			if last := fmt.Sprintf("big%d", services-1); err == nil && got[last] != fmt.Sprint("round-", round) {
				err = fmt.Errorf("%s is of %q", last, got[last])
			}
			return err
		}))
	}
	for i := range services / 2 {
		must(t, src.Do(t.Context(), speaker.LocalRemoved{Service: bgp.Service(fmt.Sprintf("big%d.acme.example", 2*i))}))
	}
	want := map[string]string{}
	for i := range services / 2 {
		want[fmt.Sprintf("big%d", 2*i+1)] = fmt.Sprint("round-", rounds-1)
	}
	exact := func(at string) {
		t.Helper()
		must(t, lab.Eventually(t.Context(), at+" has exactly the newest", func(ctx context.Context) error {
			got, err := told(ctx, n(at))
			if diff := cmp.Diff(want, got); err == nil && diff != "" {
				err = errors.New(diff)
			}
			return err
		}))
	}
	exact("c")
	offer(t, n("b"), "films", "two") // while it hangs
	answers(t, n("c"), "films", "two")
	if status, _, err := n("d").Get(t.Context(), "books.acme.example", "/books"); err != nil || status != 200 {
		t.Errorf("its Envoy: %d %v", status, err)
	}
	var v struct {
		State    string
		Sessions int
		Pending  int
	}
	must(t, n("b").JSON(t.Context(), &v, "peer", "show", "d"))
	if v.Pending == 0 || v.State != "Established" {
		t.Errorf("nothing waits for it at b: %+v", v)
	}
	must(t, n("d").Resume())
	exact("d")
	answers(t, n("d"), "films", "two")
	must(t, n("b").JSON(t.Context(), &v, "peer", "show", "d"))
	if v.Sessions != 1 {
		t.Errorf("%d sessions, want the first to stand", v.Sessions)
	}
}
