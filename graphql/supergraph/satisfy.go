package supergraph

import (
	"slices"
	"strconv"
	"strings"

	"github.com/vektah/gqlparser/v2/ast"
)

// satisfier checks that clients can have every field of the supergraph from every place where they can ask for it.
//
// It walks the supergraph from the root types. At each step it knows the positions where the subgraphs can be: a type
// in a subgraph, and what an enclosing @provides adds there. From a position, other subgraphs are entered by keys
// (see reach.go); a field must be resolvable from one of the positions. Steps to a type with positions that include
// those of an earlier step are not walked again: what fewer could do, more can.
type satisfier struct {
	m      *merger
	reach  *reacher
	queue  []*step
	seen   map[string][]*step // by type
	failed map[string]bool    // by coordinate
	labels map[string]bool    // which override labels are on
	errs   []Error
	steps  int
}

// step is a place of the supergraph.
type step struct {
	typ       *mergedType
	positions []*position
	contexts  []string // that enclosing types set, as contextID, sorted
	from      *step    // nil at a root
	field     *mergedField
	on        string // run-time type of from whose field it was
}

// satisfiable runs the check for the override labels: with up to five, in all combinations; with more, each alone on
// and off.
func (m *merger) satisfiable() {
	labels := m.overrideLabels()
	for _, on := range assignments(labels) {
		s := &satisfier{m: m, seen: map[string][]*step{}, failed: map[string]bool{}, labels: on}
		s.reach = newReacher(m, on)
		s.run()
		for _, e := range s.errs {
			if !slices.ContainsFunc(m.errs, func(o Error) bool { return o.Message == e.Message }) {
				m.errs = append(m.errs, e)
			}
		}
	}
}

func (m *merger) overrideLabels() []string {
	var out []string
	for _, s := range m.subs {
		for _, t := range s.types {
			if !t.has.override {
				continue
			}
			for _, f := range t.fields {
				if f.overrideLabel != "" && !slices.Contains(out, f.overrideLabel) {
					out = append(out, f.overrideLabel)
				}
			}
		}
	}
	slices.Sort(out)
	return out
}

func assignments(labels []string) []map[string]bool {
	if len(labels) > 5 {
		out := []map[string]bool{{}, {}}
		for _, l := range labels {
			out[1][l] = true
			out = append(out, map[string]bool{l: true})
		}
		return out
	}
	out := make([]map[string]bool, 0, 1<<len(labels))
	for bits := range 1 << len(labels) {
		on := map[string]bool{}
		for i, l := range labels {
			on[l] = bits>>i&1 == 1
		}
		out = append(out, on)
	}
	return out
}

func (s *satisfier) run() {
	for _, op := range []ast.Operation{ast.Query, ast.Mutation, ast.Subscription} {
		t := s.m.types[defaultRoot(op)]
		if t == nil {
			continue
		}
		d := t.in[0] // from one root type, all are in reach
		s.add(&step{typ: t, positions: []*position{s.reach.at(d.sub, d, nil)}})
	}
	limit := s.m.opts.MaxPaths
	if limit == 0 {
		limit = 1_000_000
	}
	for len(s.queue) > 0 {
		st := s.queue[0]
		s.queue = s.queue[1:]
		if s.steps++; s.steps > limit {
			s.errs = append(s.errs, Error{
				Code:    MaxValidationSubgraphPathsExceeded,
				Message: "satisfiability could not be checked within " + strconv.Itoa(limit) + " steps",
			})
			return
		}
		s.visit(st)
	}
}

// add queues a step unless an earlier one covers it.
func (s *satisfier) add(st *step) {
	for _, old := range s.seen[st.typ.name] {
		if subset(old.positions, st.positions) && containsAll(st.contexts, old.contexts) {
			return
		}
	}
	s.seen[st.typ.name] = append(s.seen[st.typ.name], st)
	s.queue = append(s.queue, st)
}

func subset(a, b []*position) bool {
	return len(a) <= len(b) && !slices.ContainsFunc(a, func(p *position) bool { return !slices.Contains(b, p) })
}

// visit checks the fields of every run-time type that values at the step can have.
func (s *satisfier) visit(st *step) {
	for _, n := range s.m.possible(st.typ.name) {
		o := s.m.types[n]
		var at []*position
		for _, p := range st.positions {
			if q := s.reach.narrow(p, n); q != nil && !slices.Contains(at, q) {
				at = append(at, q)
			}
		}
		switch {
		case len(at) == 0:
		case !slices.ContainsFunc(at, func(p *position) bool { return s.reach.from(n, p).typed }):
			s.untyped(st, o, at)
		default:
			s.object(st, o, at)
		}
	}
}

// resolution is one way to have a field.
type resolution struct {
	place *place
	field *fieldDef
}

func (s *satisfier) object(st *step, o *mergedType, at []*position) {
	byField := s.resolutions(o, at, st.contexts) // what an object sets is for what is below it
	contexts := s.entering(st, o)
	for _, f := range o.fields {
		rs := byField[f.name]
		if len(rs) == 0 {
			s.unsatisfied(st, o, f, at)
			continue
		}
		next := s.m.types[f.typ.Name()]
		if next == nil || next.kind == ast.Scalar || next.kind == ast.Enum {
			continue
		}
		s.sameRuntimeTypes(st, o, f, rs)
		to := &step{typ: next, contexts: contexts, from: st, field: f, on: o.name}
		for _, r := range rs {
			if p := s.reach.follow(r.place, r.field, o.name); p != nil && !slices.Contains(to.positions, p) {
				to.positions = append(to.positions, p)
			}
		}
		s.add(to)
	}
}

// entering adds the contexts that the object sets to those of the step.
func (s *satisfier) entering(st *step, o *mergedType) []string {
	out := st.contexts
	for _, name := range append([]string{o.name, st.typ.name}, o.interfaces...) {
		t := s.m.types[name]
		if t == nil {
			continue
		}
		for _, d := range t.in {
			for _, c := range d.conditions {
				if id := contextID(d.sub, c); !slices.Contains(out, id) {
					out = append(slices.Clone(out), id)
				}
			}
		}
	}
	slices.Sort(out)
	return out
}

// resolutions finds for each field of the object how it can be had.
func (s *satisfier) resolutions(o *mergedType, at []*position, contexts []string) map[string][]resolution {
	out := make(map[string][]resolution, len(o.fields))
	done := map[*position]bool{}
	for _, p := range at {
		c := s.reach.from(o.name, p)
		for _, pl := range c.places {
			again := done[pl.position]
			done[pl.position] = true
			for _, f := range pl.position.typ.fields {
				if again && f.requires == nil || slices.ContainsFunc(out[f.name],
					func(r resolution) bool { return r.field == f && r.place.position == pl.position }) {
					continue
				}
				if s.reach.resolves(c, pl, f) && s.contextsGiven(f, contexts) {
					out[f.name] = append(out[f.name], resolution{pl, f})
				}
			}
		}
	}
	return out
}

func (s *satisfier) contextsGiven(f *fieldDef, contexts []string) bool {
	return !slices.ContainsFunc(f.contextual, func(c contextArg) bool {
		return !slices.Contains(contexts, contextID(f.parent.sub, c.context))
	})
}

// sameRuntimeTypes checks that subgraphs which share a field of an abstract type can return a common type.
func (s *satisfier) sameRuntimeTypes(st *step, o *mergedType, f *mergedField, rs []resolution) {
	if next := s.m.types[f.typ.Name()]; next.kind == ast.Object || len(rs) < 2 || s.failed["="+f.coordinate()] {
		return
	}
	common := s.m.possible(f.typ.Name())
	var subs []*subgraph
	for _, r := range rs {
		t := r.place.position.sub.types[r.field.typ.Name()]
		if t == nil || t.interfaceObject {
			continue
		}
		own := t.sub.possible(t.name)
		if len(own) == 0 {
			continue
		}
		common = slices.DeleteFunc(slices.Clone(common), func(n string) bool { return !slices.Contains(own, n) })
		subs = append(subs, t.sub)
	}
	if len(common) > 0 || len(subs) < 2 {
		return
	}
	s.failed["="+f.coordinate()] = true
	e := Error{Code: ShareableHasMismatchedRuntimeTypes, Coordinate: f.coordinate()}
	e.Message = "for the following supergraph API query:\n" + s.query(st, o.name, f) + "\nshared field \"" +
		f.coordinate() + "\" return type \"" + f.typ.String() +
		"\" has a non-intersecting set of possible runtime types across subgraphs (" + s.m.nameList(subs) +
		"): common to all is none"
	for _, sub := range subs {
		e.Subgraphs = append(e.Subgraphs, sub.name)
	}
	s.errs = append(s.errs, e)
}

// untyped reports interface objects whose run-time type nobody can tell.
func (s *satisfier) untyped(st *step, o *mergedType, at []*position) {
	if s.failed[o.name] {
		return
	}
	s.failed[o.name] = true
	e := Error{Code: SatisfiabilityError, Coordinate: o.name}
	e.Message = "the following supergraph API query:\n" + s.query(st, o.name,
		&mergedField{parent: o, name: "...", typ: ast.NamedType("ID", nil)}) +
		"\ncannot be satisfied by the subgraphs because:"
	for _, p := range at {
		e.Subgraphs = append(e.Subgraphs, p.sub.name)
		e.Message += "\n- from subgraph \"" + p.sub.name +
			"\": no subgraph can be reached to resolve the implementation type of @interfaceObject type \"" + p.typ.name + "\""
	}
	s.errs = append(s.errs, e)
}

// unsatisfied reports a field that cannot be had here.
func (s *satisfier) unsatisfied(st *step, o *mergedType, f *mergedField, at []*position) {
	if s.failed[f.coordinate()] {
		return
	}
	s.failed[f.coordinate()] = true
	if s.stitched(f, at) {
		s.m.hint("UNREACHABLE_FIELD", f.coordinate(), s.m.withField(f),
			"field %q cannot be asked for where another plain schema returns a %s: a key would join them", f.coordinate(),
			o.name)
		return
	}
	var b strings.Builder
	b.WriteString("the following supergraph API query:\n" + s.query(st, o.name, f) +
		"\ncannot be satisfied by the subgraphs because:")
	e := Error{Code: SatisfiabilityError, Coordinate: f.coordinate()}
	for _, p := range at {
		b.WriteString("\n- from subgraph \"" + p.sub.name + "\": " + s.reason(o, f, p))
		if !slices.Contains(e.Subgraphs, p.sub.name) {
			e.Subgraphs = append(e.Subgraphs, p.sub.name)
		}
	}
	for _, d := range f.in {
		name := d.parent.sub.name
		if !d.external && !slices.Contains(e.Subgraphs, name) {
			e.Subgraphs = append(e.Subgraphs, name)
		}
		if !d.external {
			e.Locations = append(e.Locations, Location{name, d.pos.Line, d.pos.Column})
		}
	}
	e.Message = b.String()
	s.errs = append(s.errs, e)
}

// stitched reports whether only plain schemas take part: types that happen to have one name are merged, whether or
// not a value of the one can be found in the other.
func (s *satisfier) stitched(f *mergedField, at []*position) bool {
	return !slices.ContainsFunc(at, func(p *position) bool { return !p.sub.plain }) &&
		!slices.ContainsFunc(f.in, func(d *fieldDef) bool { return !d.parent.sub.plain })
}

// reason says why a field cannot be had from a position.
func (s *satisfier) reason(o *mergedType, f *mergedField, p *position) string {
	var parts []string
	if own := p.typ.byName[f.name]; own == nil {
		parts = append(parts, "cannot find field \""+f.coordinate()+"\"")
	} else {
		parts = append(parts, s.ownReason(own))
	}
	c := s.reach.from(o.name, p)
	for _, d := range f.in {
		if d.external || d.parent.sub == p.sub {
			continue
		}
		parts = append(parts, s.otherReason(o, d, c))
	}
	for _, d := range s.m.viaInterfaceObject(o, f.name) {
		if d.parent.sub != p.sub {
			parts = append(parts, s.otherReason(o, d, c))
		}
	}
	return strings.Join(parts, "; ")
}

func (s *satisfier) ownReason(f *fieldDef) string {
	switch {
	case f.external:
		return "field \"" + f.coordinate() + "\" is not resolvable because marked @external"
	case f.overridden:
		return "field \"" + f.coordinate() + "\" is not resolvable because it is overridden"
	case f.requires != nil:
		return "cannot satisfy @requires conditions on field \"" + f.coordinate() +
			"\" (please ensure that there is a key to enter subgraph \"" + f.parent.sub.name +
			"\", and that the fields it requires can be resolved)"
	case len(f.contextual) > 0:
		return "could not find a match for required context for field \"" + f.coordinate() + "\""
	}
	return "cannot resolve field \"" + f.coordinate() + "\""
}

func (s *satisfier) otherReason(o *mergedType, d *fieldDef, c *closure) string {
	there := "cannot move to subgraph \"" + d.parent.sub.name + "\", which has field \"" + d.coordinate() + "\", "
	for _, pl := range c.places {
		if pl.position.sub == d.parent.sub {
			return "in subgraph \"" + d.parent.sub.name + "\", " + s.ownReason(d)
		}
	}
	var keys []string
	for _, k := range d.parent.keys {
		if k.resolvable {
			keys = append(keys, "\""+k.text+"\"")
		}
	}
	if len(keys) == 0 {
		return there + "because type \"" + o.name + "\" has no resolvable @key defined in subgraph \"" +
			d.parent.sub.name + "\""
	}
	return there + "using @key(fields: " + strings.Join(keys, " or ") + ") of \"" + d.parent.name +
		"\": the key field(s) cannot be resolved"
}

// query prints the sample query that leads to a field.
func (s *satisfier) query(st *step, on string, f *mergedField) string {
	type element struct{ field, on string }
	var path []element
	leaf := f.name
	if next := s.m.types[f.typ.Name()]; next != nil && next.kind != ast.Scalar && next.kind != ast.Enum {
		leaf += " {\n...\n}"
	}
	path = append(path, element{leaf, conditionOf(st, on)})
	root := st
	for ; root.from != nil; root = root.from {
		path = append(path, element{root.field.name, conditionOf(root.from, root.on)})
	}
	var b strings.Builder
	if root.typ.name != "Query" {
		b.WriteString(strings.ToLower(root.typ.name) + " ")
	}
	depth := 0
	line := func(text string) { b.WriteString(strings.Repeat("  ", depth) + text + "\n") }
	line("{")
	for _, e := range slices.Backward(path) {
		depth++
		if e.on != "" {
			line("... on " + e.on + " {")
			depth++
		}
		if e.field == leaf {
			for l := range strings.SplitSeq(leaf, "\n") {
				if l == "..." {
					l = "  ..."
				}
				line(l)
			}
		} else {
			line(e.field + " {")
		}
	}
	for depth > 0 {
		depth--
		line("}")
	}
	return strings.TrimSuffix(b.String(), "\n")
}

func conditionOf(st *step, on string) string {
	if st.typ.name == on {
		return ""
	}
	return on
}
