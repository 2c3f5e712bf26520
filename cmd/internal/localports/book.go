// Package localports gives TCP services the local ports at which applications reach them, and keeps in the journal
// whose they are; and the addresses of their own, where they are dialled by name. It is the shell of envoy/ports and
// envoy/addresses: a lock, a clock and a store around their tables.
package localports

import (
	"cmp"
	"context"
	"log/slog"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/catalyst-router/catalyst/bgp"
	"github.com/catalyst-router/catalyst/bgp/journal"
	"github.com/catalyst-router/catalyst/envoy/addresses"
	"github.com/catalyst-router/catalyst/envoy/ports"
	"github.com/catalyst-router/catalyst/xds"
)

// Store keeps ports over restarts, as journal.Journal does.
type Store interface {
	Ports(ctx context.Context) ([]journal.Port, error)
	SavePorts(ctx context.Context, put []journal.Port, drop []bgp.Service) error
}

var _ Store = (*journal.Journal)(nil)

// Book says whose the ports are. It is safe for concurrent use.
type Book struct {
	store   Store
	log     *slog.Logger
	changed chan struct{}

	mu    sync.Mutex
	table *ports.Table         // guarded by mu
	own   *addresses.Table     // guarded by mu
	moved map[bgp.Service]bool // since Moved was called; guarded by mu
}

// Open reads what was kept in the store, and gives a service of which nothing was the port at which Envoy listened
// for it last. The addresses of services' own are given by a table, which is the book's from now on; who was at one
// last is there again. Of what Envoy had last it returns what is to be given to it again: all but listeners at other
// ports than those that were kept, or at addresses that are none of the range any more.
func Open(
	ctx context.Context, pool []uint16, own *addresses.Table, store Store, had []xds.Resource, log *slog.Logger,
) (b *Book, again []xds.Resource, err error) {
	kept, err := store.Ports(ctx)
	if err != nil {
		return nil, nil, err
	}
	entries := make([]ports.Entry, 0, len(kept))
	for _, p := range kept {
		entries = append(entries, ports.Entry(p))
	}
	b = &Book{
		store:   store,
		log:     log,
		changed: make(chan struct{}, 1),
		table:   ports.New(pool, entries, now()),
		own:     own,
		moved:   map[bgp.Service]bool{},
	}
	again = had[:0]
	for i := range had { // of a resource there are some 200 bytes, and of resources some 100,000
		if r := &had[i]; r.Type != xds.TypeListener || b.again(r) {
			again = append(again, *r)
		}
	}
	return b, again, nil
}

// again gives a service the port or address at which an Envoy listened for it, and tells whether it got it. Other
// listeners are nobody's.
func (b *Book) again(r *xds.Resource) bool {
	if svc, at, ok := xds.DialAddress(r); ok {
		return b.adopt(svc, at)
	}
	svc, port, ok := xds.LocalPort(r)
	return !ok || b.table.Adopt(svc, port, now())
}

// adopt gives a service the address at which Envoy listened for it last, and tells whether it is one of the range's.
func (b *Book) adopt(svc bgp.Service, at netip.AddrPort) bool {
	got, err := b.own.Take(now(), svc, at.Port())
	if err != nil || got != at {
		b.own.Leave(now(), svc)
		return false
	}
	return true
}

// now is the time as it is kept: without a monotonic clock, which no file can hold.
func now() time.Time { return time.Now().UTC().Round(0) }

// Allot gives every TCP service of a batch its port and keeps which before it returns. Those for which none is left
// are taken out of the batch, each with its problem. A port that cannot be written down is given all the same, and
// written with the next: to carry no traffic because a disk is full would be worse than to give another port after a
// restart.
func (b *Book) Allot(ctx context.Context, batch []xds.Forwarding) (served []xds.Forwarding, problems []xds.Problem) {
	b.mu.Lock()
	defer b.mu.Unlock()
	served = batch[:0]
	left, given, reclaimed := false, false, len(b.table.Reclaimed())
	for i := range batch {
		f := batch[i]
		if f.Gone() || f.Protocol != bgp.TCP {
			left = left || b.table.Of(f.Service) != 0
			b.table.Leave(now(), f.Service)
			b.own.Leave(now(), f.Service)
			served = append(served, f)
			continue
		}
		given = given || b.table.Of(f.Service) == 0
		port, err := b.table.Take(now(), f.Service)
		if err != nil {
			problems = append(problems, xds.Problem{Service: f.Service, Err: err})
			continue
		}
		f.Port = port
		f.Dial = b.dial(&f)
		served = append(served, f)
	}
	if given {
		b.report(reclaimed)
		if err := b.keep(ctx); err != nil {
			b.log.Error("local ports are not written down, a restart may give others", "error", err)
		}
	}
	if left {
		b.poke()
	}
	return served, problems
}

// dial returns the address of a TCP service's own: at the port that its originator names, or that of the pool where
// it names none. One that is another's is said in the log and by Dial. The caller holds mu.
func (b *Book) dial(f *xds.Forwarding) netip.AddrPort {
	_, known := b.own.Of(f.Service)
	at, err := b.own.Take(now(), f.Service, cmp.Or(f.ServicePort, f.Port))
	if err != nil && known == nil {
		b.log.Warn("a service has no address of its own: it is reached at its local port alone", "service",
			string(f.Service), "port", f.Port, "error", err)
	}
	return at
}

// Dial returns where a TCP service is dialled by its name; the zero AddrPort if there is nowhere, and as an error if
// that is because another service is there.
func (b *Book) Dial(svc bgp.Service) (netip.AddrPort, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.own.Of(svc)
}

// Range is that of the addresses of services' own; zero for none.
func (b *Book) Range() addresses.Range { return b.own.Range() }

// report tells of ports that went to another service. The caller holds mu.
func (b *Book) report(before int) {
	all := b.table.Reclaimed()
	for _, r := range all[min(before, len(all)):] {
		b.log.Warn("the pool of local ports is exhausted: a port goes to another service. Widen envoy.tcp-ports",
			"port", r.Port, "from", string(r.From), "away_since", r.Away.Format(time.RFC3339), "to", string(r.To))
	}
}

// keep writes down what has changed. The caller holds mu.
func (b *Book) keep(ctx context.Context) error {
	put, drop := b.table.Unkept()
	if len(put)+len(drop) == 0 {
		return nil
	}
	rows := make([]journal.Port, 0, len(put))
	for _, e := range put {
		rows = append(rows, journal.Port(e))
	}
	if err := b.store.SavePorts(ctx, rows, drop); err != nil {
		return err
	}
	b.table.Kept(put, drop)
	return nil
}

// Keep writes down what may wait: since when services are away, and what could not be written before. Services that
// may have an address now which another had are among those that Moved returns.
func (b *Book) Keep(ctx context.Context) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if waited := b.own.Forget(now()); len(waited) > 0 {
		for _, svc := range waited {
			b.moved[svc] = true
		}
		b.poke()
	}
	return b.keep(ctx)
}

// Changed is readable when there may be a port for a service that got none, or Moved has something to return.
func (b *Book) Changed() <-chan struct{} { return b.changed }

// Moved returns the services that were given another port, or may be given an address, since it was called last.
func (b *Book) Moved() []bgp.Service {
	b.mu.Lock()
	defer b.mu.Unlock()
	moved := slices.Sorted(maps.Keys(b.moved))
	clear(b.moved)
	return moved
}

func (b *Book) poke() {
	select {
	case b.changed <- struct{}{}:
	default:
	}
}

// Of returns the port of a service; 0 if it has none.
func (b *Book) Of(svc bgp.Service) uint16 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.table.Of(svc)
}

// At returns the TCP service that an application reaches at a local address, by its port or by an address of its own;
// "" if there is none.
func (b *Book) At(a netip.AddrPort) bgp.Service {
	b.mu.Lock()
	defer b.mu.Unlock()
	if svc := b.own.At(a); svc != "" {
		return svc
	}
	return b.table.At(a.Port())
}

// List returns all ports that belong to a service, how many are free, and which went from one service to another.
func (b *Book) List() (all []ports.Entry, free int, reclaimed []ports.Reclaimed) {
	b.mu.Lock()
	defer b.mu.Unlock()
	all, free = b.table.Entries()
	return all, free, b.table.Reclaimed()
}

// Pin gives a service a port of the operator's choice and keeps it.
func (b *Book) Pin(ctx context.Context, svc bgp.Service, port uint16) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := b.table.Pin(now(), svc, port); err != nil {
		return err
	}
	b.moved[svc] = true
	b.poke()
	return b.keep(ctx)
}

// Free takes the port of a service that is away and tells whether it had one.
func (b *Book) Free(ctx context.Context, svc bgp.Service) (bool, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	had, err := b.table.Free(svc)
	if err != nil || !had {
		return had, err
	}
	b.poke()
	return true, b.keep(ctx)
}
