package localports

import (
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"

	"github.com/catalyst-router/catalyst/bgp"
	"github.com/catalyst-router/catalyst/bgp/journal"
	"github.com/catalyst-router/catalyst/envoy/addresses"
	"github.com/catalyst-router/catalyst/xds"
)

// disk is a journal whose disk may be full.
type disk struct {
	*journal.Journal
	full bool
}

func (d *disk) SavePorts(ctx context.Context, put []journal.Port, drop []bgp.Service) error {
	if d.full {
		return journal.ErrFull
	}
	return d.Journal.SavePorts(ctx, put, drop)
}

func newDisk(t *testing.T) *disk {
	t.Helper()
	j, err := journal.Open(t.Context(), filepath.Join(t.TempDir(), "journal.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = j.Close() })
	return &disk{Journal: j}
}

func open(t *testing.T, d *disk, had []xds.Resource) (*Book, []xds.Resource) {
	t.Helper()
	none := addresses.NewTable(addresses.Range{}, false)
	b, again, err := Open(t.Context(), []uint16{10001, 10002}, none, d, had, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return b, again
}

func tcp(svc bgp.Service) xds.Forwarding {
	return xds.Forwarding{
		Service:  svc,
		Protocol: bgp.TCP,
		Tiers:    [][]xds.Target{{{Backend: xds.Backend{Address: "127.0.0.1:1"}}}},
	}
}

// allot gives a batch its ports, and says which: "a:10001 b:none".
func allot(t *testing.T, b *Book, batch ...xds.Forwarding) string {
	t.Helper()
	served, problems := b.Allot(t.Context(), batch)
	var words []string
	for _, f := range served {
		words = append(words, string(f.Service)+":"+map[uint16]string{0: "0", 10001: "10001", 10002: "10002"}[f.Port])
	}
	for _, p := range problems {
		words = append(words, string(p.Service)+":none")
	}
	return strings.Join(words, " ")
}

// listener is what Envoy has of a TCP service at a port.
func listener(t *testing.T, svc bgp.Service, port uint16) xds.Resource {
	t.Helper()
	c := xds.NewCompiler(xds.Config{Self: bgp.NodeID{Org: "acme.example", Name: "a"}, Egress: "127.0.0.1:1"})
	f := tcp(svc)
	f.Port = port
	d, problems := c.Apply(xds.Change{Services: []xds.Forwarding{f}})
	for _, r := range d.Set {
		if _, _, ok := xds.LocalPort(&r); ok {
			return r
		}
	}
	t.Fatalf("no listener: %v", problems)
	return xds.Resource{}
}

func TestPortsAreKeptOverARestart(t *testing.T) {
	d := newDisk(t)
	b, _ := open(t, d, nil)
	if got := allot(t, b, tcp("zeta"), xds.Forwarding{Service: "web", Protocol: bgp.HTTP, Down: []bgp.NodeID{{}}},
		tcp("alpha"), tcp("late")); got != "zeta:10001 web:0 alpha:10002 late:none" {
		t.Error(got)
	}
	b, _ = open(t, d, nil)
	if got := allot(t, b, tcp("alpha"), tcp("zeta")); got != "alpha:10002 zeta:10001" {
		t.Error(got)
	}
	if got := allot(t, b, xds.Forwarding{Service: "zeta"}, xds.Forwarding{Service: "alpha"}); got != "zeta:0 alpha:0" {
		t.Error(got)
	}
	select {
	case <-b.Changed():
	default:
		t.Error("nobody is told that a service is away")
	}
	if err := b.Keep(t.Context()); err != nil {
		t.Fatal(err)
	}
	kept, err := d.Ports(t.Context())
	if err != nil || len(kept) != 2 || kept[0].Away.IsZero() {
		t.Errorf("kept %+v, %v", kept, err)
	}
}

// A full disk stops no service: its port is given, and written down with the next.
func TestAFullDisk(t *testing.T) {
	d := newDisk(t)
	b, _ := open(t, d, nil)
	d.full = true
	if got := allot(t, b, tcp("zeta")); got != "zeta:10001" {
		t.Error(got)
	}
	if err := b.Pin(t.Context(), "alpha", 10002); !errors.Is(err, journal.ErrFull) {
		t.Errorf("an operator is not told that the disk is full: %v", err)
	}
	d.full = false
	if err := b.Keep(t.Context()); err != nil {
		t.Fatal(err)
	}
	b, _ = open(t, d, nil)
	if got := allot(t, b, tcp("alpha"), tcp("zeta")); got != "alpha:10002 zeta:10001" {
		t.Error(got)
	}
}

// Whatever Envoy was given before a restart and gets again is what the node says: what nothing was kept of is taken
// over, what was kept otherwise is not given.
func TestEnvoysLastStateAndTheNodesWord(t *testing.T) {
	d := newDisk(t)
	if err := d.Journal.SavePorts(t.Context(), []journal.Port{{Service: "zeta", Port: 10001}}, nil); err != nil {
		t.Fatal(err)
	}
	other := xds.Resource{Type: xds.TypeCluster, Name: "http/web"}
	_, again := open(t, d, []xds.Resource{listener(t, "zeta", 10002), listener(t, "mu", 10001), other})
	if len(again) != 1 || again[0].Name != other.Name {
		t.Errorf("given again: %v", again)
	}
	b, again := open(t, d, []xds.Resource{listener(t, "zeta", 10001), listener(t, "alpha", 10002)})
	if len(again) != 2 || b.Of("alpha") != 10002 || b.Of("zeta") != 10001 {
		t.Errorf("given again: %v; alpha at %d, zeta at %d", again, b.Of("alpha"), b.Of("zeta"))
	}
}
