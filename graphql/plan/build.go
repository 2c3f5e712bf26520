package plan

import (
	"fmt"
	"slices"

	"github.com/vektah/gqlparser/v2/ast"

	"github.com/catalyst-router/catalyst/graphql/plan/graph"
)

// A draft is made in three layers, each a type that knows those before it only:
//
//   - merged is what was decided so far: the tree of positions and slots, and the groups with what they fetch.
//   - pricer reads it: which subgraphs could deliver something, in which way, and at what cost. It decides nothing.
//   - builder decides, and extends the tree by what it decided.
//
// When nothing is left to decide, a scheduler makes requests of the groups.

// merged is the tree of what is fetched, into which the answers of all requests are merged, and the requests (groups).
type merged struct {
	g    *graph.Graph
	kind Kind

	root   *position
	groups []*group
	// block is the deferred fragment being built, 0 for none; parents says which one encloses which.
	block   int
	parents []int
	// segment is the step of a mutation being built.
	segment   int
	positions int
	version   int // counts what was built, to know when a table is out of date
	steps     int // work done, by all layers
}

// pricer works out how subgraphs could be had and what that would cost.
type pricer struct {
	*merged
	p *Planner
	f *Facts

	estimates map[estimateKey]estimate
	floor     int // rounds that the plan needs anyway
	// keying says that a key is being fetched: that may be added to what an enclosing block fetches.
	keying bool
	// apart keeps what could be asked early out of requests that are made later. waits says that it makes a difference.
	apart, waits bool
}

// builder makes one draft of a plan: which subgraph is asked for what, and what each request waits for. Where it has
// a choice it takes the cheapest option, or the one that choices names; the search tries builders with different
// choices.
type builder struct {
	*pricer

	// answers are the slots of the client's entries, one or more for each.
	answers map[*graph.Entry][]*slot
	todo    []task
	// early are the entries that are fetched with an enclosing block, and with which one.
	early     map[*graph.Entry]int
	choices   map[string]int // the subgraph to take, by decision
	decisions []decision
}

// decision is a choice that the builder had.
type decision struct {
	name    string
	options []int // subgraphs
	taken   int   // one of them
}

// task is a selection still to be built at a position.
type task struct {
	pos *position
	sel *graph.Selection
}

// group is a request in the making: root fields, or entities at one position.
type group struct {
	id  int
	sub int
	// pos is where the entities are; the root for root fields.
	pos    *position
	entity bool
	// via is the interface under whose name entities are represented, or nil if under their own.
	via   *graph.Type
	view  *view
	needs []need
	// givens are the arguments that enclosing objects fill.
	givens []*given
	// reads are the groups whose data it needs, feeds those that need its own. depth is the longest chain of reads.
	reads, feeds []*group
	depth        int
	block        int
	segment      int
	wave         int
	merged       *group // the group that took this one in, or nil
	// root says that it asks for root fields, at a position below the root.
	root bool
}

// need is what the representations of some types consist of.
type need struct {
	on   graph.TypeSet
	keys []*graph.Selection // one for each type, all spelt alike
	text string
	// requires are selections that the subgraph's fields need to be told.
	requires []*graph.Selection
}

// position is a place in the merged tree where objects are.
type position struct {
	id   int
	slot *slot // whose values are here; nil for the root
	// types that the client's view of the schema allows here; reach those that the subgraphs can really return.
	types, reach graph.TypeSet
	// alternatives are the types that each subgraph could return that might have been asked for the objects here; nil
	// if they are the same.
	alternatives []graph.TypeSet
	views        []*view
	slots        []*slot
	named        map[string][]*slot // slots by the names of their fields; nil while there are few
	scope        *scope
	// iface is the interface that some view knows as an object only, or nil.
	iface    *graph.Type
	entering map[int]bool
	entered  []*group // the requests for entities here
	table    *table
}

// fewSlots is how many slots are found without an index.
const fewSlots = 16

// add appends a slot.
func (p *position) add(s *slot) {
	p.slots = append(p.slots, s)
	switch {
	case p.named != nil:
		p.named[s.name] = append(p.named[s.name], s)
	case len(p.slots) > fewSlots:
		p.named = make(map[string][]*slot, 4*fewSlots)
		for _, s := range p.slots {
			p.named[s.name] = append(p.named[s.name], s)
		}
	}
}

// of are the slots among which those of a field are, in their order.
func (p *position) of(name string) []*slot {
	if p.named == nil {
		return p.slots
	}
	return p.named[name]
}

// enter notes that a subgraph is being entered here, until what it returns is called.
func (p *position) enter(s int) (leave func()) {
	if p.entering[s] {
		return func() {}
	}
	p.entering[s] = true
	return func() { delete(p.entering, s) }
}

// static reports whether objects here have one possible type only.
func (p *position) static() bool { return p.types.Len() == 1 }

// slot is a field of the merged tree.
type slot struct {
	pos        *position
	name, args string
	vars       []string
	on         graph.TypeSet
	source     string
	client     string // response key; "" if the client did not ask for it
	child      *position
	supplies   []supply
	forks      []*slot // slots of types that were split off
}

// supply says that a view fetches a slot for some types.
type supply struct {
	view *view
	on   graph.TypeSet
}

// view is what one group selects at one position.
type view struct {
	group *group
	pos   *position
	// declared is the type that the subgraph declares here; nil where entities are entered.
	declared *graph.Type
	possible graph.TypeSet
	// opaque: the subgraph knows an interface as an object, and cannot tell run-time types.
	opaque   bool
	provided *graph.Selection
	picks    []*pick
}

// pick is a slot selected in a view.
type pick struct {
	slot   *slot
	on     graph.TypeSet
	child  *view
	givens []*given // arguments that clients do not give
}

func (b *merged) newPosition(s *slot, types graph.TypeSet, sc *scope) *position {
	b.positions++
	return &position{id: b.positions, slot: s, types: types, scope: sc, entering: map[int]bool{}}
}

func (b *merged) newGroup(sub int, pos *position) *group {
	gr := &group{id: len(b.groups), sub: sub, pos: pos, depth: 1, block: b.block, segment: b.segment}
	gr.view = &view{group: gr, pos: pos}
	b.groups = append(b.groups, gr)
	pos.views = append(pos.views, gr.view)
	b.version++
	return gr
}

// rootGroup returns the request for root fields of a subgraph in this step and block, made if need be.
func (b *merged) rootGroup(sub int) *group {
	for _, gr := range b.groups {
		if !gr.entity && gr.sub == sub && gr.block == b.block && gr.segment == b.segment {
			return gr
		}
	}
	gr := b.newGroup(sub, b.root)
	t := b.g.Root(b.kind.operation())
	gr.view.declared, gr.view.possible = t, t.Possible
	return gr
}

// read makes a group wait for others.
func (gr *group) read(deps []*group) {
	for _, d := range deps {
		if d == gr || slices.Contains(gr.reads, d) {
			continue
		}
		gr.reads = append(gr.reads, d)
		d.feeds = append(d.feeds, gr)
		gr.deepen(d.depth + 1)
	}
}

func (gr *group) deepen(depth int) {
	if depth <= gr.depth {
		return
	}
	gr.depth = depth
	for _, f := range gr.feeds {
		f.deepen(depth + 1)
	}
}

// waitsFor reports whether gr needs d, or is it.
func (gr *group) waitsFor(d *group) bool {
	if gr == d {
		return true
	}
	if gr.depth <= d.depth {
		return false
	}
	for _, r := range gr.reads {
		if r.waitsFor(d) {
			return true
		}
	}
	return false
}

// visible reports whether what a group fetches is there for the block being built.
func (b *merged) visible(gr *group) bool {
	for at := b.block; ; at = b.parents[at] {
		if gr.block == at {
			return true
		}
		if at == 0 {
			return false
		}
	}
}

func (b *pricer) rounds() int {
	n := b.floor
	for _, gr := range b.groups {
		n = max(n, gr.depth)
	}
	return n
}

// operation is the kind in the parser's terms.
func (k Kind) operation() ast.Operation {
	switch k {
	case Mutation:
		return ast.Mutation
	case Subscribe:
		return ast.Subscription
	}
	return ast.Query
}

// build drafts the requests for a selection on the root type.
func (b *builder) build(sel *graph.Selection) error {
	t := b.g.Root(b.kind.operation())
	b.root = b.newPosition(nil, t.Possible, newScope())
	b.root.reach = t.Possible
	if b.kind == Query {
		b.todo = append(b.todo, task{b.root, sel})
		return b.run()
	}
	return b.serial(sel)
}

// serial drafts root fields in order, each with all it needs before the next; neighbours that need nothing else share
// a request.
func (b *builder) serial(sel *graph.Selection) error {
	last := -1 // subgraph of the last step, if the next one may join it
	for _, e := range sel.Entries {
		if e.Denied || e.Name == graph.TypeName || isIntrospection(e.Name) {
			continue
		}
		sl := b.slot(b.root, e, e.On)[0]
		b.answers[e] = []*slot{sl}
		opts := b.serialOptions(sl, e)
		sub := b.serialSubgraph(opts, last)
		if sub < 0 {
			return b.unresolvable(sl, e.On)
		}
		if sl.child != nil {
			sl.child.alternatives = b.alternatives(sl, e.On, opts)
		}
		if sub != last {
			b.segment++
		}
		before := len(b.groups)
		gr := b.rootGroup(sub)
		if before < len(b.groups) {
			before++
		}
		b.pick(gr.view, sl, e.On)
		if e.Sub != nil {
			b.todo = append(b.todo, task{sl.child, e.Sub})
		}
		if err := b.run(); err != nil {
			return err
		}
		last = sub
		if len(b.groups) > before {
			last = -1
		}
	}
	return nil
}

// serialOptions are the subgraphs of a root field of a mutation or subscription.
func (b *pricer) serialOptions(sl *slot, e *graph.Entry) []option {
	f := b.root.field(b.g, sl, e.On)
	if f == nil {
		return nil
	}
	var out []option
	for s, in := range f.In.All() {
		if b.usable(in) && !in.External {
			out = append(out, option{sub: s, in: in})
		}
	}
	alternatives := b.alternatives(sl, e.On, out)
	for i := range out {
		out[i].cost = b.estimateBelow(out[i].in, e.Sub, out[i].sub, alternatives)
	}
	return out
}

// serialSubgraph chooses one of them, or -1. One as good as the others that was asked last is asked again.
func (b *builder) serialSubgraph(opts []option, last int) int {
	best, cost := -1, estimate{}
	for _, o := range opts {
		if best < 0 || o.cost.less(cost) || o.sub == last && !cost.less(o.cost) {
			best, cost = o.sub, o.cost
		}
	}
	return best
}

// field returns the definition of a slot's field on the first of some types.
func (p *position) field(g *graph.Graph, sl *slot, on graph.TypeSet) *graph.Field {
	for id := range on.All() {
		if f := g.Object(id).Fields()[sl.name]; f != nil {
			return f
		}
	}
	return nil
}

// run works off what is to be built.
func (b *builder) run() error {
	for len(b.todo) > 0 {
		t := b.todo[0]
		b.todo = b.todo[1:]
		if err := b.selection(t.pos, t.sel); err != nil {
			return err
		}
	}
	return nil
}

// selection builds a client's selection at a position. Entries with the fewest possible subgraphs come first, so that
// the others can join them.
func (b *builder) selection(pos *position, sel *graph.Selection) error {
	type job struct {
		e    *graph.Entry
		sl   *slot
		on   graph.TypeSet
		rank int
	}
	jobs := make([]job, 0, len(sel.Entries))
	discriminates := false
	for _, e := range sel.Entries {
		if !pos.reach.Overlaps(e.On) {
			continue
		}
		if b.fetchedIn(e) == b.block && (!e.On.Contains(pos.types) || e.Name == graph.TypeName) {
			discriminates = true
		}
		if e.Denied || e.Name == graph.TypeName || pos.slot == nil && isIntrospection(e.Name) || b.fetchedIn(e) != b.block {
			continue
		}
		if pos.alternatives != nil && !agreed(e, sel, pos.alternatives) {
			continue
		}
		for _, sl := range b.slot(pos, e, e.On) {
			on := sl.on.And(e.On).And(pos.reach)
			if !slices.Contains(b.answers[e], sl) {
				b.answers[e] = append(b.answers[e], sl)
			}
			if !on.Empty() {
				jobs = append(jobs, job{e, sl, on, b.rank(sl, on)})
			}
		}
	}
	slices.SortStableFunc(jobs, func(x, y job) int { return x.rank - y.rank })
	for _, j := range jobs {
		if err := b.supply(j.sl, j.on, j.e.Sub); err != nil {
			return err
		}
	}
	if discriminates {
		if _, err := b.typename(pos); err != nil {
			return err
		}
	}
	for _, e := range sel.Entries {
		if e.Sub == nil || e.Denied {
			continue
		}
		b.answers[e] = withForks(b.answers[e], e.On)
		for _, sl := range b.answersAt(e, pos) {
			b.todo = append(b.todo, task{sl.child, e.Sub})
		}
	}
	return nil
}

// answersAt are the slots of an entry at a position: the selection it is in may be wanted at several.
func (b *builder) answersAt(e *graph.Entry, pos *position) []*slot {
	all := b.answers[e]
	if !slices.ContainsFunc(all, func(sl *slot) bool { return sl.pos != pos }) { // nearly always
		return slices.Clip(all)
	}
	var out []*slot
	for _, sl := range all {
		if sl.pos == pos {
			out = append(out, sl)
		}
	}
	return out
}

// withForks adds to slots what was split off them for some of the types.
func withForks(slots []*slot, types graph.TypeSet) []*slot {
	for i := 0; i < len(slots); i++ {
		for _, f := range slots[i].forks {
			if f.on.Overlaps(types) && !slices.Contains(slots, f) {
				slots = append(slots, f)
			}
		}
	}
	return slots
}

// rank orders the entries of a selection: single owners, then several, then those that need something first.
func (b *builder) rank(sl *slot, on graph.TypeSet) int {
	n, needs := 0, 0
	f := sl.pos.field(b.g, sl, on)
	for _, in := range f.In.All() {
		if b.usable(in) && !in.External {
			n++
			if in.Requires != nil {
				needs = 1000
			}
		}
	}
	return n + needs
}

// usable reports whether a subgraph has a field at all, given the override labels that are on.
func (b *pricer) usable(in *graph.FieldIn) bool {
	return in != nil && (in.Label == "" || b.f.Labels[in.Label] == in.LabelOn)
}

func (b *builder) unresolvable(sl *slot, on graph.TypeSet) error {
	names := ""
	for i, id := range on.IDs() {
		if i > 0 {
			names += "|"
		}
		names += b.g.Object(id).Name
	}
	return fmt.Errorf("no subgraph can resolve %s.%s at %q", names, sl.name, sl.pos.path())
}

// path names a position for people and for decisions.
func (p *position) path() string {
	if p.slot == nil {
		return ""
	}
	up := p.slot.pos.path()
	s := p.slot.source
	if up != "" {
		s = up + "." + s
	}
	return s
}

func isIntrospection(name string) bool { return name == "__schema" || name == "__type" }
