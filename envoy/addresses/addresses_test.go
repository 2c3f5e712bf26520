package addresses

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/catalyst-router/catalyst/bgp"
)

func begun() time.Time { return time.Unix(1_700_000_000, 0).UTC() }

func parse(t testing.TB, s string) Range {
	t.Helper()
	r, err := Parse(s)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestParse(t *testing.T) {
	for in, want := range map[string]string{
		"127.64.0.0/10": "", "10.99.0.0/16": "", "192.168.7.0/24": "",
		"127.65.0.0/10": "begins at 127.64.0.0/10", "fd00::/64": "IPv4", "8.8.0.0/16": "private", "": "want a range",
		"127.0.0.0/7": "from /8 to /24", "127.0.0.0/25": "from /8 to /24", "127.0.0.1": "want a range",
	} {
		r, err := Parse(in)
		good := err == nil && r.String() == in
		if bad := err != nil && strings.Contains(err.Error(), want); want == "" && !good || want != "" && !bad {
			t.Errorf("%q: %v, %v; want %q", in, r, err, want)
		}
	}
}

// What was told to people and written into their configurations stays true: the address of a name is fixed for ever.
func TestAddressesAreFixed(t *testing.T) {
	r := parse(t, "127.64.0.0/10")
	for svc, want := range map[bgp.Service]string{
		"orders-db.acme.example": "127.83.0.20", "cache.bravo.example": "127.79.37.168",
	} {
		if got := r.Of(svc); got.String() != want {
			t.Errorf("%s: %s, want %s", svc, got, want)
		}
	}
	if got := (Range{}).Of("orders-db.acme.example"); got.IsValid() {
		t.Errorf("without a range: %s", got)
	}
}

// names draws names of services of a few organisations.
func names(t *rapid.T, label string, most int) []bgp.Service {
	n := rapid.IntRange(1, most).Draw(t, label)
	all := make([]bgp.Service, 0, n)
	for i := range n {
		org := rapid.SampledFrom([]string{"acme.example", "bravo.example", "c.d.example"}).Draw(t, "org")
		all = append(all, bgp.Service(fmt.Sprintf("%s-%d.%s", rapid.StringMatching(`[a-z]{1,6}`).Draw(t, "name"), i, org)))
	}
	return all
}

// A service has the same address on every node and over restarts, while a thousand others come and go: it depends on
// nothing but its name and the range, and lies within that.
func TestAddressesDependOnTheNameAlone(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		prefix := rapid.SampledFrom([]string{"127.64.0.0/10", "10.9.0.0/16", "127.1.2.0/24"}).Draw(t, "range")
		r, err := Parse(prefix)
		if err != nil {
			t.Fatal(err)
		}
		ours := names(t, "ours", 5)
		one, other := NewTable(r, true), NewTable(r, true) // two nodes, or one before and after a restart
		now := begun()
		for i, others := range [][]bgp.Service{names(t, "others", 1000), names(t, "others again", 1000)} {
			tab := []*Table{one, other}[i]
			for _, svc := range others {
				now = now.Add(time.Second)
				_, _ = tab.Take(now, svc, 1)
				if rapid.Bool().Draw(t, "leaves") {
					tab.Leave(now, svc)
				}
			}
		}
		for i, svc := range ours {
			port := uint16(1000 + i)
			a, errA := one.Take(now, svc, port)
			b, errB := other.Take(now.Add(time.Hour), svc, port)
			within := netip.MustParsePrefix(prefix).Contains(a.Addr())
			if errA != nil || errB != nil || a != b || !within || a.Addr() != r.Of(svc) {
				t.Fatalf("%s: %s (%v) at one node, %s (%v) at another", svc, a, errA, b, errB)
			}
		}
	})
}

// collide finds two names with one address.
func collide(t testing.TB, r Range) (a, b bgp.Service) {
	t.Helper()
	seen := map[netip.Addr]bgp.Service{}
	for i := range 1_000_000 {
		svc := bgp.Service(fmt.Sprintf("s%d.acme.example", i))
		if other := seen[r.Of(svc)]; other != "" {
			return other, svc
		}
		seen[r.Of(svc)] = svc
	}
	t.Fatal("no two names have one address")
	return "", ""
}

// Two names with one address: at different ports both are served; at the same port the first keeps it, whatever the
// second is called, and the second is told whose it is. It gets it when the first has been away for long enough.
func TestCollisionsAreNamed(t *testing.T) {
	r := parse(t, "127.64.0.0/10")
	first, second := collide(t, r)
	tab, now := NewTable(r, true), begun()
	take := func(svc bgp.Service, port uint16) error {
		t.Helper()
		at, err := tab.Take(now, svc, port)
		if err == nil && at != netip.AddrPortFrom(r.Of(svc), port) {
			t.Errorf("%s is at %s", svc, at)
		}
		return err
	}
	if err := errors.Join(take(first, 5432), take(second, 6379)); err != nil {
		t.Fatalf("at different ports: %v", err)
	}
	err := take(second, 5432)
	var taken *TakenError
	if !errors.As(err, &taken) || taken.Holder != first || !strings.Contains(err.Error(), string(first)) {
		t.Fatalf("at the same port: %v", err)
	}
	if at, of := tab.Of(second); at.IsValid() || of == nil {
		t.Errorf("the second is at %s, %v", at, of)
	}
	tab.Leave(now, first)
	now = now.Add(Grace - 1)
	if waiting := tab.Forget(now); len(waiting) > 0 || take(second, 5432) == nil {
		t.Errorf("the first loses its address in the first minute; %v waited", waiting)
	}
	if err := take(first, 5432); err != nil {
		t.Errorf("who comes back in time: %v", err)
	}
	tab.Leave(now, first)
	now = now.Add(Grace)
	if waiting := tab.Forget(now); len(waiting) != 1 || waiting[0] != second {
		t.Errorf("who waited: %v", waiting)
	}
	if err := take(second, 5432); err != nil {
		t.Errorf("after the first is gone: %v", err)
	}
}

// twin is the obvious table: a list of who has what.
type twin struct {
	has map[netip.AddrPort]bgp.Service
}

// In any order of arrivals and departures no two services are at one address and port, and nobody is moved while a
// route leads to it.
func TestNobodyIsMoved(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r, err := Parse("127.1.2.0/24")
		if err != nil {
			t.Fatal(err)
		}
		tab, now, w := NewTable(r, true), begun(), twin{map[netip.AddrPort]bgp.Service{}}
		all := names(t, "services", 60)
		here := map[bgp.Service]netip.AddrPort{}
		for range rapid.IntRange(1, 200).Draw(t, "steps") {
			svc := rapid.SampledFrom(all).Draw(t, "service")
			now = now.Add(rapid.SampledFrom([]time.Duration{0, time.Second, Grace}).Draw(t, "later"))
			switch rapid.IntRange(0, 4).Draw(t, "op") {
			case 0:
				tab.Leave(now, svc)
				delete(w.has, here[svc])
				delete(here, svc)
			case 1:
				tab.Forget(now)
			default:
				port := rapid.Uint16Range(1, 2).Draw(t, "port")
				at, err := tab.Take(now, svc, port)
				if was := here[svc]; was.IsValid() && was.Port() != port {
					delete(w.has, was)
					delete(here, svc)
				}
				switch holder := w.has[netip.AddrPortFrom(r.Of(svc), port)]; {
				case err == nil && holder != "" && holder != svc:
					t.Fatalf("%s takes %s from %s", svc, at, holder)
				case err == nil:
					w.has[at], here[svc] = svc, at
				case here[svc].IsValid():
					t.Fatalf("%s had %s and has it no more: %v", svc, here[svc], err)
				}
			}
			for svc, at := range here {
				if got, err := tab.Of(svc); got != at || err != nil {
					t.Fatalf("%s is at %s, %v; it was told %s", svc, got, err, at)
				}
			}
		}
	})
}

// Another organisation says at which port its service is dialled: it cannot keep sshd from its port.
func TestPortsOfTheSystem(t *testing.T) {
	r := parse(t, "127.64.0.0/10")
	tab := NewTable(r, false)
	var low *LowPortError
	if at, err := tab.Take(begun(), "ssh.bravo.example", 22); at.IsValid() || !errors.As(err, &low) || low.Port != 22 {
		t.Errorf("port 22 is given: %s, %v", at, err)
	}
	if _, err := tab.Of("ssh.bravo.example"); !errors.As(err, &low) {
		t.Errorf("why not: %v", err)
	}
	if at, err := tab.Take(begun(), "ssh.bravo.example", 1024); at.Port() != 1024 || err != nil {
		t.Errorf("port 1024: %s, %v", at, err)
	}
	if at, err := NewTable(r, true).Take(begun(), "ssh.bravo.example", 22); at.Port() != 22 || err != nil {
		t.Errorf("where it is permitted: %s, %v", at, err)
	}
}
