package ports

import (
	"cmp"
	"container/list"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/catalyst-router/catalyst/bgp"
)

const (
	// Grace is how long a service has to be away before its port may be given to another: long enough for a restart, a
	// reset session and a workload that flaps, and for Envoy to have closed the listener.
	Grace = time.Minute
	// maxReclaimed is how many of the newest reclaims are remembered.
	maxReclaimed = 20
)

// ErrExhausted tells that no port can be given: each belongs to a service that is here, that was here within the last
// Grace, or that is pinned to it.
var ErrExhausted = errors.New("no local port is left for the service") //nolint:gochecknoglobals // a sentinel

// Entry is a port and the service that it belongs to.
type Entry struct {
	Service bgp.Service
	Port    uint16
	// Pinned ports were chosen by an operator; they are never given to another service, and may lie outside the pool.
	Pinned bool
	// Away is since when no route leads to the service; zero while one does.
	Away time.Time
}

// Reclaimed is a port that went from a service that was away to another, because the pool was exhausted.
type Reclaimed struct {
	At       time.Time
	Port     uint16
	From, To bgp.Service
	Away     time.Time // since when From had been away
}

// Table holds the ports of all services. It is not safe for concurrent use. The zero value is not usable: see New.
type Table struct {
	pool      map[uint16]bool
	free      []uint16 // of the pool, in the order in which they are given
	services  map[bgp.Service]*held
	ports     map[uint16]*held
	away      *list.List // of *held that may be reclaimed, the longest away first
	unkept    map[bgp.Service]bool
	reclaimed []Reclaimed
}

// held is an entry, and its place among those that are away; nil if it is here or pinned.
type held struct {
	Entry
	place *list.Element
}

// New returns a table over a pool of ports. Entries that were kept stay, those whose port is no longer in the pool as
// well; all count as away until they are taken, those without a time since now.
func New(pool []uint16, kept []Entry, now time.Time) *Table {
	t := &Table{
		pool:     map[uint16]bool{},
		services: map[bgp.Service]*held{},
		ports:    map[uint16]*held{},
		away:     list.New(),
		unkept:   map[bgp.Service]bool{},
	}
	for _, p := range pool {
		t.pool[p] = true
	}
	kept = slices.Clone(kept)
	for i := range kept {
		if kept[i].Away.IsZero() || kept[i].Away.After(now) {
			kept[i].Away = now
			t.unkept[kept[i].Service] = true
		}
	}
	slices.SortFunc(kept, func(a, b Entry) int {
		return cmp.Or(a.Away.Compare(b.Away), strings.Compare(string(a.Service), string(b.Service)))
	})
	for _, e := range kept {
		if t.services[e.Service] == nil && t.ports[e.Port] == nil {
			t.add(e)
		}
	}
	for _, p := range pool {
		if t.ports[p] == nil {
			t.free = append(t.free, p)
		}
	}
	return t
}

// Adopt gives a service, which counts as away, the port at which Envoy listens for it already, unless the service has
// another or the port belongs to another: then it returns false, and Envoy has to be told otherwise.
func (t *Table) Adopt(svc bgp.Service, port uint16, now time.Time) bool {
	if h := t.services[svc]; h != nil {
		return h.Port == port
	}
	if t.ports[port] != nil {
		return false
	}
	t.unlist(port)
	t.add(Entry{Service: svc, Port: port, Away: now})
	t.unkept[svc] = true
	return true
}

// Take returns the port of a service to which a route leads. One that never had any gets a free one or, if there is
// none, that of the service that has been away longest, and for more than Grace. The error is ErrExhausted.
func (t *Table) Take(now time.Time, svc bgp.Service) (uint16, error) {
	if h := t.services[svc]; h != nil {
		t.arrive(h)
		return h.Port, nil
	}
	port, ok := t.next(now, svc)
	if !ok {
		return 0, fmt.Errorf("%w: each of the %d in the pool belongs to another; widen envoy.tcp-ports, or see catalyst "+
			"envoy ports for what can be freed",
			ErrExhausted, len(t.pool))
	}
	t.add(Entry{Service: svc, Port: port})
	t.unkept[svc] = true
	return port, nil
}

// next finds a port for a service that has none.
func (t *Table) next(now time.Time, svc bgp.Service) (uint16, bool) {
	if len(t.free) > 0 {
		port := t.free[0]
		t.free = t.free[1:]
		return port, true
	}
	first := t.away.Front()
	if first == nil {
		return 0, false
	}
	old := first.Value.(*held) //nolint:forcetypeassert // nothing else is put there
	if now.Sub(old.Away) < Grace {
		return 0, false
	}
	t.reclaimed = append(t.reclaimed, Reclaimed{At: now, Port: old.Port, From: old.Service, To: svc, Away: old.Away})
	t.reclaimed = t.reclaimed[max(0, len(t.reclaimed)-maxReclaimed):]
	t.remove(old)
	return old.Port, true
}

// Leave tells that no route leads to a service any more. Its port stays its own.
func (t *Table) Leave(now time.Time, svc bgp.Service) {
	h := t.services[svc]
	if h == nil || !h.Away.IsZero() {
		return
	}
	h.Away = now
	t.reclaimable(h)
	t.unkept[svc] = true
}

// Pin gives a service a port of the operator's choice, for good. The port may lie outside the pool, and must not
// belong to another service.
func (t *Table) Pin(now time.Time, svc bgp.Service, port uint16) error {
	if port == 0 {
		return errors.New("port: want 1 to 65535")
	}
	if other := t.ports[port]; other != nil && other.Service != svc {
		return fmt.Errorf("port: %d belongs to %s: free it first, with catalyst envoy ports free %s", port, other.Service,
			other.Service)
	}
	e := Entry{Service: svc, Port: port, Pinned: true, Away: now}
	if h := t.services[svc]; h != nil {
		e.Away = h.Away
		t.remove(h)
		t.release(h.Port)
	}
	t.unlist(port)
	t.add(e)
	t.unkept[svc] = true
	return nil
}

// Free takes a service's port away and tells whether it had one. A service that is here keeps it: applications use it.
func (t *Table) Free(svc bgp.Service) (bool, error) {
	h := t.services[svc]
	if h == nil {
		return false, nil
	}
	if h.Away.IsZero() {
		return true, fmt.Errorf("%s is in use at port %d: give it another with catalyst envoy ports pin %s PORT", svc,
			h.Port, svc)
	}
	t.remove(h)
	t.release(h.Port)
	t.unkept[svc] = true
	return true, nil
}

// Of returns the port of a service; 0 if it has none.
func (t *Table) Of(svc bgp.Service) uint16 {
	if h := t.services[svc]; h != nil {
		return h.Port
	}
	return 0
}

// At returns the service that a port belongs to; "" if it is nobody's.
func (t *Table) At(port uint16) bgp.Service {
	if h := t.ports[port]; h != nil {
		return h.Service
	}
	return ""
}

// Entries returns all ports that belong to a service, by name, and how many ports of the pool belong to none.
func (t *Table) Entries() (all []Entry, free int) {
	for _, h := range t.services {
		all = append(all, h.Entry)
	}
	slices.SortFunc(all, func(a, b Entry) int { return strings.Compare(string(a.Service), string(b.Service)) })
	return all, len(t.free)
}

// Reclaimed returns the newest of the ports that went from one service to another, the oldest first.
func (t *Table) Reclaimed() []Reclaimed { return slices.Clone(t.reclaimed) }

// Unkept returns what has changed since Kept was called: entries to be put in the place of what was kept of their
// service, and services of which nothing is to be kept. Both are in order of name.
func (t *Table) Unkept() (put []Entry, drop []bgp.Service) {
	for _, svc := range slices.Sorted(maps.Keys(t.unkept)) {
		if h := t.services[svc]; h != nil {
			put = append(put, h.Entry)
		} else {
			drop = append(drop, svc)
		}
	}
	return put, drop
}

// Kept tells that what Unkept returned was written down.
func (t *Table) Kept(put []Entry, drop []bgp.Service) {
	for _, e := range put {
		if h := t.services[e.Service]; h != nil && h.Entry == e {
			delete(t.unkept, e.Service)
		}
	}
	for _, svc := range drop {
		if t.services[svc] == nil {
			delete(t.unkept, svc)
		}
	}
}

// arrive books that a route leads to a service.
func (t *Table) arrive(h *held) {
	if h.Away.IsZero() {
		return
	}
	h.Away = time.Time{}
	t.unkept[h.Service] = true
	if h.place != nil {
		t.away.Remove(h.place)
		h.place = nil
	}
}

// reclaimable puts an entry behind all that have been away longer.
func (t *Table) reclaimable(h *held) {
	if !h.Pinned && t.pool[h.Port] {
		h.place = t.away.PushBack(h)
	}
}

func (t *Table) add(e Entry) {
	h := &held{Entry: e}
	t.services[e.Service], t.ports[e.Port] = h, h
	if !e.Away.IsZero() {
		t.reclaimable(h)
	}
}

func (t *Table) remove(h *held) {
	if h.place != nil {
		t.away.Remove(h.place)
	}
	delete(t.services, h.Service)
	delete(t.ports, h.Port)
	t.unkept[h.Service] = true
}

// release puts a port back, as the last to be given.
func (t *Table) release(port uint16) {
	if t.pool[port] {
		t.free = append(t.free, port)
	}
}

// unlist takes a port out of those that are free.
func (t *Table) unlist(port uint16) {
	t.free = slices.DeleteFunc(t.free, func(p uint16) bool { return p == port })
}
