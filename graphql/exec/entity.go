package exec

import (
	"bytes"
	"hash/maphash"
	"strconv"

	"github.com/catalyst-router/catalyst/graphql/plan"
)

// target is an object that a representation was made of, and that the entity is merged into.
type target struct {
	node uint32
	rep  int32 // index of the representation in its batch
	path int32 // index in EntityGroup.Paths
}

// batch is what is asked for in one `_entities` field.
type batch struct {
	targets []target // in the order of paths and positions
	reps    repSet
	uses    []int32  // of each representation
	context [][]byte // the values of EntityGroup.Contexts, all targets'
}

// repSet is a list of distinct representations.
type repSet struct {
	json  []byte // joined with commas
	spans []repSpan
	table []int32 // open addressing by hash: index in spans + 1
}

type repSpan struct {
	from, to int
	hash     uint64
}

func (s *repSet) reset() {
	s.json, s.spans = s.json[:0], s.spans[:0]
	clear(s.table)
}

// add adds a representation and returns its index; an equal one keeps its index.
func (s *repSet) add(rep []byte, seed maphash.Seed) int32 {
	if 2*len(s.spans) >= len(s.table) {
		s.grow()
	}
	hash := maphash.Bytes(seed, rep)
	mask := uint64(len(s.table) - 1)
	i := hash & mask
	for ; s.table[i] != 0; i = (i + 1) & mask {
		k := s.table[i] - 1
		if sp := s.spans[k]; sp.hash == hash && bytes.Equal(s.json[sp.from:sp.to], rep) {
			return k
		}
	}
	if len(s.json) > 0 {
		s.json = append(s.json, ',')
	}
	from := len(s.json)
	s.json = append(s.json, rep...)
	s.spans = append(s.spans, repSpan{from, len(s.json), hash})
	s.table[i] = int32(len(s.spans))
	return int32(len(s.spans) - 1)
}

func (s *repSet) grow() {
	s.table = make([]int32, max(16, 4*len(s.table)))
	mask := uint64(len(s.table) - 1)
	for k, sp := range s.spans {
		i := sp.hash & mask
		for ; s.table[i] != 0; i = (i + 1) & mask {
		}
		s.table[i] = int32(k + 1)
	}
}

// entityWork is the memory of one entity fetch.
type entityWork struct {
	groups []groupWork
	rep    []byte   // the representation being made
	stack  []uint32 // the objects on the way to it
	tuple  [][]byte
}

// groupWork is the batches of one group: one, or with contexts one for each distinct tuple of values.
type groupWork struct {
	batches []*batch // those in use, then spare ones
	used    int
}

func (p *pools) newWork(groups int) *entityWork {
	w, _ := p.works.Get().(*entityWork)
	if w == nil {
		w = new(entityWork)
	}
	for len(w.groups) < groups {
		w.groups = append(w.groups, groupWork{})
	}
	for i := range w.groups {
		w.groups[i].used = 0
	}
	return w
}

func (p *pools) recycleWork(w *entityWork) {
	for i := range w.groups {
		g := &w.groups[i]
		if len(g.batches) > 1 {
			g.batches = g.batches[:1:1]
		}
		for _, b := range g.batches {
			b.context = nil
			if cap(b.targets) > keepNodes/4 || cap(b.reps.json) > keepBytes {
				*b = batch{}
			}
		}
	}
	clear(w.tuple)
	p.works.Put(w)
}

// batch returns the group's batch for the tuple of context values, which it copies.
func (g *groupWork) batch(tuple [][]byte) *batch {
	for _, b := range g.batches[:g.used] {
		if equalTuples(b.context, tuple) {
			return b
		}
	}
	if g.used == len(g.batches) {
		g.batches = append(g.batches, &batch{})
	}
	b := g.batches[g.used]
	g.used++
	b.targets, b.uses, b.context = b.targets[:0], b.uses[:0], nil
	b.reps.reset()
	for _, v := range tuple {
		b.context = append(b.context, bytes.Clone(v))
	}
	return b
}

func equalTuples(a, b [][]byte) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if !bytes.Equal(a[i], b[i]) {
			return false
		}
	}
	return true
}

// entityFetch asks for entities and merges them into the objects their representations were made of.
func (r *execution) entityFetch(sc *scope, f *plan.EntityFetch) {
	w := r.e.newWork(len(f.Groups))
	defer r.e.recycleWork(w)
	requests := 0
	r.mu.Lock()
	for i := range f.Groups {
		r.collect(w, f, i, sc.turn)
		requests = max(requests, w.groups[i].used)
	}
	r.mu.Unlock()
	r.parallel(requests, func(k int) { r.entityRequest(sc, f, w, k) })
}

// collect makes the representations of group i, as far as it is their turn.
func (r *execution) collect(w *entityWork, f *plan.EntityFetch, i int, now turn) {
	c := collector{r: r, w: w, g: &f.Groups[i], work: &w.groups[i], turn: now}
	for k := range c.g.Reps {
		c.typed = c.typed || c.g.Reps[k].On != nil
	}
	for p := range c.g.Paths {
		c.path = int32(p)
		w.stack = w.stack[:0]
		c.later = 0
		c.walk(r.tree.root, c.g.Paths[p])
	}
}

// entityRequest sends the k-th request of an entity fetch: batch k of each group that has one.
func (r *execution) entityRequest(sc *scope, f *plan.EntityFetch, w *entityWork, k int) {
	batches := make([]*batch, len(f.Groups))
	asked, size := 0, 0
	for i := range f.Groups {
		if g := &w.groups[i]; k < g.used {
			batches[i] = g.batches[k]
			if !f.Root {
				asked += len(batches[i].reps.spans)
			}
			size += len(batches[i].reps.json) + len("[]")
		}
	}
	body := r.newBody(&f.Request, size)
	body = r.appendBody(body, &f.Request, func(dst []byte, v int) []byte { return appendGiven(dst, f, w, batches, v) })
	x := r.ask(&f.Request, body, asked)
	r.mu.Lock()
	r.mergeEntities(sc, f, &x, batches)
	r.mu.Unlock()
	r.observe(&x)
}

// appendGiven appends variable v: a list of representations, or a context value.
func appendGiven(dst []byte, f *plan.EntityFetch, w *entityWork, batches []*batch, v int) []byte {
	for i := range f.Groups {
		g, b := &f.Groups[i], batches[i]
		if g.Variable == v {
			dst = append(dst, '[')
			if b != nil {
				dst = append(dst, b.reps.json...)
			}
			return append(dst, ']')
		}
		for k := range g.Contexts {
			if g.Contexts[k].Variable != v {
				continue
			}
			if b == nil && w.groups[i].used > 0 {
				b = w.groups[i].batches[0] // any value does for an empty list
			}
			if b != nil && b.context[k] != nil { // otherwise the next one, further up, may have it
				return append(dst, b.context[k]...)
			}
		}
	}
	return append(dst, "null"...)
}

// collector walks to the objects of a group and makes their representations.
type collector struct {
	r     *execution
	w     *entityWork
	g     *plan.EntityGroup
	work  *groupWork
	path  int32
	typed bool // some representation depends on the type
	turn  turn
	later int // enclosing elements that are not in the first payload
}

func (c *collector) walk(n uint32, path plan.Path) {
	t := &c.r.tree
	switch t.nodes[n].kind {
	case kindList:
		for e := t.nodes[n].from; e != 0; e = t.nodes[e].next {
			c.walk(e, path)
		}
	case kindObject:
		if len(path) == 0 {
			c.visit(n)
			return
		}
		s := &path[0]
		if s.On != nil {
			if id, ok := t.typeOf(n); !ok || !s.On.Has(id) {
				return
			}
		}
		if next := t.field(n, s.Source, 0); next != 0 {
			c.w.stack = append(c.w.stack, n)
			if s.Stream != nil && c.turn != allElements && t.nodes[next].kind == kindList {
				c.parts(next, s.Stream, path[1:])
			} else {
				c.walk(next, path[1:])
			}
			c.w.stack = c.w.stack[:len(c.w.stack)-1]
		}
	}
}

// parts walks to the elements of a list that is delivered in parts.
func (c *collector) parts(list uint32, s *plan.Stream, path plan.Path) {
	t := &c.r.tree
	first := initial(s, c.r.variable)
	for e := t.nodes[list].from; e != 0; e = t.nodes[e].next {
		if first--; first >= 0 {
			c.walk(e, path)
			continue
		}
		if c.turn == firstElements {
			return
		}
		c.later++
		c.walk(e, path)
		c.later--
	}
}

// visit makes the representation of object n, if it has one and it is its turn.
func (c *collector) visit(n uint32) {
	if c.turn == laterElements && c.later == 0 {
		return
	}
	rep := c.choose(n)
	if rep == nil {
		return
	}
	b, ok := c.r.appendRep(c.w.rep[:0], rep, n)
	c.w.rep = b
	if !ok || !c.contexts() {
		return
	}
	bt := c.work.batch(c.w.tuple)
	k := bt.reps.add(b, c.r.e.seed)
	if int(k) == len(bt.uses) {
		bt.uses = append(bt.uses, 0)
	}
	bt.uses[k]++
	bt.targets = append(bt.targets, target{node: n, rep: k, path: c.path})
}

// choose returns the representation for the type of object n, or nil.
func (c *collector) choose(n uint32) *plan.Rep {
	if !c.typed {
		if len(c.g.Reps) == 0 {
			return nil
		}
		return &c.g.Reps[0]
	}
	id, known := c.r.tree.typeOf(n)
	for i := range c.g.Reps {
		if rep := &c.g.Reps[i]; rep.On == nil || known && rep.On.Has(id) {
			return rep
		}
	}
	return nil
}

// contexts sets w.tuple to the values of the enclosing objects. Of those for one variable the nearest object that
// fits counts, also if its value is null. It returns false if that value is absent, or null where the subgraph takes
// no null: nothing can be asked for then.
func (c *collector) contexts() bool {
	c.w.tuple = c.w.tuple[:0]
	for i := range c.g.Contexts {
		ctx := &c.g.Contexts[i]
		var value []byte
		if !c.given(i) {
			n, fits := c.context(ctx)
			switch kind := c.r.tree.nodes[n].kind; {
			case !fits:
			case kind == kindAbsent, kind == kindNull && ctx.NonNull:
				return false
			default:
				value = c.r.tree.appendJSON(nil, n)
			}
		}
		c.w.tuple = append(c.w.tuple, value)
	}
	return true
}

// given reports whether the variable of context i has a value already.
func (c *collector) given(i int) bool {
	for k, value := range c.w.tuple {
		if value != nil && c.g.Contexts[k].Variable == c.g.Contexts[i].Variable {
			return true
		}
	}
	return false
}

// context returns the value in an enclosing object, null if something on the way to it is, and whether the object is
// one that has it.
func (c *collector) context(ctx *plan.Context) (n uint32, fits bool) {
	at := len(c.w.stack) - ctx.Up
	if at < 0 {
		return 0, false
	}
	n = c.w.stack[at]
	t := &c.r.tree
	if ctx.On != nil {
		if id, ok := t.typeOf(n); !ok || !ctx.On.Has(id) {
			return 0, false
		}
	}
	for i := range ctx.From {
		s := &ctx.From[i]
		if t.nodes[n].kind != kindObject {
			return n, true
		}
		if s.On != nil {
			if id, ok := t.typeOf(n); !ok || !s.On.Has(id) {
				return 0, false
			}
		}
		n = t.field(n, s.Source, 0)
	}
	return n, true
}

// appendRep appends the representation of object n. It returns false if a part of it is absent, because what should
// fetch it failed. A part that is null is sent as null: a key may have null parts.
func (r *execution) appendRep(dst []byte, rep *plan.Rep, n uint32) ([]byte, bool) {
	dst = append(dst, repHead...)
	if rep.TypeName != "" {
		dst = append(dst, '"')
		dst = append(dst, rep.TypeName...)
		dst = append(dst, '"')
	} else {
		c := r.tree.field(n, "__typename", 0)
		if r.tree.nodes[c].kind != kindString {
			return dst, false
		}
		dst = append(dst, r.tree.text(c)...)
	}
	dst, ok := r.appendRepFields(dst, rep.Fields, n, false)
	return append(dst, '}'), ok
}

// appendRepFields appends the fields of an object in a representation, each one after a comma unless first is true
// for it.
func (r *execution) appendRepFields(dst []byte, fields []plan.RepField, n uint32, first bool) ([]byte, bool) {
	hint := uint32(0)
	for i := range fields {
		f := &fields[i]
		if f.On != nil {
			if id, ok := r.tree.typeOf(n); !ok || !f.On.Has(id) {
				continue
			}
		}
		c := r.tree.field(n, f.Source, hint)
		if c == 0 {
			return dst, false
		}
		hint = c
		if !first {
			dst = append(dst, ',')
		}
		first = false
		dst = append(dst, f.JSON...)
		var ok bool
		if dst, ok = r.appendRepValue(dst, f, c); !ok {
			return dst, false
		}
	}
	return dst, true
}

func (r *execution) appendRepValue(dst []byte, f *plan.RepField, n uint32) ([]byte, bool) {
	v := &r.tree.nodes[n]
	switch {
	case v.kind == kindNull:
		return append(dst, "null"...), true
	case f.Fields == nil:
		return r.tree.appendJSON(dst, n), true
	case v.kind == kindList:
		dst = append(dst, '[')
		for c := v.from; c != 0; c = r.tree.nodes[c].next {
			if c != v.from {
				dst = append(dst, ',')
			}
			var ok bool
			if dst, ok = r.appendRepValue(dst, f, c); !ok {
				return dst, false
			}
		}
		return append(dst, ']'), true
	case v.kind == kindObject:
		dst, ok := r.appendRepFields(append(dst, '{'), f.Fields, n, true)
		return append(dst, '}'), ok
	}
	return dst, false
}

// mergeEntities merges the entities of an answer.
func (r *execution) mergeEntities(sc *scope, f *plan.EntityFetch, x *exchange, batches []*batch) {
	data, errs := r.read(x)
	if err := x.answer.err; err != nil {
		r.failGroups(sc, f, batches, err)
		return
	}
	if errs != 0 {
		before := len(sc.errs.entries)
		defer func() { // after the data, since errors depend on the types of the objects; told before what is wrong with it
			own := len(sc.errs.entries)
			r.subgraphErrors(sc, x, errs, &entities{fetch: f, batches: batches})
			sc.errs.swap(before, own)
		}()
	}
	if data == 0 {
		r.failGroups(sc, f, batches, nil)
		return
	}
	for i, b := range batches {
		switch {
		case b == nil:
		case f.Root:
			r.mergeFound(sc, f, i, b, []uint32{data})
		default:
			r.mergeBatch(sc, f, i, b, r.tree.field(data, f.Groups[i].Key, 0), errs != 0)
		}
	}
	r.checkFull(sc, &f.Request)
}

// mergeBatch merges the entities in list into the targets of a batch. reported says that the subgraph has told of
// errors.
func (r *execution) mergeBatch(sc *scope, f *plan.EntityFetch, group int, b *batch, list uint32, reported bool) {
	g := &f.Groups[group]
	t := &r.tree
	if t.nodes[list].kind != kindList {
		var err *fetchError
		if !reported || t.nodes[list].kind > kindNull {
			err = &fetchError{code: CodeMalformed, text: "Subgraph '" + f.Service + "' answered without entities."}
		}
		r.failBatch(sc, f, g, b, err)
		return
	}
	var few [64]uint32
	found := few[:0]
	for c := t.nodes[list].from; c != 0; c = t.nodes[c].next {
		found = append(found, c)
	}
	if len(found) != len(b.reps.spans) {
		r.failBatch(sc, f, g, b, &fetchError{code: CodeMalformed, text: "Subgraph '" + f.Service + "' answered with " +
			strconv.Itoa(len(found)) + " entities for " + strconv.Itoa(len(b.reps.spans)) + " representations."})
		return
	}
	r.mergeFound(sc, f, group, b, found)
}

// mergeFound merges one object for each representation into the targets of a batch.
func (r *execution) mergeFound(sc *scope, f *plan.EntityFetch, group int, b *batch, found []uint32) {
	g, t := &f.Groups[group], &r.tree
	for i := range b.targets {
		to := &b.targets[i]
		entity := found[to.rep]
		b.uses[to.rep]--
		if t.nodes[entity].kind == kindNull {
			continue
		}
		if problem := r.misfit(entity, to.node, b.reps.typeName(to.rep)); problem != "" && !f.Root {
			r.failBatch(sc, f, g, &batch{targets: b.targets[i : i+1]},
				&fetchError{code: CodeMalformed, text: "Subgraph '" + f.Service + "' answered with " + problem + "."})
			continue
		}
		t.merge(to.node, entity, b.uses[to.rep] == 0)
	}
}

// misfit says what is wrong with an entity for an object whose representation had the given type name, an object
// type's or an interface object's; "" is nothing.
func (r *execution) misfit(entity, to uint32, asked []byte) string {
	t := &r.tree
	if k := t.nodes[entity].kind; k != kindObject {
		return k.String() + " as an entity"
	}
	name := t.field(entity, "__typename", 0)
	if name == 0 || t.nodes[name].kind == kindString && bytes.Equal(t.text(name), asked) {
		return ""
	}
	got, known := t.typeOf(entity)
	_, exact := t.types.Lookup(asked[1 : len(asked)-1])
	want, also := t.typeOf(to)
	if !known || exact || also && got != want {
		return "an entity of another type than it was asked for"
	}
	return ""
}

// typeName returns the type name, with quotes, of representation k.
func (s *repSet) typeName(k int32) []byte {
	name := s.json[s.spans[k].from+len(repHead):]
	return name[:1+bytes.IndexByte(name[1:], '"')+1]
}

// repHead is how a representation begins.
const repHead = `{"__typename":`

// failGroups blames the positions of all batches. Without err, errors have been reported already.
func (r *execution) failGroups(sc *scope, f *plan.EntityFetch, batches []*batch, err *fetchError) {
	for i, b := range batches {
		if b != nil {
			r.failBatch(sc, f, &f.Groups[i], b, err)
		}
	}
}

// failBatch reports an error once for each path of the group, with what all positions there have in common.
func (r *execution) failBatch(sc *scope, f *plan.EntityFetch, g *plan.EntityGroup, b *batch, err *fetchError) {
	for from := 0; from < len(b.targets); {
		to := from + 1
		for to < len(b.targets) && b.targets[to].path == b.targets[from].path {
			to++
		}
		r.region(sc, g, b.targets[from:to])
		sc.errs.fail(r.path.last())
		if err != nil {
			sc.errs.simple(f.ID, f.Service, err.code, err.text, err.status, &r.path)
		}
		from = to
	}
}

// region sets r.path to the response path that the given targets, in order, have in common.
func (r *execution) region(sc *scope, g *plan.EntityGroup, targets []target) {
	first, last := targets[0], targets[len(targets)-1]
	r.places, _ = r.locate(r.places[:0], g.Paths[first.path], r.tree.root, first.node)
	r.translate(sc, r.places, &r.path)
	if len(targets) > 1 {
		r.places, _ = r.locate(r.places[:0], g.Paths[last.path], r.tree.root, last.node)
		r.translate(sc, r.places, &r.other)
		r.path.keepCommon(&r.other)
	}
}
