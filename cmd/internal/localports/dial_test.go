package localports

import (
	"errors"
	"log/slog"
	"net/netip"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/catalyst-router/catalyst/bgp"
	"github.com/catalyst-router/catalyst/envoy/addresses"
	"github.com/catalyst-router/catalyst/xds"
)

const ownRange = "127.1.2.0/24" // small, so that names with one address are soon found

func openOwn(t *testing.T, had ...xds.Resource) (*Book, []xds.Resource) {
	t.Helper()
	r, err := addresses.Parse(ownRange)
	if err != nil {
		t.Fatal(err)
	}
	pool := []uint16{10001, 10002, 10003}
	b, again, err := Open(t.Context(), pool, addresses.NewTable(r, false), newDisk(t), had, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return b, again
}

// twins are two names with one address.
func twins(t *testing.T) (first, second bgp.Service) {
	t.Helper()
	r, err := addresses.Parse(ownRange)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[netip.Addr]bgp.Service{}
	for c := byte('a'); ; c++ {
		for d := byte('a'); d <= 'z'; d++ {
			svc := bgp.Service([]byte{c, d}) + ".acme.example"
			if other := seen[r.Of(svc)]; other != "" {
				return other, svc
			}
			seen[r.Of(svc)] = svc
		}
	}
}

func named(svc bgp.Service, port uint16) xds.Forwarding {
	f := tcp(svc)
	f.ServicePort = port
	return f
}

// dialled is the listener of a service's own address.
func dialled(t *testing.T, f xds.Forwarding) xds.Resource {
	t.Helper()
	c := xds.NewCompiler(xds.Config{Self: bgp.NodeID{Org: "acme.example", Name: "a"}, Egress: "127.0.0.1:1"})
	d, problems := c.Apply(xds.Change{Services: []xds.Forwarding{f}})
	i := slices.IndexFunc(d.Set, func(r xds.Resource) bool { _, _, ok := xds.DialAddress(&r); return ok })
	if i < 0 {
		t.Fatalf("no listener: %v", problems)
	}
	return d.Set[i]
}

// Two names of one address and port: the first is served, the second keeps its local port and says whose the address
// is; a restart changes nothing of that, whichever comes first then; when the first is gone, the second gets it.
func TestTwoNamesOfOneAddress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		first, second := twins(t)
		b, _ := openOwn(t)
		served, _ := b.Allot(t.Context(), []xds.Forwarding{named(first, 5432), named(second, 5432)})
		var taken *addresses.TakenError
		if _, err := b.Dial(second); !errors.As(err, &taken) || taken.Holder != first || len(served) != 2 ||
			served[1].Port == 0 || served[1].Dial.IsValid() {
			t.Fatalf("the second: %v, %+v", err, served)
		}
		was := dialled(t, served[0])

		b, again := openOwn(t, was)
		if len(again) != 1 {
			t.Error("Envoy is not given the listener again that it had")
		}
		_, _ = b.Allot(t.Context(), []xds.Forwarding{named(second, 5432)})
		_, _ = b.Allot(t.Context(), []xds.Forwarding{named(first, 5432)})
		if at, err := b.Dial(first); at != served[0].Dial || err != nil {
			t.Errorf("after a restart the first is at %s, %v", at, err)
		}
		_, _ = b.Allot(t.Context(), []xds.Forwarding{{Service: first}})
		time.Sleep(addresses.Grace)
		if err := b.Keep(t.Context()); err != nil {
			t.Fatal(err)
		}
		<-b.Changed()
		if moved := b.Moved(); !slices.Equal(moved, []bgp.Service{second}) {
			t.Errorf("compiled again: %v", moved)
		}
		served, _ = b.Allot(t.Context(), []xds.Forwarding{named(second, 5432)})
		if at, err := b.Dial(second); err != nil || at != served[0].Dial || !at.IsValid() {
			t.Errorf("after the first is gone: %s, %v", at, err)
		}
	})
}

// A range that an operator changes takes effect: Envoy is not given what lies outside of it again.
func TestAnotherRange(t *testing.T) {
	f := named("orders-db.acme.example", 5432)
	f.Port, f.Dial = 10001, netip.MustParseAddrPort("127.83.0.20:5432")
	b, again := openOwn(t, dialled(t, f))
	if len(again) != 0 {
		t.Error("Envoy is given a listener outside of the range")
	}
	served, _ := b.Allot(t.Context(), []xds.Forwarding{f})
	if !netip.MustParsePrefix(ownRange).Contains(served[0].Dial.Addr()) {
		t.Errorf("it is at %s", served[0].Dial)
	}
}

// Without a range nothing has an address of its own, and a service whose originator names no port has that of the pool.
func TestOwnAddresses(t *testing.T) {
	b, _ := open(t, newDisk(t), nil)
	served, _ := b.Allot(t.Context(), []xds.Forwarding{named("db", 5432)})
	if served[0].Dial.IsValid() {
		t.Errorf("without a range: %s", served[0].Dial)
	}
	b, _ = openOwn(t)
	served, _ = b.Allot(t.Context(), []xds.Forwarding{tcp("db.acme.example")})
	if served[0].Dial.Port() != served[0].Port {
		t.Errorf("without a port of its own: %s, the pool's is %d", served[0].Dial, served[0].Port)
	}
}
