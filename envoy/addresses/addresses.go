// Package addresses gives every TCP service a loopback address of its own, so that two databases can both be at port
// 5432 of one machine. It holds no socket and no file.
//
// The address is a function of the service's name, which ends with its organisation's, and of the range alone: it is
// the same on every node and after every restart, whatever other services come and go. Two names may have the same
// address; that matters only where both want the same port as well. Then the one that was there first has it, and the
// other gets an error that names it (Table.Take).
//
//	r, err := addresses.Parse("127.64.0.0/10")
//	r.Of("orders-db.acme.example")                        // 127.83.0.20, anywhere and always
//	t := addresses.NewTable(r)
//	at, err := t.Take(now, "orders-db.acme.example", 5432) // a route leads to it
//	t.Leave(now, "orders-db.acme.example")                 // none does any more
package addresses

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/catalyst-router/catalyst/bgp"
)

// Grace is how long an address and port stay a service's after its last route is gone: as long as a local port does
// (envoy/ports).
const Grace = time.Minute

// Range is the IPv4 addresses that may be given. The zero value has none.
type Range struct{ prefix netip.Prefix }

// Parse reads a range such as 127.64.0.0/10: of IPv4, of 254 to 16 million addresses, and one that nobody beyond the
// machine or its own networks can use (loopback, or private by RFC 1918).
func Parse(s string) (Range, error) {
	p, err := netip.ParsePrefix(s)
	if err != nil || !p.Addr().Is4() || p.Bits() < 8 || p.Bits() > 24 {
		return Range{}, fmt.Errorf("%q: want a range of IPv4 addresses from /8 to /24, such as 127.64.0.0/10", s)
	}
	if p != p.Masked() {
		return Range{}, fmt.Errorf("%q: the range begins at %s", s, p.Masked())
	}
	if !p.Addr().IsLoopback() && !p.Addr().IsPrivate() {
		return Range{}, fmt.Errorf("%q: want loopback (127.0.0.0/8) or a private range (RFC 1918): whoever reaches the "+
			"addresses may use every service", s)
	}
	return Range{p}, nil
}

// IsZero tells whether there is no range.
func (r Range) IsZero() bool { return !r.prefix.IsValid() }

// String returns what Parse reads; "" for none.
func (r Range) String() string {
	if r.IsZero() {
		return ""
	}
	return r.prefix.String()
}

// Of returns the address of a service; the zero Addr if there is no range. The first and the last of the range are
// nobody's: networks use them for themselves.
func (r Range) Of(svc bgp.Service) netip.Addr {
	if r.IsZero() {
		return netip.Addr{}
	}
	sum := sha256.Sum256([]byte(svc))
	usable := uint64(1)<<(32-r.prefix.Bits()) - 2
	first := r.prefix.Addr().As4()
	n := binary.BigEndian.Uint32(first[:]) + 1 + uint32(binary.BigEndian.Uint64(sum[:8])%usable)
	var out [4]byte
	binary.BigEndian.PutUint32(out[:], n)
	return netip.AddrFrom4(out)
}

// TakenError tells that another service with the same address has the port already.
type TakenError struct {
	Service, Holder bgp.Service
	At              netip.AddrPort
}

func (e *TakenError) Error() string {
	return fmt.Sprintf("%s and %s have the same address, and %s has %s: rename one of them or give it another port "+
		"(route add --service-port); at its local port (catalyst envoy ports) it is reached as ever",
		e.Holder, e.Service, e.Holder, e.At)
}

// LowPortError tells that a service wants a port that only the system's own programs have.
type LowPortError struct {
	Service bgp.Service
	Port    uint16
}

func (e *LowPortError) Error() string {
	return fmt.Sprintf("%s wants port %d, which is below %d: another organisation could keep a program of this machine "+
		"from its port; dns-low-ports permits it. At its local port (catalyst envoy ports) it is reached as ever",
		e.Service, e.Port, firstPort)
}

// firstPort is the first port that is not kept for the system's own programs (RFC 6335 §6).
const firstPort = 1024

// holder is a service at an address and port.
type holder struct {
	service bgp.Service
	away    time.Time // zero while a route leads to it
}

// Table says which service is at which address and port. It is not safe for concurrent use.
type Table struct {
	r        Range
	low      bool
	holders  map[netip.AddrPort]*holder
	at       map[bgp.Service]netip.AddrPort
	refused  map[bgp.Service]error
	waitedBy map[netip.AddrPort]map[bgp.Service]bool // those that are refused, by what they want
}

// NewTable returns a table in which nobody has anything. Ports below 1024 are given only if low says so.
func NewTable(r Range, low bool) *Table {
	return &Table{
		r: r, low: low, holders: map[netip.AddrPort]*holder{}, at: map[bgp.Service]netip.AddrPort{},
		refused: map[bgp.Service]error{}, waitedBy: map[netip.AddrPort]map[bgp.Service]bool{},
	}
}

// Range is that from which the table gives.
func (t *Table) Range() Range { return t.r }

// Take returns where a service is dialled at a port of 1 to 65535: the zero AddrPort if there is no range, a
// *TakenError if another service is there, and a *LowPortError for a port that is not given. Of several calls for one
// service the last counts.
func (t *Table) Take(now time.Time, svc bgp.Service, port uint16) (netip.AddrPort, error) {
	if t.r.IsZero() || port == 0 {
		return netip.AddrPort{}, nil
	}
	want := netip.AddrPortFrom(t.r.Of(svc), port)
	if was, had := t.at[svc]; had && was != want {
		delete(t.holders, was)
		delete(t.at, svc)
	}
	t.forgive(svc)
	if port < firstPort && !t.low {
		err := &LowPortError{svc, port}
		t.refused[svc] = err
		return netip.AddrPort{}, err
	}
	h := t.holders[want]
	if h != nil && h.service != svc {
		if h.away.IsZero() || now.Sub(h.away) < Grace {
			return netip.AddrPort{}, t.refuse(&TakenError{Service: svc, Holder: h.service, At: want})
		}
		delete(t.at, h.service)
	}
	t.holders[want], t.at[svc] = &holder{service: svc}, want
	return want, nil
}

// Leave tells that no route leads to a service any more. Where it was stays its own for as long as nobody else wants
// it, and for Grace if somebody does.
func (t *Table) Leave(now time.Time, svc bgp.Service) {
	t.forgive(svc)
	at, ok := t.at[svc]
	if !ok {
		return
	}
	if h := t.holders[at]; h.away.IsZero() {
		h.away = now
	}
}

// Forget drops those that have been away for Grace and returns who waited for what they had, by name: they may be
// given it now.
func (t *Table) Forget(now time.Time) []bgp.Service {
	var waiting []bgp.Service
	for at, h := range t.holders {
		if h.away.IsZero() || now.Sub(h.away) < Grace {
			continue
		}
		delete(t.holders, at)
		delete(t.at, h.service)
		for svc := range t.waitedBy[at] {
			waiting = append(waiting, svc)
		}
	}
	slices.Sort(waiting)
	return waiting
}

// At returns the service that is dialled at an address and port; "" if none is.
func (t *Table) At(a netip.AddrPort) bgp.Service {
	if h := t.holders[a]; h != nil {
		return h.service
	}
	return ""
}

// Of returns where a service is dialled; the zero AddrPort if it is nowhere, with the error of Take if that is why.
func (t *Table) Of(svc bgp.Service) (netip.AddrPort, error) {
	if err := t.refused[svc]; err != nil {
		return netip.AddrPort{}, err
	}
	return t.at[svc], nil
}

func (t *Table) refuse(x *TakenError) error {
	t.refused[x.Service] = x
	if t.waitedBy[x.At] == nil {
		t.waitedBy[x.At] = map[bgp.Service]bool{}
	}
	t.waitedBy[x.At][x.Service] = true
	return x
}

func (t *Table) forgive(svc bgp.Service) {
	err := t.refused[svc]
	delete(t.refused, svc)
	var x *TakenError
	if !errors.As(err, &x) {
		return
	}
	delete(t.waitedBy[x.At], svc)
	if len(t.waitedBy[x.At]) == 0 {
		delete(t.waitedBy, x.At)
	}
}
