package rib

import (
	"encoding/binary"
	"maps"
	"slices"
)

// Services, paths and attribute sets are numbers into arrays. After a flood has gone, most numbers are free and the
// arrays would stay as large as they were. Once less than a quarter of an array is in use, a shrinking gives it a new
// length of twice what is in use: numbers beyond are not given out any more, what still has one is moved below a
// slice at a time, and then the array is cut.
//
// A service is moved when nobody has yet to hear of it, and a path when no peer with add-path knows it by its number;
// others are looked at again later. The numbers of attribute sets are held in too many places to be moved: that array
// is cut where all at its end are free.
const (
	leastShrunk = 1 << 14 // numbers; shorter arrays stay. It is Table.least, but for tests
	shrinkSlice = 2000    // numbers looked at in one step
)

// shrinking is the state of one array.
type shrinking struct {
	limit   uint32 // the new length; 0 while there is nothing to do
	at      uint32 // the next number beyond it to look at
	blocked bool   // something beyond it could not be moved in this pass
	// again is the table's revision at which a pass that moved nothing is tried again.
	again uint64
}

// due tells whether an array of so many numbers, of which so many are in use, is to be shrunk.
func (s *shrinking) due(length, used, least int) bool {
	return s.limit == 0 && length > least && used*4 < length
}

// begin sets the new length for so many numbers in use.
func (s *shrinking) begin(used, least int) uint32 {
	s.limit = uint32(max(least/2, used*2))
	s.at, s.blocked = s.limit, false
	return s.limit
}

// shrink goes on with what there is to shrink. It is called between steps, when nothing is waiting to be decided.
func (t *Table) shrink() {
	t.shrinkPaths()
	t.shrinkNames()
	t.attrs.cutFree(t.least)
	if n := len(t.attrs.refs); len(t.sums) > 2*n && len(t.sums) > t.least {
		t.sums = slices.Clone(t.sums[:n])
	}
}

// isShrinking tells whether shrink has more to do at once.
func (t *Table) isShrinking() bool {
	busy := func(s *shrinking) bool { return s.limit > 0 && s.again != t.revision }
	return busy(&t.fewerPaths) || busy(&t.fewerNames)
}

func (t *Table) shrinkPaths() {
	s := &t.fewerPaths
	if s.due(len(t.paths), t.count.Paths, t.least) {
		limit := s.begin(t.count.Paths, t.least)
		t.spare = none
		for i := limit; i > 0; i-- { // the lowest numbers are given out first
			if x := &t.paths[i-1]; x.svc == none {
				x.next = t.spare
				t.spare = i - 1
			}
		}
	}
	if s.limit == 0 || s.again == t.revision {
		return
	}
	for end := min(s.at+shrinkSlice, uint32(len(t.paths))); s.at < end; s.at++ {
		if t.paths[s.at].svc != none && !t.movePath(s.at) {
			s.blocked = true
		}
	}
	if int(s.at) < len(t.paths) {
		return
	}
	if s.blocked {
		s.at, s.blocked, s.again = s.limit, false, t.revision
		return
	}
	t.paths = slices.Clone(t.paths[:s.limit])
	*s = shrinking{}
}

// giveUpPaths ends a shrinking for which there are too many paths again.
func (t *Table) giveUpPaths() {
	for i := t.fewerPaths.limit; int(i) < len(t.paths); i++ {
		if x := &t.paths[i]; x.svc == none {
			x.next = t.spare
			t.spare = i
		}
	}
	t.fewerPaths = shrinking{}
}

// movePath gives a path the lowest free number, and tells whether it could.
func (t *Table) movePath(i uint32) bool {
	if t.spare == none {
		return false
	}
	x := &t.paths[i]
	for _, p := range t.peers[1:] {
		if p != nil && len(p.more[x.svc]) > 0 {
			return false
		}
	}
	j := t.spare
	t.spare = t.paths[j].next
	at := &t.svcs[x.svc].head
	for *at != i {
		at = &t.paths[*at].next
	}
	*at = j
	p := t.peers[x.peer]
	if x.peerPrev == none {
		p.first = j
	} else {
		t.paths[x.peerPrev].peerNext = j
	}
	if x.peerNext != none {
		t.paths[x.peerNext].peerPrev = j
	}
	for w := range p.walks {
		if p.walks[w].at == i {
			p.walks[w].at = j
		}
	}
	if p.search == i {
		p.search = j
	}
	t.paths[j] = *x
	*x = path{next: none, svc: none, attrs: none, raw: none}
	return true
}

func (t *Table) shrinkNames() {
	s := &t.fewerNames
	if s.limit > 0 && t.names.limit == none {
		*s = shrinking{} // there are too many names again
	}
	if used := len(t.names.refs) - len(t.names.free); s.due(len(t.names.refs), used, t.least) {
		t.names.restrict(s.begin(used, t.least))
	}
	if s.limit == 0 || s.again == t.revision {
		return
	}
	for end := min(s.at+shrinkSlice, uint32(len(t.names.refs))); s.at < end; s.at++ {
		if t.names.counts[s.at] > 0 && !t.moveName(s.at) {
			s.blocked = true
		}
	}
	if int(s.at) < len(t.names.refs) {
		return
	}
	if s.blocked {
		s.at, s.blocked, s.again = s.limit, false, t.revision
		return
	}
	t.names.cut(s.limit)
	t.svcs = slices.Clone(t.svcs[:min(len(t.svcs), int(s.limit))])
	for _, p := range t.peers[1:] {
		if p != nil && len(p.out) > int(s.limit) {
			p.out = slices.Clone(p.out[:s.limit])
		}
	}
	t.traces = maps.Clone(t.traces)
	*s = shrinking{}
}

// moveName gives a service a free number below the limit, and tells whether it could: nobody but its paths, its book
// and the traces may know its number.
func (t *Table) moveName(i uint32) bool {
	owners := uint32(0)
	for k := t.svcs[i].head; k != none; k = t.paths[k].next {
		owners++
	}
	if t.books.by[i] != nil {
		owners++
	}
	scanning := func(s *pendingSet) bool { return s.scanning }
	if t.names.counts[i] != owners || len(t.names.free) == 0 || t.anyPending(scanning) {
		return false
	}
	j := t.names.renumber(i)
	t.svcs[j], t.svcs[i] = t.svcs[i], service{head: none}
	for k := t.svcs[j].head; k != none; k = t.paths[k].next {
		t.paths[k].svc = j
	}
	for _, p := range t.peers[1:] {
		if p == nil {
			continue
		}
		if int(i) < len(p.out) {
			p.out[j], p.out[i] = p.out[i], 0
		}
		moveKey(p.more, i, j)
		for _, a := range p.aggregates {
			moveKey(a.members, i, j)
		}
	}
	for _, c := range t.curs {
		had := c.knows(i)
		c.setKnown(i, false)
		c.setKnown(j, had)
	}
	moveKey(t.traces, i, j)
	moveKey(t.yields, i, j)
	moveKey(t.books.by, i, j)
	return true
}

// anyPending tells whether what a peer or a consumer has yet to hear of is of a kind.
func (t *Table) anyPending(is func(*pendingSet) bool) bool {
	for _, p := range t.peers[1:] {
		if p != nil && is(&p.dirty) {
			return true
		}
	}
	return slices.ContainsFunc(t.curs, func(c *Cursor) bool { return is(&c.set) })
}

func moveKey[V any](m map[uint32]V, from, to uint32) {
	if v, ok := m[from]; ok {
		m[to] = v
		delete(m, from)
	}
}

// restrict has numbers below a limit given out only.
func (in *interner) restrict(limit uint32) {
	in.limit = limit
	in.free = slices.DeleteFunc(in.free, func(id uint32) bool { return id >= limit })
	slices.SortFunc(in.free, func(a, b uint32) int { return int(b) - int(a) }) // the lowest is the next
	in.free = slices.Clip(in.free)
}

// unrestrict ends that: there are too many records again.
func (in *interner) unrestrict() {
	for id := in.limit; int(id) < len(in.refs); id++ {
		if in.counts[id] == 0 {
			in.free = append(in.free, id)
		}
	}
	in.limit = none
}

// renumber gives a record a free number.
func (in *interner) renumber(from uint32) (to uint32) {
	to = in.free[len(in.free)-1]
	in.free = in.free[:len(in.free)-1]
	in.index.replace(in.hash(from), from, to)
	r := in.refs[from]
	binary.LittleEndian.PutUint32(in.chunks[r.chunk].buf[int(r.offset)-headerSize:], to)
	in.refs[to], in.counts[to] = r, in.counts[from]
	in.refs[from], in.counts[from] = ref{}, 0
	return to
}

// cut ends a restriction: nothing is left beyond the limit.
func (in *interner) cut(limit uint32) {
	in.refs, in.counts = slices.Clone(in.refs[:limit]), slices.Clone(in.counts[:limit])
	in.limit = none
}

// cutFree takes free numbers off the end, if more than half of the array is such.
func (in *interner) cutFree(least int) {
	n := len(in.refs)
	if len(in.free) < in.tried/2 {
		in.tried = 0
	}
	if n <= least || len(in.free)*4 < n*3 || len(in.free) < in.tried+n/16 || in.counts[n-1] > 0 {
		return
	}
	in.tried = len(in.free)
	used := n
	for used > least/2 && in.counts[used-1] == 0 {
		used--
	}
	if used*2 > len(in.refs) {
		return
	}
	in.restrict(uint32(used))
	in.cut(uint32(used))
	in.tried = 0
}

// replace has the place of one number taken by another.
func (x *index) replace(hash, from, to uint32) {
	s := &x.shards[hash%shardCount]
	mask := uint32(len(s.slots) - 1)
	i := (hash / shardCount) & mask
	for s.slots[i] != from+1 {
		i = (i + 1) & mask
	}
	s.slots[i] = to + 1
}

// fit gives a shard that is nearly empty fewer slots.
func (s *shard) fit(hashOf func(id uint32) uint32) {
	const least = 64
	if len(s.slots) <= least || s.used*8 > len(s.slots) {
		return
	}
	old := s.slots
	s.slots = make([]uint32, len(old)/4)
	for _, slot := range old {
		if slot != 0 {
			s.place(hashOf(slot-1), slot)
		}
	}
}
