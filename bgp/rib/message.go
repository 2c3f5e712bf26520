package rib

import (
	"hash/maphash"
	"slices"
	"unsafe"

	"github.com/catalyst-router/catalyst/bgp"
	"github.com/catalyst-router/catalyst/bgp/attr"
)

// bulkBatch is how many services have to change at once for messages to be cut where the batch ends. Peers that take
// their messages at different times then still get the same ones.
const bulkBatch = 32

// A draft is what one message will say, in numbers. Peers with the same draft are sent the same message.
type draft struct {
	items  []item
	popped []uint32         // services taken from the queue, each with an owner of its name
	groups map[uint32]int32 // number of a set → its group
	size   int              // of the message, in bytes, about
	trace  bgp.Trace        // the oldest of the services that changed
	dump   bool             // what is added now is there since long: the table of a new session, or a refresh
}

// item is one service of a draft.
type item struct {
	svc, id uint32
	set     uint32 // none if it is withdrawn
}

func (d *draft) reset() {
	d.items, d.popped, d.size, d.trace = d.items[:0], d.popped[:0], 0, bgp.Trace{}
	clear(d.groups)
}

func (d *draft) full() bool {
	return len(d.items) >= bgp.MaxUpdateRoutes || d.size >= bgp.MaxUpdateSize-attr.MaxSize/16
}

func (d *draft) withdraw(t *Table, svc, id uint32) { d.add(t, item{svc, id, none}) }

func (d *draft) announce(t *Table, svc, id, set uint32) {
	if _, known := d.groups[set]; !known {
		if d.groups == nil {
			d.groups = map[uint32]int32{}
		}
		d.groups[set] = int32(len(d.groups))
		d.size += int(t.attrs.refs[set].length) + len(t.self) + 16
	}
	d.add(t, item{svc, id, set})
}

func (d *draft) add(t *Table, i item) {
	d.items = append(d.items, i)
	d.size += int(t.names.refs[i.svc].length) + 8
	if trace, ok := t.traces[i.svc]; ok && !d.dump && (d.trace.Declared == 0 || trace.Declared < d.trace.Declared) {
		d.trace = trace
	}
}

// message returns the message that the draft for p describes: one that another peer was given, if there is one.
func (t *Table) message(p *peer, marker bgp.Marker) *bgp.Update {
	d := &t.draft
	if len(d.items) == 0 {
		return &bgp.Update{Marker: marker}
	}
	waiting := t.othersWait(p)
	var hash uint64
	if waiting || !t.recent.empty() {
		hash = maphash.Bytes(t.recent.seed, unsafe.Slice((*byte)(unsafe.Pointer(&d.items[0])),
			len(d.items)*int(unsafe.Sizeof(item{}))))
		if u := t.recent.find(hash, d, marker); u != nil {
			return u
		}
	}
	u := t.write(d)
	u.Marker, u.Trace = marker, d.trace
	if waiting {
		u.Encoded = &bgp.Encoded{}
		t.recent.keep(t, hash, d, u)
	}
	return u
}

// waits tells whether a peer has yet to hear of something.
func (p *peer) waits(t *Table) bool { return p.up && p.dirty.left(len(t.svcs)) > 0 }

func (t *Table) othersWait(p *peer) bool {
	return slices.ContainsFunc(t.peers[1:], func(o *peer) bool { return o != nil && o != p && o.waits(t) })
}

// write makes the message of a draft. What it refers to is not changed later.
func (t *Table) write(d *draft) *bgp.Update {
	u := &bgp.Update{}
	if n := len(d.groups); n > 0 {
		u.Announced = make([]bgp.Group, n)
	}
	counts := make([]int, len(u.Announced))
	withdrawn, bytes := 0, 0
	for _, i := range d.items {
		if i.set == none {
			withdrawn++
			continue
		}
		g := d.groups[i.set]
		if counts[g]++; counts[g] == 1 {
			bytes += t.sentSize(i.set)
		}
	}
	routes := make([]bgp.NLRI, len(d.items))
	u.Withdrawn, routes = slices.Clip(routes[:0:withdrawn]), routes[withdrawn:]
	arena := make([]byte, 0, bytes)
	for _, i := range d.items {
		n := bgp.NLRI{Service: t.name(i.svc), PathID: i.id}
		if i.set == none {
			u.Withdrawn = append(u.Withdrawn, n)
			continue
		}
		index := d.groups[i.set]
		g := &u.Announced[index]
		if g.Routes == nil {
			start := len(arena)
			arena = t.appendSent(arena, i.set)
			g.Attributes = arena[start:len(arena):len(arena)]
			g.Routes, routes = routes[:0:counts[index]], routes[counts[index]:]
		}
		g.Routes = append(g.Routes, n)
	}
	return u
}

// sentSize is the most bytes that appendSent appends.
func (t *Table) sentSize(set uint32) int { return int(t.attrs.refs[set].length) + len(t.self) + 8 }

// appendSent appends a set as peers get it: with this node as the nearest hop, unless it reflects.
func (t *Table) appendSent(dst []byte, set uint32) []byte {
	b := t.attrs.bytes(set)
	if t.sums[set].Has(attr.HasClusterList) {
		return append(dst, b...)
	}
	return attr.PrependHop(dst, t.self, b)
}

// A recent keeps the last messages while peers wait that may have to hear the same.
type recent struct {
	seed maphash.Seed
	ring [16]kept
	next int
	held int
}

// kept is a message with its draft, which owns the names and sets in it.
type kept struct {
	hash  uint64
	items []item
	u     *bgp.Update
}

func (r *recent) empty() bool { return r.held == 0 }

func (r *recent) find(hash uint64, d *draft, marker bgp.Marker) *bgp.Update {
	for i := range r.ring {
		k := &r.ring[i]
		if k.u != nil && k.hash == hash && k.u.Marker == marker && k.u.Trace == d.trace && slices.Equal(k.items, d.items) {
			return k.u
		}
	}
	return nil
}

func (r *recent) keep(t *Table, hash uint64, d *draft, u *bgp.Update) {
	k := &r.ring[r.next]
	r.next = (r.next + 1) % len(r.ring)
	r.drop(t, k)
	*k = kept{hash: hash, items: slices.Clone(d.items), u: u}
	r.held++
	for _, i := range k.items {
		t.names.retain(i.svc)
		t.retainSet(i.set)
	}
}

func (r *recent) drop(t *Table, k *kept) {
	if k.u == nil {
		return
	}
	for _, i := range k.items {
		t.releaseName(i.svc)
		t.releaseSet(i.set)
	}
	*k = kept{}
	r.held--
}

// settle drops everything once nobody waits.
func (r *recent) settle(t *Table) {
	if r.held == 0 || slices.ContainsFunc(t.peers[1:], func(p *peer) bool { return p != nil && p.waits(t) }) {
		return
	}
	for i := range r.ring {
		r.drop(t, &r.ring[i])
	}
}
