package nameserver

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"

	"github.com/miekg/dns"

	"github.com/catalyst-router/catalyst/bgp"
)

// State is what is answered of a service, and why.
type State uint8

// The states of a name.
const (
	Answered  State = iota + 1 // with addresses
	Waiting                    // no Envoy has taken its address yet, or nobody uses it: asked for it, see wake
	NoAddress                  // it exists and has no address here: Why says why
	Hidden                     // no policy lets an application beside this node call it: as if it did not exist
)

var stateNames = [...]string{Answered: "answered", Waiting: "waiting", NoAddress: "no address", Hidden: "hidden"}

// String returns the state in lower case.
func (s State) String() string {
	if int(s) < len(stateNames) && s > 0 {
		return stateNames[s]
	}
	return fmt.Sprintf("state(%d)", uint8(s))
}

// Name is a service as it is answered.
type Name struct {
	Service  bgp.Service
	Org      bgp.Org // the zone: Service lies below it
	Protocol bgp.Protocol
	State    State
	At       netip.AddrPort // where it is dialled, if State is Answered
	TTL      uint32         // seconds
	Why      string         // why it is not answered; "" if it is
}

// MaxOrganisations is how many organisations are known at the most: peers decide of which ones there are routes.
const MaxOrganisations = 10_000

// Zones is what is answered: a zone for each organisation, the names of services in them. It is safe for concurrent
// use, and has no clock, socket or goroutine.
type Zones struct {
	server netip.Addr // where the server listens: the address of ns.ORGANISATION

	mu       sync.RWMutex
	names    map[string]Name // without those that are hidden; guarded by mu
	hidden   map[string]Name // guarded by mu
	between  map[string]int  // how many names lie below one that may be none itself (RFC 8020); guarded by mu
	orgs     map[string]bool // guarded by mu
	serial   uint32          // guarded by mu
	complete bool            // guarded by mu
}

// NewZones returns zones without names, of which it is not known yet that they have none.
func NewZones(server netip.Addr, serial uint32) *Zones {
	return &Zones{
		server: server, names: map[string]Name{}, hidden: map[string]Name{}, between: map[string]int{},
		orgs: map[string]bool{}, serial: serial,
	}
}

// Know adds organisations, and tells whether there was room for all.
func (z *Zones) Know(orgs ...bgp.Org) bool {
	z.mu.Lock()
	defer z.mu.Unlock()
	for _, o := range orgs {
		if len(z.orgs) >= MaxOrganisations && !z.orgs[string(o)] {
			return false
		}
		z.orgs[string(o)] = true
	}
	return true
}

// Complete tells that every name is there that there is: from now on another one does not exist.
func (z *Zones) Complete() {
	z.mu.Lock()
	defer z.mu.Unlock()
	z.complete = true
}

// Put sets a name, whose Service has to lie below its Org. The serial number, which everybody may ask for, does not
// tell that a name came which is hidden.
func (z *Zones) Put(n Name) {
	z.mu.Lock()
	defer z.mu.Unlock()
	name := string(n.Service)
	if z.names[name] == n || z.hidden[name] == n {
		return
	}
	seen := z.remove(name)
	if n.State == Hidden {
		if seen {
			z.serial++
		}
		z.hidden[name] = n
		return
	}
	z.serial++
	z.names[name] = n
	z.count(n, 1)
}

// Remove takes a name away.
func (z *Zones) Remove(svc bgp.Service) {
	z.mu.Lock()
	defer z.mu.Unlock()
	if z.remove(string(svc)) {
		z.serial++
	}
}

// remove takes a name away, and tells whether anybody could see it.
func (z *Zones) remove(name string) bool {
	delete(z.hidden, name)
	old, had := z.names[name]
	if had {
		delete(z.names, name)
		z.count(old, -1)
	}
	return had
}

// count books a name with all that lie between it and its organisation.
func (z *Zones) count(n Name, by int) {
	for name := string(n.Service); ; {
		_, above, ok := strings.Cut(name, ".")
		if !ok || above == string(n.Org) {
			return
		}
		if z.between[above] += by; z.between[above] == 0 {
			delete(z.between, above)
		}
		name = above
	}
}

// Get returns a name, also one that is hidden; false if there is none.
func (z *Zones) Get(svc bgp.Service) (Name, bool) {
	z.mu.RLock()
	defer z.mu.RUnlock()
	if n, ok := z.names[string(svc)]; ok {
		return n, true
	}
	n, ok := z.hidden[string(svc)]
	return n, ok
}

// Page returns up to most names after one, by name, and how many there are in all.
func (z *Zones) Page(after bgp.Service, most int) (page []Name, all int) {
	z.mu.RLock()
	defer z.mu.RUnlock()
	for _, m := range []map[string]Name{z.names, z.hidden} {
		for _, n := range m {
			if n.Service > after {
				page = append(page, n)
			}
		}
	}
	slices.SortFunc(page, func(a, b Name) int { return cmp.Compare(a.Service, b.Service) })
	return page[:min(most, len(page))], len(z.names) + len(z.hidden)
}

// Organisations returns those that are known, sorted.
func (z *Zones) Organisations() []string {
	z.mu.RLock()
	defer z.mu.RUnlock()
	all := make([]string, 0, len(z.orgs))
	for o := range z.orgs {
		all = append(all, o)
	}
	slices.Sort(all)
	return all
}

// zoneOf returns the organisation of a name, the longest of several; "" for one of none that is known. The caller
// holds mu.
func (z *Zones) zoneOf(name string) string {
	for rest, ok := name, true; ok && rest != ""; _, rest, ok = strings.Cut(rest, ".") {
		if z.orgs[rest] {
			return rest
		}
	}
	return ""
}

// reply is an answer before it is a message.
type reply struct {
	rcode                 int
	authoritative         bool
	answer, author, extra []dns.RR
}

// negativeTTL is how long resolvers may remember in seconds that there is nothing (RFC 2308 §5): the name may be
// announced at any moment.
const negativeTTL = 5

// Answer answers a question of class IN.
func (z *Zones) Answer(q dns.Question) reply {
	z.mu.RLock()
	defer z.mu.RUnlock()
	name := strings.TrimSuffix(strings.ToLower(q.Name), ".")
	zone := z.zoneOf(name)
	if zone == "" {
		return reply{rcode: dns.RcodeRefused}
	}
	base, isSRV := service(name)
	n, exists := z.names[base]
	if !exists {
		n, exists = z.below(base, zone)
	}
	switch {
	case name == zone:
		return z.apex(q, zone)
	case name == "ns."+zone && (!exists || z.names[name] != n):
		return z.some(zone, z.address(q, z.server, negativeTTL))
	case exists && (base == name || isSRV):
		return z.named(q, zone, n)
	case exists, z.between[name] > 0: // what only lies between
		return z.nothing(zone, dns.RcodeSuccess)
	case !z.complete:
		return reply{rcode: dns.RcodeServerFailure}
	}
	return z.nothing(zone, dns.RcodeNameError)
}

// below answers of a name that is no service's as of the closest pattern that it lies below, as Envoy routes it: of all
// of them, of names that nobody has too, since who announces *.NAME does not say which there are. Unlike wildcards of
// RFC 4592 a pattern stands for names of more labels, and for those below other services. The caller holds mu.
func (z *Zones) below(name, zone string) (Name, bool) {
	for rest := name; rest != zone; {
		_, above, ok := strings.Cut(rest, ".")
		if !ok {
			break
		}
		if n, there := z.names["*."+above]; there {
			svc, err := bgp.ParseService(name, "")
			n.Service = svc
			return n, err == nil && !svc.IsWildcard()
		}
		rest = above
	}
	return Name{}, false
}

// service takes the labels of RFC 2782 from the front of a name, "_postgresql._tcp", and tells whether there were
// both.
func service(name string) (base string, srv bool) {
	first, rest, _ := strings.Cut(name, ".")
	if !strings.HasPrefix(first, "_") {
		return name, false
	}
	if first == "_tcp" {
		return rest, false
	}
	if second, base, ok := strings.Cut(rest, "."); ok && second == "_tcp" {
		return base, true
	}
	return name, false
}

// named answers of a service.
func (z *Zones) named(q dns.Question, zone string, n Name) reply {
	switch n.State {
	case Waiting:
		return reply{rcode: dns.RcodeServerFailure}
	case NoAddress, Hidden:
		return z.nothing(zone, dns.RcodeSuccess)
	case Answered:
	}
	target := dns.Fqdn(string(n.Service))
	if q.Qtype == dns.TypeSRV {
		r := z.some(zone, []dns.RR{&dns.SRV{
			Hdr: header(q.Name, dns.TypeSRV, n.TTL), Port: n.At.Port(), Target: target,
		}})
		r.extra = z.address(dns.Question{Name: target, Qtype: family(n.At.Addr())}, n.At.Addr(), n.TTL)
		return r
	}
	if name := strings.ToLower(q.Name); name != target {
		return z.nothing(zone, dns.RcodeSuccess) // _postgresql._tcp.NAME has nothing but SRV
	}
	return z.some(zone, z.address(q, n.At.Addr(), n.TTL))
}

// apex answers of an organisation itself.
func (z *Zones) apex(q dns.Question, zone string) reply {
	switch q.Qtype {
	case dns.TypeSOA:
		soa := z.soa(zone)
		soa.Hdr.Name = q.Name
		return z.some(zone, []dns.RR{soa})
	case dns.TypeNS:
		ns := "ns." + zone + "."
		r := z.some(zone, []dns.RR{&dns.NS{Hdr: header(q.Name, dns.TypeNS, negativeTTL), Ns: ns}})
		r.extra = z.address(dns.Question{Name: ns, Qtype: family(z.server)}, z.server, negativeTTL)
		return r
	}
	return z.nothing(zone, dns.RcodeSuccess)
}

// some is an answer of these records, or that there are none of this type.
func (z *Zones) some(zone string, records []dns.RR) reply {
	if len(records) == 0 {
		return z.nothing(zone, dns.RcodeSuccess)
	}
	return reply{authoritative: true, answer: records}
}

// nothing is an answer without records, with the SOA that says for how long that may be remembered.
func (z *Zones) nothing(zone string, rcode int) reply {
	return reply{rcode: rcode, authoritative: true, author: []dns.RR{z.soa(zone)}}
}

func (z *Zones) soa(zone string) *dns.SOA {
	return &dns.SOA{
		Hdr: header(zone+".", dns.TypeSOA, negativeTTL), Ns: "ns." + zone + ".", Mbox: "hostmaster." + zone + ".",
		Serial: z.serial, Refresh: 3600, Retry: 600, Expire: 86400, Minttl: negativeTTL,
	}
}

// address is an address as the question wants it: none of the other family, and for ANY just that (RFC 8482).
func (z *Zones) address(q dns.Question, a netip.Addr, ttl uint32) []dns.RR {
	if q.Qtype != family(a) && q.Qtype != dns.TypeANY {
		return nil
	}
	if a.Is4() {
		return []dns.RR{&dns.A{Hdr: header(q.Name, dns.TypeA, ttl), A: a.AsSlice()}}
	}
	return []dns.RR{&dns.AAAA{Hdr: header(q.Name, dns.TypeAAAA, ttl), AAAA: a.AsSlice()}}
}

func family(a netip.Addr) uint16 {
	if a.Is4() {
		return dns.TypeA
	}
	return dns.TypeAAAA
}

func header(name string, rrtype uint16, ttl uint32) dns.RR_Header {
	return dns.RR_Header{Name: name, Rrtype: rrtype, Class: dns.ClassINET, Ttl: ttl}
}

// Resolve answers a name, without a dot at its end, with all that it has, in words: the code, the records of types A,
// AAAA and SRV, and the organisation that it belongs to; "" if that is not known.
func (z *Zones) Resolve(name string) (code string, records []string, org string) {
	records = []string{}
	for _, qtype := range []uint16{dns.TypeA, dns.TypeAAAA, dns.TypeSRV} {
		r := z.Answer(dns.Question{Name: dns.Fqdn(name), Qtype: qtype, Qclass: dns.ClassINET})
		code = dns.RcodeToString[r.rcode]
		for _, rr := range r.answer {
			records = append(records, strings.ReplaceAll(rr.String(), "\t", " "))
		}
	}
	z.mu.RLock()
	defer z.mu.RUnlock()
	return code, records, z.zoneOf(name)
}
