package nameserver

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/miekg/dns"
	"pgregory.net/rapid"

	"github.com/catalyst-router/catalyst/bgp"
)

func zones() *Zones {
	z := NewZones(netip.MustParseAddr("127.0.0.1"), 7)
	z.Know("acme.example", "bravo.example", "eu.acme.example")
	db := netip.MustParseAddrPort("127.83.0.20:5432")
	for _, n := range []Name{
		{"orders-db.acme.example", "acme.example", bgp.TCP, Answered, db, 30, ""},
		{"books.acme.example", "acme.example", bgp.HTTP, Answered, netip.MustParseAddrPort("127.0.0.1:8080"), 5, ""},
		{"six.acme.example", "acme.example", bgp.HTTP, Answered, netip.MustParseAddrPort("[::1]:8080"), 30, ""},
		{"a.deep.acme.example", "acme.example", bgp.HTTP, Answered, netip.MustParseAddrPort("127.0.0.1:8080"), 30, ""},
		{"new.acme.example", "acme.example", bgp.TCP, Waiting, netip.AddrPort{}, 30, "no Envoy"},
		{"taken.acme.example", "acme.example", bgp.TCP, NoAddress, netip.AddrPort{}, 30, "collision"},
		{"secret.acme.example", "acme.example", bgp.HTTP, Hidden, netip.AddrPort{}, 30, "no policy"},
		{"x.secret-too.acme.example", "acme.example", bgp.HTTP, Hidden, netip.AddrPort{}, 30, "no policy"},
		{"books.eu.acme.example", "eu.acme.example", bgp.HTTP, Answered, netip.MustParseAddrPort("127.0.0.1:8080"), 30, ""},
	} {
		z.Put(n)
	}
	z.Complete()
	return z
}

// A pattern answers of all names below it, as Envoy routes them: the closest one counts, services of their own come
// first, and what is no name of a service is none.
func TestNamesBelowAPattern(t *testing.T) {
	z := zones()
	at := netip.MustParseAddrPort("127.0.0.1:8080")
	z.Put(Name{"*.fr.acme.example", "acme.example", bgp.HTTP, Answered, at, 30, ""})
	z.Put(Name{"*.paris.fr.acme.example", "acme.example", bgp.HTTP, Answered, at, 5, ""})
	z.Put(Name{"db.fr.acme.example", "acme.example", bgp.TCP, NoAddress, netip.AddrPort{}, 30, "collision"})
	z.Put(Name{"x.deep.fr.acme.example", "acme.example", bgp.HTTP, Answered, at, 30, ""})
	const none, noData = "NXDOMAIN; SOA acme.example. 5", "NOERROR; SOA acme.example. 5"
	for _, tt := range []struct {
		name  string
		qtype uint16
		want  string
	}{
		{"books.fr.acme.example.", dns.TypeA, "NOERROR; books.fr.acme.example. 30 IN A 127.0.0.1"},
		{"Books.FR.acme.example.", dns.TypeA, "NOERROR; Books.FR.acme.example. 30 IN A 127.0.0.1"},
		{"books.fr.acme.example.", dns.TypeAAAA, noData},
		{"a.b.fr.acme.example.", dns.TypeA, "NOERROR; a.b.fr.acme.example. 30 IN A 127.0.0.1"},
		{"books.paris.fr.acme.example.", dns.TypeA, "NOERROR; books.paris.fr.acme.example. 5 IN A 127.0.0.1"},
		{"paris.fr.acme.example.", dns.TypeA, "NOERROR; paris.fr.acme.example. 30 IN A 127.0.0.1"},
		{"deep.fr.acme.example.", dns.TypeA, "NOERROR; deep.fr.acme.example. 30 IN A 127.0.0.1"},
		{"db.fr.acme.example.", dns.TypeA, noData}, // a service of its own
		{"_http._tcp.books.fr.acme.example.", dns.TypeSRV, "NOERROR; _http._tcp.books.fr.acme.example. 30 IN " +
			"SRV 0 0 8080 books.fr.acme.example.; books.fr.acme.example. 30 IN A 127.0.0.1"},
		{"_http._tcp.books.fr.acme.example.", dns.TypeA, noData},
		{"fr.acme.example.", dns.TypeA, noData},
		{"books.de.acme.example.", dns.TypeA, none},
		{"b_ks.fr.acme.example.", dns.TypeA, none},
		{"*.fr.acme.example.", dns.TypeA, "NOERROR; *.fr.acme.example. 30 IN A 127.0.0.1"},
		{"ns.acme.example.", dns.TypeA, "NOERROR; ns.acme.example. 5 IN A 127.0.0.1"},
	} {
		if got := said(z, tt.name, tt.qtype); got != tt.want {
			t.Errorf("%s %s: %s\nwant %s", tt.name, dns.TypeToString[tt.qtype], got, tt.want)
		}
	}
	z.Remove("*.fr.acme.example")
	z.Remove("*.paris.fr.acme.example")
	if got := said(z, "books.fr.acme.example.", dns.TypeA); got != none {
		t.Errorf("after the pattern has gone: %s", got)
	}
	z.Put(Name{"*.acme.example", "acme.example", bgp.HTTP, Answered, at, 30, ""})
	for name, want := range map[string]string{
		"ns.acme.example.":  "NOERROR; ns.acme.example. 5 IN A 127.0.0.1",
		"any.acme.example.": "NOERROR; any.acme.example. 30 IN A 127.0.0.1",
	} {
		if got := said(z, name, dns.TypeA); got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
}

// said is an answer in one line: its code, its records, and the SOA if it has one.
func said(z *Zones, name string, qtype uint16) string {
	r := z.Answer(dns.Question{Name: name, Qtype: qtype, Qclass: dns.ClassINET})
	words := []string{dns.RcodeToString[r.rcode]}
	for _, rr := range append(append(slices.Clone(r.answer), r.author...), r.extra...) {
		text := strings.Join(strings.Fields(rr.String()), " ")
		if soa, ok := rr.(*dns.SOA); ok {
			text = fmt.Sprintf("SOA %s %d", soa.Hdr.Name, soa.Minttl)
		}
		words = append(words, text)
	}
	return strings.Join(words, "; ")
}

func TestAnswers(t *testing.T) {
	z := zones()
	const none, noData = "NXDOMAIN; SOA acme.example. 5", "NOERROR; SOA acme.example. 5"
	for _, tt := range []struct {
		name  string
		qtype uint16
		want  string
	}{
		{"orders-db.acme.example.", dns.TypeA, "NOERROR; orders-db.acme.example. 30 IN A 127.83.0.20"},
		{"Orders-DB.acme.EXAMPLE.", dns.TypeA, "NOERROR; Orders-DB.acme.EXAMPLE. 30 IN A 127.83.0.20"},
		{"orders-db.acme.example.", dns.TypeAAAA, noData},
		{"orders-db.acme.example.", dns.TypeTXT, noData},
		{"orders-db.acme.example.", dns.TypeANY, "NOERROR; orders-db.acme.example. 30 IN A 127.83.0.20"},
		{"orders-db.acme.example.", dns.TypeSRV, "NOERROR; orders-db.acme.example. 30 IN SRV 0 0 5432 " +
			"orders-db.acme.example.; orders-db.acme.example. 30 IN A 127.83.0.20"},
		{"_postgresql._tcp.orders-db.acme.example.", dns.TypeSRV, "NOERROR; _postgresql._tcp.orders-db.acme.example. 30 IN " +
			"SRV 0 0 5432 orders-db.acme.example.; orders-db.acme.example. 30 IN A 127.83.0.20"},
		{"_postgresql._tcp.orders-db.acme.example.", dns.TypeA, noData},
		{"_tcp.orders-db.acme.example.", dns.TypeSRV, noData},
		{"_x._udp.orders-db.acme.example.", dns.TypeSRV, none},
		{"_x._tcp.nothing.acme.example.", dns.TypeSRV, none},
		{"x.orders-db.acme.example.", dns.TypeA, none},
		{"books.acme.example.", dns.TypeA, "NOERROR; books.acme.example. 5 IN A 127.0.0.1"},
		{"six.acme.example.", dns.TypeAAAA, "NOERROR; six.acme.example. 30 IN AAAA ::1"},
		{"six.acme.example.", dns.TypeA, noData},
		{"deep.acme.example.", dns.TypeA, noData}, // lies between
		{"a.deep.acme.example.", dns.TypeA, "NOERROR; a.deep.acme.example. 30 IN A 127.0.0.1"},
		{"new.acme.example.", dns.TypeA, "SERVFAIL"},
		{"taken.acme.example.", dns.TypeA, noData},
		{"taken.acme.example.", dns.TypeSRV, noData},
		{"acme.example.", dns.TypeA, noData},
		{"acme.example.", dns.TypeSOA, "NOERROR; SOA acme.example. 5"},
		{"acme.example.", dns.TypeNS, "NOERROR; acme.example. 5 IN NS ns.acme.example.; ns.acme.example. 5 IN A 127.0.0.1"},
		{"ns.acme.example.", dns.TypeA, "NOERROR; ns.acme.example. 5 IN A 127.0.0.1"},
		{"nothing.acme.example.", dns.TypeA, none},
		{"nothing.bravo.example.", dns.TypeA, "NXDOMAIN; SOA bravo.example. 5"},
		{"nothing.eu.acme.example.", dns.TypeA, "NXDOMAIN; SOA eu.acme.example. 5"},
		{"books.eu.acme.example.", dns.TypeA, "NOERROR; books.eu.acme.example. 30 IN A 127.0.0.1"},
		{"www.stranger.example.", dns.TypeA, "REFUSED"},
		{"example.", dns.TypeA, "REFUSED"},
		{".", dns.TypeNS, "REFUSED"},
		{"notacme.example.", dns.TypeA, "REFUSED"},
	} {
		if got := said(z, tt.name, tt.qtype); got != tt.want {
			t.Errorf("%s %s:\n got %s\nwant %s", dns.TypeToString[tt.qtype], tt.name, got, tt.want)
		}
	}
}

// Who asks cannot tell a name that is not allowed from one that does not exist, in whatever way they ask; the
// operator can.
func TestNotAllowedIsUnknown(t *testing.T) {
	z := zones()
	for _, hidden := range []string{"secret.acme.example.", "x.secret-too.acme.example.", "secret-too.acme.example."} {
		for _, prefix := range []string{"", "_tcp.", "_http._tcp.", "y."} {
			for _, qtype := range []uint16{dns.TypeA, dns.TypeAAAA, dns.TypeSRV, dns.TypeANY, dns.TypeSOA, dns.TypeNS} {
				got, want := said(z, prefix+hidden, qtype), said(z, prefix+"unknown.acme.example.", qtype)
				if got != want {
					t.Errorf("%s %s%s is answered %s, a name that does not exist %s", dns.TypeToString[qtype], prefix, hidden,
						got, want)
				}
			}
		}
	}
	if n, ok := z.Get("secret.acme.example"); !ok || n.Why != "no policy" || n.State != Hidden {
		t.Errorf("the operator sees %+v", n)
	}
}

// Before all tables have come nobody is told that a name does not exist: they would remember it.
func TestNothingIsDeniedTooEarly(t *testing.T) {
	z := NewZones(netip.MustParseAddr("127.0.0.1"), 1)
	z.Know("acme.example")
	if got := said(z, "books.acme.example.", dns.TypeA); got != "SERVFAIL" {
		t.Errorf("before: %s", got)
	}
	z.Complete()
	if got := said(z, "books.acme.example.", dns.TypeA); !strings.HasPrefix(got, "NXDOMAIN") {
		t.Errorf("after: %s", got)
	}
}

func TestOrganisationsAreBounded(t *testing.T) {
	z := NewZones(netip.MustParseAddr("127.0.0.1"), 1)
	for i := range MaxOrganisations {
		if !z.Know(bgp.Org(fmt.Sprintf("o%d.example", i))) {
			t.Fatalf("no room for the %dth", i)
		}
	}
	if z.Know("one-more.example") || !z.Know("o1.example") || len(z.Organisations()) != MaxOrganisations {
		t.Errorf("%d are known", len(z.Organisations()))
	}
}

func TestPages(t *testing.T) {
	z := zones()
	var seen []string
	for after := bgp.Service(""); ; {
		page, all := z.Page(after, 4)
		if all != 9 {
			t.Fatalf("%d in all", all)
		}
		if len(page) == 0 {
			break
		}
		for _, n := range page {
			seen = append(seen, string(n.Service))
		}
		after = page[len(page)-1].Service
	}
	if len(seen) != 9 || !slices.IsSorted(seen) {
		t.Errorf("got %v", seen)
	}
}

// In any order of names that come, change and go, what is answered is what the obvious table says: a name exists if
// it is there, or if something that is there lies below it.
func TestAgainstTheObviousTable(t *testing.T) {
	labels := []string{"a", "b", "a.b", "b.a", "a.b.a", "b.b.a"}
	rapid.Check(t, func(t *rapid.T) {
		z := NewZones(netip.MustParseAddr("127.0.0.1"), 1)
		z.Know("acme.example")
		z.Complete()
		there := map[string]State{}
		for range rapid.IntRange(1, 40).Draw(t, "steps") {
			svc := rapid.SampledFrom(labels).Draw(t, "name") + ".acme.example"
			if rapid.IntRange(0, 2).Draw(t, "op") == 0 {
				z.Remove(bgp.Service(svc))
				delete(there, svc)
				continue
			}
			n := Name{Service: bgp.Service(svc), Org: "acme.example", TTL: 5,
				State: rapid.SampledFrom([]State{Answered, NoAddress, Hidden}).Draw(t, "state")}
			if n.State == Answered {
				n.At = netip.MustParseAddrPort("127.64.0.1:1")
			}
			z.Put(n)
			there[svc] = n.State
		}
		visible := maps.Clone(there)
		maps.DeleteFunc(visible, func(_ string, s State) bool { return s == Hidden })
		for _, l := range labels {
			name := l + ".acme.example"
			want := "NXDOMAIN"
			for other := range visible {
				if strings.HasSuffix("."+other, "."+name) {
					want = "NOERROR"
				}
			}
			if got := said(z, name+".", dns.TypeA); !strings.HasPrefix(got, want) ||
				strings.Contains(got, " A ") != (visible[name] == Answered) {
				t.Fatalf("%s: %s, want %s; there are %v", name, got, want, there)
			}
		}
	})
}

// Whoever watches the serial number does not see that a name came, changed or went which is hidden; of one that begins
// or ends to be hidden it tells, as the answers do.
func TestTheSerialNumberTellsOfNoHiddenName(t *testing.T) {
	z := NewZones(netip.MustParseAddr("127.0.0.1"), 1)
	name := func(state State, why string) Name {
		return Name{"secret.acme.example", "acme.example", bgp.HTTP, state, netip.AddrPort{}, 30, why}
	}
	for _, c := range []struct {
		what string
		do   func()
		want uint32
	}{
		{"a hidden name comes", func() { z.Put(name(Hidden, "no policy")) }, 1},
		{"it changes", func() { z.Put(name(Hidden, "no policies")) }, 1},
		{"it goes", func() { z.Remove("secret.acme.example") }, 1},
		{"it is there for all", func() { z.Put(name(NoAddress, "")) }, 2},
		{"it is hidden", func() { z.Put(name(Hidden, "no policy")) }, 3},
		{"it is not any more", func() { z.Put(name(NoAddress, "")) }, 4},
		{"it goes, seen by all", func() { z.Remove("secret.acme.example") }, 5},
	} {
		if c.do(); z.serial != c.want {
			t.Errorf("%s: serial number %d, want %d", c.what, z.serial, c.want)
		}
	}
}
