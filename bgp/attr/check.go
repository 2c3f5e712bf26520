package attr

import (
	"math"
	"strings"
	"unsafe"

	"github.com/catalyst-router/catalyst/bgp"
)

// Flags are the yes-or-no facts of a set that decide without decoding it.
type Flags uint16

// The flags.
const (
	HasNextHop Flags = 1 << iota
	HasOriginator
	HasClusterList
	HasOnlyToCustomer
	HasNoExport
	HasNoAdvertise
	HasGracefulShutdown
	HasLongLivedStale
	HasNoLongLived
	HasOrgCommunity // a community that an organisation gives a meaning
)

// Summary holds the comparison keys of a set, so that the decision process need not decode it. Defaults are filled in.
type Summary struct {
	LocalPref   uint32
	MED         uint32
	originStart uint16
	originEnd   uint16
	Weight      uint16
	Flags       Flags
	Hops        uint8 // nodes of the node path
	Orgs        uint8 // organisations of it, runs counted once
	Protocol    bgp.Protocol
	Health      bgp.Health
}

// Has tells whether all of f are set.
func (s *Summary) Has(f Flags) bool { return s.Flags&f == f }

// Origin returns the last hop of the set b that s summarises, in its short form; "" for a route of this node itself.
// It aliases b.
func (s *Summary) Origin(b []byte) string { return alias(b[s.originStart:s.originEnd]) }

// DefaultWeight is the share of traffic of a path that names none.
const DefaultWeight = 100

// MaxWeight is the largest weight of a path.
const MaxWeight = 1000

// Check tells whether b is a canonical encoding that keeps every limit, and summarises it. It allocates nothing. A
// set that fails may still be repaired (Repair says what is wrong and how much it costs).
func Check(b []byte) (Summary, bool) {
	c := checker{sum: Summary{LocalPref: bgp.DefaultLocalPref, Weight: DefaultWeight}}
	if len(b) > MaxSize {
		return c.sum, false
	}
	for rest := alias(b); rest != ""; {
		field, wire, n := tag(rest)
		if n == 0 || field < c.last {
			return c.sum, false
		}
		c.again = field == c.last
		c.last = field
		rest = rest[n:]
		var ok bool
		switch wire {
		case wireVarint:
			v, n := uvarint(rest)
			if n == 0 || v == 0 {
				return c.sum, false
			}
			rest = rest[n:]
			ok = c.number(field, v)
		case wireBytes:
			v, n := lengthDelimited(rest)
			if n == 0 || v == "" {
				return c.sum, false
			}
			ok = c.text(field, v, len(b)-len(rest)+n-len(v))
			rest = rest[n:]
		}
		if !ok {
			return c.sum, false
		}
	}
	return c.sum, c.sum.Protocol.Valid()
}

type checker struct {
	sum     Summary
	last    int
	again   bool   // the field has the number of the one before
	prev    string // value of the field before, for sorted lists
	prevOrg string
	count   int
}

func (c *checker) number(field int, v uint64) bool {
	if c.again || v > math.MaxUint32 {
		return false
	}
	switch field {
	case fieldProtocol:
		c.sum.Protocol = bgp.Protocol(min(v, math.MaxUint8))
		return c.sum.Protocol.Valid()
	case fieldLocalPref:
		c.sum.LocalPref = uint32(v)
	case fieldMED:
		c.sum.MED = uint32(v)
	case fieldHealth:
		c.sum.Health = bgp.Health(min(v, math.MaxUint8))
		return c.sum.Health <= bgp.HealthDraining
	case fieldWeight:
		c.sum.Weight = uint16(min(v, math.MaxUint16))
		return v <= MaxWeight
	default:
		return false
	}
	return true
}

// text takes one length-delimited field, whose value begins at the offset at of the set.
func (c *checker) text(field int, v string, at int) bool {
	if !c.again {
		c.prev, c.count = "", 0
	}
	c.count++
	prev := c.prev
	c.prev = v
	switch field {
	case fieldNodePath:
		return c.hop(v, at)
	case fieldCommunities:
		return c.count <= bgp.MaxTags && v > prev && c.community(v)
	case fieldOnlyToCustomer:
		c.sum.Flags |= HasOnlyToCustomer
		return !c.again && isOrg(v)
	case fieldNextHop:
		c.sum.Flags |= HasNextHop
		return !c.again && isNextHop(v)
	case fieldOriginator:
		c.sum.Flags |= HasOriginator
		return !c.again && isNode(v)
	case fieldClusterList:
		c.sum.Flags |= HasClusterList
		return c.count <= bgp.MaxHops && isNode(v)
	case fieldRegion:
		return !c.again && IsText(v)
	case fieldTags:
		return c.count <= bgp.MaxTags && v > prev && IsText(v)
	case fieldAttestation:
		return !c.again
	}
	return false
}

func (c *checker) hop(v string, at int) bool {
	if c.count > bgp.MaxHops || !isNode(v) {
		return false
	}
	org := v[:strings.IndexByte(v, '/')]
	if org != c.prevOrg {
		c.sum.Orgs++
		c.prevOrg = org
	}
	c.sum.Hops++
	c.sum.originStart, c.sum.originEnd = uint16(at), uint16(at+len(v))
	return true
}

func (c *checker) community(v string) bool {
	switch v {
	case bgp.NoExport.Key:
		c.sum.Flags |= HasNoExport
	case bgp.NoAdvertise.Key:
		c.sum.Flags |= HasNoAdvertise
	case bgp.GracefulShutdown.Key:
		c.sum.Flags |= HasGracefulShutdown
	case bgp.LongLivedStale.Key:
		c.sum.Flags |= HasLongLivedStale
	case bgp.NoLongLived.Key:
		c.sum.Flags |= HasNoLongLived
	default:
		c.sum.Flags |= HasOrgCommunity
		parsed, err := bgp.ParseCommunity(v)
		return err == nil && parsed.String() == v
	}
	return true
}

func isOrg(v string) bool { return strings.IndexByte(v, '.') > 0 && bgp.CheckName(v) == nil }

func isNode(v string) bool {
	slash := strings.IndexByte(v, '/')
	return slash > 0 && len(v)+len("spiffe://node/") <= bgp.MaxNameLength && isOrg(v[:slash]) &&
		bgp.CheckName(v[slash+1:]) == nil
}

// IsText tells whether v is a tag or a region: 1 to bgp.MaxTagLength printable ASCII characters without spaces at the
// ends.
func IsText(v string) bool {
	if v == "" || len(v) > bgp.MaxTagLength || v[0] == ' ' || v[len(v)-1] == ' ' {
		return false
	}
	for i := range len(v) {
		if v[i] < ' ' || v[i] > '~' {
			return false
		}
	}
	return true
}

func isNextHop(v string) bool {
	node, address, ok := splitNextHop(v)
	return ok && (node == "" || isNode(node)) &&
		(address == "" || IsText(address) && len(address) <= bgp.MaxEndpointLength)
}

// splitNextHop reads message NextHop in canonical form.
func splitNextHop(v string) (node, address string, ok bool) {
	last := 0
	for v != "" {
		field, wire, n := tag(v)
		if n == 0 || wire != wireBytes || field <= last {
			return "", "", false
		}
		last = field
		value, m := lengthDelimited(v[n:])
		if m == 0 || value == "" {
			return "", "", false
		}
		switch field {
		case fieldNextHopNode:
			node = value
		case fieldNextHopAddress:
			address = value
		default:
			return "", "", false
		}
		v = v[n+m:]
	}
	return node, address, node != "" || address != ""
}

// FirstHop returns the nearest node of the set b in its short form, "" if its node path is empty. b has to have
// passed Check; the result aliases it.
func FirstHop(b []byte) string {
	for v := range hops(alias(b), fieldNodePath) {
		return v
	}
	return ""
}

// ContainsNode tells whether the node path of b, which has passed Check, names the node (short form).
func ContainsNode(b []byte, node string) bool {
	for v := range hops(alias(b), fieldNodePath) {
		if v == node {
			return true
		}
	}
	return false
}

// ContainsHub tells whether the cluster list of b, which has passed Check, names the node (short form).
func ContainsHub(b []byte, node string) bool {
	for v := range hops(alias(b), fieldClusterList) {
		if v == node {
			return true
		}
	}
	return false
}

// CrossesOrg tells whether the node path of b, which has passed Check, enters org again after having left it, seen
// from a node of org that receives it: that is, whether any hop of org lies behind a hop of another organisation.
func CrossesOrg(b []byte, org bgp.Org) bool {
	left := false
	for v := range hops(alias(b), fieldNodePath) {
		same := strings.HasPrefix(v, string(org)) && len(v) > len(org) && v[len(org)] == '/'
		if same && left {
			return true
		}
		left = left || !same
	}
	return false
}

// hops walks the values of one repeated text field of a set that has passed Check.
func hops(s string, want int) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		for s != "" {
			field, wire, n := tag(s)
			if n == 0 || field > want {
				return
			}
			s = s[n:]
			if wire == wireVarint {
				_, n := uvarint(s)
				s = s[n:]
				continue
			}
			v, n := lengthDelimited(s)
			if field == want && !yield(v) {
				return
			}
			s = s[n:]
		}
	}
}

// tag reads a field's number and wire type; n is 0 if there is none to read.
func tag(s string) (field, wire, n int) {
	v, n := uvarint(s)
	if n == 0 || v>>3 == 0 || v>>3 > 1<<20 {
		return 0, 0, 0
	}
	return int(v >> 3), int(v & 7), n
}

// uvarint reads a varint in its shortest form; n is 0 if there is none.
func uvarint(s string) (v uint64, n int) {
	for shift := 0; n < len(s) && shift < 64; shift += 7 {
		c := s[n]
		n++
		if c < 0x80 {
			if c == 0 && n > 1 || shift == 63 && c > 1 {
				return 0, 0
			}
			return v | uint64(c)<<shift, n
		}
		v |= uint64(c&0x7f) << shift
	}
	return 0, 0
}

// lengthDelimited reads a value behind its length; n counts both, and is 0 if the value is not all there.
func lengthDelimited(s string) (v string, n int) {
	size, n := uvarint(s)
	if n == 0 || size > uint64(len(s)-n) {
		return "", 0
	}
	return s[n : n+int(size)], n + int(size)
}

// alias views b as a string without a copy. Sets are never changed once encoded, which is what makes this sound.
func alias(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

// EntersOrg tells whether any hop of the node path of b, which has passed Check, lies in org.
func EntersOrg(b []byte, org bgp.Org) bool {
	for v := range hops(alias(b), fieldNodePath) {
		if strings.HasPrefix(v, string(org)) && len(v) > len(org) && v[len(org)] == '/' {
			return true
		}
	}
	return false
}

// OnlyToCustomer returns the organisation that marked the set b, which has passed Check; "" if none did. It aliases b.
func OnlyToCustomer(b []byte) string {
	for v := range hops(alias(b), fieldOnlyToCustomer) {
		return v
	}
	return ""
}

// FirstForeignOrg returns the nearest organisation on the node path of b, which has passed Check, that is not own; ""
// if there is none. It aliases b.
func FirstForeignOrg(b []byte, own bgp.Org) string {
	for v := range hops(alias(b), fieldNodePath) {
		if org := v[:strings.IndexByte(v, '/')]; org != string(own) {
			return org
		}
	}
	return ""
}

// EachOrg calls yield with the organisations of the node path of b, which has passed Check, nearest first, each run of
// equal ones once. The names alias b.
func EachOrg(b []byte, yield func(org string)) {
	last := ""
	for v := range hops(alias(b), fieldNodePath) {
		if org := v[:strings.IndexByte(v, '/')]; org != last {
			yield(org)
			last = org
		}
	}
}

// AppendOrgPath appends the organisations of the node path of b to dst as EachOrg gives them, a space between two.
func AppendOrgPath(dst, b []byte) []byte {
	begin := len(dst)
	EachOrg(b, func(org string) {
		if len(dst) > begin {
			dst = append(dst, ' ')
		}
		dst = append(dst, org...)
	})
	return dst
}

// CountHubs returns the length of the cluster list of b, which has passed Check.
func CountHubs(b []byte) int {
	n := 0
	for range hops(alias(b), fieldClusterList) {
		n++
	}
	return n
}

// NextHopNode returns the node of the next hop that b, which has passed Check, names, in its short form; "" if it
// names none. It aliases b.
func NextHopNode(b []byte) string {
	for v := range hops(alias(b), fieldNextHop) {
		node, _, _ := splitNextHop(v)
		return node
	}
	return ""
}
