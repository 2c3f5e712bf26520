package rib

import (
	"slices"
	"strings"
	"time"

	"github.com/catalyst-router/catalyst/bgp"
)

// Bounds of the books of offerers.
const (
	maxOfferers   = 64                 // nodes in one book; whoever comes after contests the name and is not listed
	maxNewcomers  = 16                 // named between two calls of TakeNewcomers; all are counted
	forgetOfferer = 7 * 24 * time.Hour // an agreed node that has not offered the name for so long is forgotten
	searchEvery   = time.Hour          // the books are searched for nodes to forget
	searchSlice   = 2000               // services of one slice of that search
)

// Offerer is a node that offers a name: it originates an accepted path of it, or did so before.
type Offerer struct {
	Node    bgp.NodeID
	Since   time.Time // when it was first heard to offer the name; whole seconds
	Agreed  bool      // it was the first, or there from the start, or is this node, or an operator agreed to it
	Present bool      // an accepted path of it is there now
}

// Offers are the offerers that the table remembers of a name, the longest-standing first; none if it has forgotten
// them.
type Offers struct {
	Service  bgp.Service
	Offerers []Offerer
	// Contested tells that a node offers the name without agreement.
	Contested bool
}

// Newcomer is a node that began to offer a name that was another's.
type Newcomer struct {
	Service  bgp.Service
	Node     bgp.NodeID // who is new
	Standing bgp.NodeID // who has offered the name for longest
}

// books remember who offers a name, by service number. There is a book for each name that two nodes have offered at
// once and, with Config.HoldNames, for every name. An example: edge-1 has offered books.acme.example for a week when
// edge-9 announces it too. The book then says "edge-1, agreed" and "edge-9, not agreed", and the name counts as
// contested until an operator agrees or edge-9 withdraws. With HoldNames, the paths of edge-9 rank after every usable
// one of edge-1 meanwhile.
type books struct {
	by        map[uint32]*book
	contested int
	// learning: this node reads its first tables, so whoever offers a name now is taken to have done so before.
	learning  bool
	newcomers []Newcomer // of late, at most maxNewcomers
	many      int        // newcomers of late
	watched   bool       // somebody keeps the books: changes are noted
	changed   map[bgp.Service]struct{}
	searchAt  time.Time // when the next search begins
	at        uint32    // where the search under way goes on
	searching bool
}

// book is what is remembered of one name. It owns the name.
type book struct {
	offerers  []offerer // the longest-standing first
	kept      bool      // it is from before this node was started
	contested bool
}

// offerer is one line of a book.
type offerer struct {
	node    string // short form
	since   int64  // Unix seconds
	left    int64  // Unix seconds at which its last path went; 0 while it has one
	agreed  bool
	present bool
}

func (b *book) find(node string) *offerer {
	for i := range b.offerers {
		if b.offerers[i].node == node {
			return &b.offerers[i]
		}
	}
	return nil
}

// origin returns the node that originates an accepted path, in its short form. It may alias the arena.
func (t *Table) origin(x *path) string {
	if x.peer == Local {
		return t.self
	}
	return t.sums[x.attrs].Origin(t.attrs.bytes(x.attrs))
}

// offered enters who originates path i, which has just been accepted, in the book of its name.
func (t *Table) offered(i uint32) {
	x := &t.paths[i]
	if !t.name(x.svc).Below(t.cfg.Self.Org) {
		return // which node of another organisation offers its names is that organisation's affair
	}
	b := t.books.by[x.svc]
	if b == nil && !t.cfg.HoldNames && !t.isNewOrigin(i) {
		return
	}
	if b == nil {
		b = t.openBook(i)
	}
	origin := t.origin(x)
	if o := b.find(origin); o != nil {
		if x.peer == Local && !o.agreed {
			o.agreed = true
			t.noteBook(x.svc)
		}
		return
	}
	agreed := len(b.offerers) == 0 || t.books.learning && !b.kept || x.peer == Local
	if !agreed {
		t.noteNewcomer(x.svc, origin, b.offerers[0].node)
	}
	if len(b.offerers) < maxOfferers {
		b.offerers = append(b.offerers, offerer{node: strings.Clone(origin), since: t.now.Unix(), agreed: agreed})
		t.noteBook(x.svc)
	}
}

// isNewOrigin tells whether path i has an originator that no other accepted path of its name has, and there are others.
func (t *Table) isNewOrigin(i uint32) bool {
	x := &t.paths[i]
	origin, others := "", false
	for j := t.svcs[x.svc].head; j != none; j = t.paths[j].next {
		y := &t.paths[j]
		if j == i || y.reject != Accepted {
			continue
		}
		if origin == "" {
			origin = t.origin(x)
		}
		if y.attrs == x.attrs && x.peer != Local && y.peer != Local || t.origin(y) == origin {
			return false
		}
		others = true
	}
	return others
}

// openBook begins the book of a name with whoever offers it by other paths than i.
func (t *Table) openBook(i uint32) *book {
	svc := t.paths[i].svc
	b := &book{}
	for j := t.svcs[svc].head; j != none; j = t.paths[j].next {
		y := &t.paths[j]
		if j == i || y.reject != Accepted || b.find(t.origin(y)) != nil || len(b.offerers) == maxOfferers {
			continue
		}
		b.offerers = append(b.offerers, offerer{
			node:    strings.Clone(t.origin(y)),
			since:   t.now.Unix(),
			agreed:  true,
			present: true,
		})
	}
	slices.SortFunc(b.offerers, func(x, y offerer) int { return strings.Compare(x.node, y.node) })
	t.keepBook(svc, b)
	return b
}

func (t *Table) keepBook(svc uint32, b *book) {
	if t.books.by == nil {
		t.books.by = map[uint32]*book{}
	}
	t.books.by[svc] = b
	t.names.retain(svc)
}

func (t *Table) closeBook(svc uint32, b *book) {
	if b.contested {
		t.books.contested--
	}
	t.noteBook(svc)
	delete(t.books.by, svc)
	t.releaseName(svc)
}

// noteBook notes that a book has changed, for whoever keeps it.
func (t *Table) noteBook(svc uint32) {
	if !t.books.watched {
		return
	}
	if t.books.changed == nil {
		t.books.changed = map[bgp.Service]struct{}{}
	}
	t.books.changed[bgp.Service(strings.Clone(string(t.name(svc))))] = struct{}{}
}

func (t *Table) noteNewcomer(svc uint32, node, standing string) {
	t.books.many++
	if len(t.books.newcomers) < maxNewcomers {
		t.books.newcomers = append(t.books.newcomers,
			Newcomer{bgp.Service(strings.Clone(string(t.name(svc)))), nodeOf(node), nodeOf(standing)})
	}
}

// nodeOf parses a short form that has been checked before. The result refers to nothing of the table.
func nodeOf(short string) bgp.NodeID {
	org, name, _ := strings.Cut(strings.Clone(short), "/")
	return bgp.NodeID{Org: bgp.Org(org), Name: name}
}

// review brings the book of a name to what its paths are now.
func (t *Table) review(svc uint32, b *book) {
	for i := range b.offerers {
		b.offerers[i].present = false
	}
	contested := false
	for j := t.svcs[svc].head; j != none; j = t.paths[j].next {
		if y := &t.paths[j]; y.reject == Accepted {
			o := b.find(t.origin(y))
			contested = contested || o == nil || !o.agreed
			if o != nil {
				o.present, o.left = true, 0
			}
		}
	}
	b.offerers = slices.DeleteFunc(b.offerers, func(o offerer) bool {
		if gone := !o.present && !o.agreed; gone {
			t.noteBook(svc)
			return true
		}
		return false
	})
	for i := range b.offerers {
		if o := &b.offerers[i]; !o.present && o.left == 0 {
			o.left = t.now.Unix()
		}
	}
	if contested != b.contested {
		if b.contested = contested; contested {
			t.books.contested++
		} else {
			t.books.contested--
		}
	}
	if len(b.offerers) == 0 || len(b.offerers) == 1 && !contested && !b.kept && !t.cfg.HoldNames {
		t.closeBook(svc, b)
	}
}

// standing marks the candidates of a contested name that rank behind: those of nodes that are not agreed to.
func (t *Table) standing(svc uint32, list []candidate) {
	b := t.books.by[svc]
	if b == nil {
		return
	}
	for n := range list {
		o := b.find(t.origin(&t.paths[list[n].path]))
		list[n].keys.contesting = o == nil || !o.agreed
	}
}

// SetTime says what time it is, for the books of offerers.
func (t *Table) SetTime(now time.Time) { t.now = now }

// SetLearning says whether this node reads its first tables: whoever offers a name meanwhile is agreed to, unless
// there is a book of the name from before.
func (t *Table) SetLearning(on bool) { t.books.learning = on }

// Remember enters what was known of a name before this node was started.
func (t *Table) Remember(o Offers) {
	svc := t.serviceID(o.Service)
	defer t.releaseName(svc)
	b := t.books.by[svc]
	if b == nil {
		b = &book{}
		t.keepBook(svc, b)
	}
	b.kept = true
	for _, was := range o.Offerers {
		if b.find(was.Node.String()) == nil && len(b.offerers) < maxOfferers {
			b.offerers = append(b.offerers, offerer{node: was.Node.String(), since: was.Since.Unix(), agreed: was.Agreed})
		}
	}
	slices.SortStableFunc(b.offerers, func(x, y offerer) int { return int(x.since - y.since) })
	t.touch(svc)
	t.settle(bgp.Trace{})
}

// Agree lets a node offer a name as well, or with the zero node all that do; it tells whether that changed anything.
func (t *Table) Agree(name bgp.Service, node bgp.NodeID) bool {
	svc := t.names.find([]byte(name))
	if svc == none || t.books.by[svc] == nil {
		return false
	}
	changed := false
	b := t.books.by[svc]
	for i := range b.offerers {
		if o := &b.offerers[i]; !o.agreed && (node.IsZero() || o.node == node.String()) {
			o.agreed, changed = true, true
		}
	}
	if changed {
		t.noteBook(svc)
		t.touch(svc)
		t.settle(bgp.Trace{})
	}
	return changed
}

// Offers returns what is remembered of a name's offerers.
func (t *Table) Offers(name bgp.Service) Offers {
	out := Offers{Service: name}
	svc := t.names.find([]byte(name))
	if svc == none || t.books.by[svc] == nil {
		return out
	}
	b := t.books.by[svc]
	out.Contested = b.contested
	for _, o := range b.offerers {
		out.Offerers = append(out.Offerers, Offerer{nodeOf(o.node), time.Unix(o.since, 0), o.agreed, o.present})
	}
	return out
}

// AllOffers calls yield for each book, in no order.
func (t *Table) AllOffers(yield func(Offers)) {
	for svc := range t.books.by {
		yield(t.Offers(bgp.Service(strings.Clone(string(t.name(svc))))))
	}
}

// Contested returns how many names somebody offers without agreement.
func (t *Table) Contested() int { return t.books.contested }

// Newcomers tells how many nodes began to offer another's name since TakeNewcomers.
func (t *Table) Newcomers() int { return t.books.many }

// TakeNewcomers returns the first newcomers since the last call, and how many there were.
func (t *Table) TakeNewcomers() ([]Newcomer, int) {
	list, n := t.books.newcomers, t.books.many
	t.books.newcomers, t.books.many = nil, 0
	return list, n
}

// WatchOffers has changes of the books noted from now on, and all that is there counts as changed. What Remember
// enters later does not.
func (t *Table) WatchOffers() {
	if t.books.watched {
		return
	}
	t.books.watched = true
	for svc := range t.books.by {
		t.noteBook(svc)
	}
}

// OffersChanged tells whether TakeOffers has something to return.
func (t *Table) OffersChanged() bool { return len(t.books.changed) > 0 }

// TakeOffers returns up to n books that have changed since they were last taken; one without offerers was closed.
func (t *Table) TakeOffers(n int) []Offers {
	var out []Offers
	for name := range t.books.changed {
		if len(out) == n {
			break
		}
		out = append(out, t.Offers(name))
		delete(t.books.changed, name)
	}
	return out
}

// forgetOfferers goes on with the search for nodes that have not offered a name for long, a slice at a time.
func (t *Table) forgetOfferers() {
	if !t.books.searching {
		if len(t.books.by) == 0 || t.now.Before(t.books.searchAt) {
			return
		}
		t.books.searching, t.books.at, t.books.searchAt = true, 0, t.now.Add(searchEvery)
	}
	end := min(int(t.books.at)+searchSlice, len(t.svcs))
	for svc := t.books.at; int(svc) < end; svc++ {
		b := t.books.by[svc]
		if b == nil {
			continue
		}
		was := len(b.offerers)
		b.offerers = slices.DeleteFunc(b.offerers, func(o offerer) bool {
			return o.left != 0 && t.now.Sub(time.Unix(o.left, 0)) > forgetOfferer
		})
		if len(b.offerers) != was {
			b.kept = b.kept && len(b.offerers) > 1
			t.noteBook(svc)
			t.touch(svc)
		}
	}
	t.books.at = uint32(end)
	t.books.searching = end < len(t.svcs)
}
