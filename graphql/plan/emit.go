package plan

import (
	"hash/fnv"
	"slices"
	"sort"
	"strconv"

	"github.com/vektah/gqlparser/v2/ast"

	"github.com/catalyst-router/catalyst/graphql/plan/graph"
	"github.com/catalyst-router/catalyst/graphql/plan/graph/literal"
)

// emitter turns a draft into a plan.
type emitter struct {
	*draft
	op   *Operation
	plan *Plan
	vars map[string]int // index of client variables
	norm *graph.Normaliser
	// streams says that some list is delivered in parts.
	streams bool
	// streamed are the lists delivered in parts whose later elements can be completed later; entire those of which
	// something else needs all elements at once.
	streamed map[*slot]*Stream
	entire   map[*slot]bool
}

func (e *emitter) node(r *request) Node {
	first := r.groups[0]
	sub := first.sub
	req := Request{ID: r.id, Subgraph: sub, Service: e.g.Subgraphs[sub].Name, Kind: Query}
	for _, d := range r.reads {
		req.Reads = append(req.Reads, d.id)
	}
	w := renderer{g: e.g, vars: map[string]bool{}, filled: map[*given]string{}}
	w.fresh = func() string {
		for n := len(w.filled); ; n++ {
			name := "_c" + strconv.Itoa(n)
			if !e.taken(name) && !w.uses(name) {
				return name
			}
		}
	}
	if !first.entity {
		req.Kind = e.kind
		e.finish(&req, w.selection(nil, first.view), nil, &w)
		for _, p := range first.view.picks {
			req.Roots = append(req.Roots, p.slot.source)
		}
		return &Fetch{Request: req}
	}
	if first.root {
		e.finish(&req, w.selection(nil, first.view), nil, &w)
		rep := Rep{TypeName: e.g.Root(ast.Query).Name}
		return &EntityFetch{
			Request: req,
			Root:    true,
			Groups:  []EntityGroup{{Variable: -1, Paths: []Path{e.path(first.pos)}, Reps: []Rep{rep}}},
		}
	}
	return e.entities(r, req, &w)
}

// entities makes the request for the entity groups of one subgraph and wave. Groups that differ in nothing but their
// place share one.
func (e *emitter) entities(r *request, req Request, w *renderer) Node {
	out := &EntityFetch{}
	var selections []string
	var givens [][]*given
	for _, gr := range r.groups {
		sel := string(w.selection(nil, gr.view))
		reps := e.reps(gr)
		path := e.path(gr.pos)
		i := -1
		for j, o := range out.Groups {
			if selections[j] == sel && equalReps(o.Reps, reps) && givens[j] == nil && gr.givens == nil {
				i = j
			}
		}
		if i < 0 {
			selections, givens = append(selections, sel), append(givens, gr.givens)
			out.Groups = append(out.Groups, EntityGroup{Reps: reps})
			i = len(out.Groups) - 1
		}
		if !slices.ContainsFunc(out.Groups[i].Paths, func(p Path) bool { return equalPaths(p, path) }) {
			out.Groups[i].Paths = append(out.Groups[i].Paths, path)
		}
	}
	var names []string
	text := []byte{'{'}
	for i := range out.Groups {
		gr := &out.Groups[i]
		name := "representations"
		gr.Key, gr.Variable = "_entities", i
		if len(out.Groups) > 1 {
			gr.Key = "_e" + strconv.Itoa(i)
			name = "_r" + strconv.Itoa(i)
		}
		for e.taken(name) {
			name = "_" + name
		}
		names = append(names, name)
		if i > 0 {
			text = append(text, ' ')
		}
		if gr.Key != "_entities" {
			text = append(append(text, gr.Key...), ':')
		}
		text = append(append(append(text, "_entities(representations:$"...), name...), ')')
		text = append(text, selections[i]...)
	}
	e.finish(&req, append(text, '}'), names, w)
	for i, gs := range givens {
		for _, gv := range gs {
			at := slices.IndexFunc(req.Variables, func(v RequestVariable) bool { return v.Name == w.filled[gv] })
			out.Groups[i].Contexts = append(out.Groups[i].Contexts, e.contexts(gv, at)...)
		}
	}
	out.Request = req
	return out
}

func (e *emitter) taken(name string) bool { _, ok := e.vars[name]; return ok }

// finish completes a request with the text of its selection. reps are the names of its variables for representations.
func (e *emitter) finish(req *Request, selection []byte, reps []string, w *renderer) {
	var decl []byte
	declare := func(name, typ string, client int) {
		if decl != nil {
			decl = append(decl, ',')
		}
		decl = append(append(append(append(decl, '$'), name...), ':'), typ...)
		req.Variables = append(req.Variables, RequestVariable{Name: name, JSON: jsonKey(name), Client: client})
	}
	for _, n := range reps {
		declare(n, "[_Any!]!", -1)
	}
	for _, f := range w.fills() {
		declare(f.name, f.typ, -1)
	}
	names := make([]string, 0, len(w.vars))
	for n := range w.vars {
		names = append(names, n)
	}
	sort.Slice(names, func(i, j int) bool { return e.vars[names[i]] < e.vars[names[j]] })
	for _, n := range names {
		i, ok := e.vars[n]
		if !ok {
			continue // validation refuses undeclared variables
		}
		typ := e.plan.Variables[i].Type
		// The value is sent with the default filled in. The default itself makes a variable that may be null good for an
		// argument that may not.
		if d := e.op.Definition.VariableDefinitions[i].DefaultValue; d != nil {
			typ += "=" + string(literal.Append(nil, d, nil))
		}
		declare(n, typ, i)
	}
	text := []byte{}
	if e.p.opts.Named && e.op.Name != "" {
		req.OperationName = operationName(e.op.Name, req.Service, req.ID)
	}
	if req.Kind != Query || decl != nil || req.OperationName != "" {
		text = append(text, req.Kind.String()...)
	}
	if req.OperationName != "" {
		text = append(append(text, ' '), req.OperationName...)
	}
	if decl != nil {
		text = append(append(append(text, '('), decl...), ')')
	}
	text = append(text, selection...)
	req.Query = string(text)
	h := fnv.New64a()
	h.Write(text)
	req.Hash = h.Sum64()
	req.Head = literal.AppendString([]byte(`{"query":`), req.Query)
	if req.OperationName != "" {
		req.Head = literal.AppendString(append(req.Head, `,"operationName":`...), req.OperationName)
	}
	req.Head = append(req.Head, '}')
	if req.Variables != nil {
		req.Head = append(req.Head[:len(req.Head)-1], `,"variables":{`...)
		req.Tail = []byte("}}")
	}
}

// operationName is the name of the nth request of a plan, to a subgraph. In a name of GraphQL dots and dashes are
// underscores; what else it must not hold is left out.
func operationName(client, service string, n int) string {
	name := []byte(client + "__")
	for i := range len(service) {
		if c := service[i]; c == '_' || c >= '0' && c <= '9' || c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z' {
			name = append(name, c)
		} else if c == '-' || c == '.' {
			name = append(name, '_')
		}
	}
	return string(append(name, "__"+strconv.Itoa(n)...))
}

func jsonKey(name string) []byte { return append(literal.AppendString(nil, name), ':') }

// path leads to a position.
func (e *emitter) path(pos *position) Path {
	var out Path
	for p := pos; p.slot != nil; p = p.slot.pos {
		out = append(out, e.step(p.slot))
	}
	slices.Reverse(out)
	return out
}

// step leads from an object to the value of a slot.
func (e *emitter) step(s *slot) Step {
	st := Step{Source: s.source, ClientKey: s.client}
	if !e.entire[s] {
		st.Stream = e.streamed[s]
	}
	if !s.on.Contains(s.pos.types) {
		st.On = s.on
	}
	if f := s.pos.field(e.g, s, s.on); f != nil {
		for t := f.Type; t.Elem != nil; t = t.Elem {
			st.Lists++
		}
	}
	return st
}

// reps describes the representations of a group.
func (e *emitter) reps(gr *group) []Rep {
	was := e.block
	e.block = gr.block // what is visible depends on it
	defer func() { e.block = was }()
	var out []Rep
	for _, n := range gr.needs {
		rep := Rep{}
		if !n.on.Contains(gr.pos.types) && !n.on.Contains(gr.pos.reach) {
			rep.On = n.on
		}
		switch {
		case gr.via != nil:
			rep.TypeName = gr.via.Name
		case gr.pos.static():
			rep.TypeName = e.g.Object(gr.pos.types.IDs()[0]).Name
		}
		rep.Fields = e.repFields(gr.pos, slices.Concat(n.keys, n.requires), n.on)
		out = append(out, rep)
	}
	return out
}

// repFields are the fields that some selections want of the objects at a position in a representation.
func (e *emitter) repFields(pos *position, wants []*graph.Selection, on graph.TypeSet) []RepField {
	type field struct {
		slot  *slot
		on    graph.TypeSet
		below []*graph.Selection
	}
	var fields []*field
	for _, w := range wants {
		for _, en := range w.Entries {
			at := en.On.And(on)
			if at.Empty() || en.Name == graph.TypeName {
				continue
			}
			for _, sl := range pos.slots {
				if sl.name != en.Name || sl.args != en.Args || !sl.on.Overlaps(at) || !e.fetches(sl, at) {
					continue
				}
				i := slices.IndexFunc(fields, func(f *field) bool {
					return f.slot == sl ||
						sl.child == nil && f.slot.source == sl.source
				})
				if i < 0 {
					// another alias of the same field will do only once
					if slices.ContainsFunc(fields, func(f *field) bool { return f.slot.name == sl.name && f.on.Contains(at) }) {
						continue
					}
					fields = append(fields, &field{slot: sl})
					i = len(fields) - 1
				}
				f := fields[i]
				if e.typeless(sl) {
					f.on = f.on.Or(at)
				} else {
					f.on = f.on.Or(at.And(sl.on))
				}
				if en.Sub != nil {
					f.below = append(f.below, en.Sub)
				}
			}
		}
	}
	var out []RepField
	for _, f := range fields {
		rf := RepField{Name: f.slot.name, JSON: jsonKey(f.slot.name), Source: f.slot.source}
		if !f.on.Contains(on) {
			rf.On = f.on
		}
		if f.slot.child != nil {
			if e.entire != nil {
				e.entire[f.slot] = true
			}
			rf.Fields = e.repFields(f.slot.child, f.below, f.slot.child.reach)
			if e.b().abstract(f.slot) && e.b().supplied(e.b().typenameSlot(f.slot.child)).Contains(f.slot.child.reach) {
				rf.Fields = append([]RepField{{Name: graph.TypeName, JSON: jsonKey(graph.TypeName), Source: graph.TypeName}},
					rf.Fields...)
			}
		}
		out = append(out, rf)
	}
	return out
}

func (e *emitter) b() *builder { return e.builder }

// fetches reports whether a slot is fetched for some of the types.
func (e *emitter) fetches(sl *slot, on graph.TypeSet) bool {
	return slices.ContainsFunc(sl.supplies, func(s supply) bool { return s.on.Overlaps(on) })
}

// typeless reports whether a slot is fetched where types cannot be told apart: then it is there for all of them.
func (e *emitter) typeless(sl *slot) bool {
	return slices.ContainsFunc(sl.supplies, func(s supply) bool { return s.view.opaque })
}

func equalPaths(x, y Path) bool {
	return slices.EqualFunc(x, y, func(a, b Step) bool {
		return a.Source == b.Source && a.Lists == b.Lists && a.ClientKey == b.ClientKey && a.Stream == b.Stream &&
			(a.On == nil) == (b.On == nil) && a.On.Equal(b.On)
	})
}

func equalReps(x, y []Rep) bool {
	return slices.EqualFunc(x, y, func(a, b Rep) bool {
		return a.TypeName == b.TypeName && (a.On == nil) == (b.On == nil) && a.On.Equal(b.On) &&
			equalRepFields(a.Fields, b.Fields)
	})
}

func equalRepFields(x, y []RepField) bool {
	return slices.EqualFunc(x, y, func(a, b RepField) bool {
		return a.Name == b.Name && a.Source == b.Source && (a.On == nil) == (b.On == nil) && a.On.Equal(b.On) &&
			equalRepFields(a.Fields, b.Fields)
	})
}

// tree arranges requests: what does not depend on each other runs at the same time.
func (e *emitter) tree(rs []*request) Node {
	if len(rs) == 0 {
		return nil
	}
	if parts := components(rs); len(parts) > 1 {
		var nodes []Node
		for _, p := range parts {
			nodes = append(nodes, e.tree(p))
		}
		return &Parallel{nodes}
	}
	var first, rest []*request
	for _, r := range rs {
		if slices.ContainsFunc(r.reads, func(d *request) bool { return slices.Contains(rs, d) }) {
			rest = append(rest, r)
		} else {
			first = append(first, r)
		}
	}
	var head Node
	if len(first) == 1 {
		head = e.node(first[0])
	} else {
		p := &Parallel{}
		for _, r := range first {
			p.Nodes = append(p.Nodes, e.node(r))
		}
		head = p
	}
	return sequence(head, e.tree(rest))
}

// sequence joins nodes, nil ones left out, flat.
func sequence(nodes ...Node) Node {
	out := &Sequence{}
	for _, n := range nodes {
		switch n := n.(type) {
		case nil:
		case *Sequence:
			out.Nodes = append(out.Nodes, n.Nodes...)
		default:
			out.Nodes = append(out.Nodes, n)
		}
	}
	switch len(out.Nodes) {
	case 0:
		return nil
	case 1:
		return out.Nodes[0]
	}
	return out
}

// components splits requests into sets that do not read each other, in the order of their first members.
func components(rs []*request) [][]*request {
	comp := make(map[*request]int, len(rs))
	root := make([]int, len(rs))
	var find func(int) int
	find = func(i int) int {
		if root[i] != i {
			root[i] = find(root[i])
		}
		return root[i]
	}
	for i, r := range rs {
		comp[r], root[i] = i, i
	}
	for i, r := range rs {
		for _, d := range r.reads {
			if j, ok := comp[d]; ok {
				x, y := find(i), find(j)
				root[max(x, y)] = min(x, y)
			}
		}
	}
	index := map[int]int{}
	var out [][]*request
	for i, r := range rs {
		k, ok := index[find(i)]
		if !ok {
			k = len(out)
			index[find(i)] = k
			out = append(out, nil)
		}
		out[k] = append(out[k], r)
	}
	return out
}
