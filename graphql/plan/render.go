package plan

import (
	"slices"
	"sort"

	"github.com/catalyst-router/catalyst/graphql/plan/graph"
)

// renderer prints the operations of requests.
type renderer struct {
	g    *graph.Graph
	vars map[string]bool // client variables met
	// filled are the variables for arguments that enclosing objects fill, and fresh makes a name for another one.
	filled map[*given]string
	fresh  func() string
}

// selection appends what a view selects, in braces.
func (r *renderer) selection(dst []byte, v *view) []byte {
	dst = append(dst, '{')
	n := len(dst)
	plain, rest := r.divide(v)
	dst = r.picks(dst, plain)
	for _, f := range r.fragments(v, rest) {
		if len(dst) > n {
			dst = append(dst, ' ')
		}
		dst = append(append(dst, "...on "...), f.name...)
		dst = append(r.picks(append(dst, '{'), f.picks), '}')
	}
	if len(dst) == n { // something has to stand there; an interface's name must not pass for a type's
		if v.opaque {
			dst = append(dst, "_:"...)
		}
		dst = append(dst, graph.TypeName...)
	}
	return append(dst, '}')
}

func (r *renderer) picks(dst []byte, picks []*pick) []byte {
	for i, p := range picks {
		if i > 0 {
			dst = append(dst, ' ')
		}
		s := p.slot
		if s.source != s.name {
			dst = append(append(dst, s.source...), ':')
		}
		dst = append(dst, s.name...)
		dst = r.arguments(dst, p)
		for _, v := range s.vars {
			r.vars[v] = true
		}
		if p.child != nil {
			dst = r.selection(dst, p.child)
		}
	}
	return dst
}

// arguments appends the client's arguments and those that enclosing objects fill.
func (r *renderer) arguments(dst []byte, p *pick) []byte {
	dst = append(dst, p.slot.args...)
	for _, gv := range p.givens {
		if dst[len(dst)-1] == ')' {
			dst[len(dst)-1] = ','
		} else {
			dst = append(dst, '(')
		}
		name, ok := r.filled[gv]
		if !ok {
			name = r.fresh()
			r.filled[gv] = name
		}
		dst = append(append(append(append(dst, gv.arg...), ":$"...), name...), ')')
	}
	return dst
}

// divide separates what can be selected on the declared type from what needs fragments.
func (r *renderer) divide(v *view) (plain, rest []*pick) {
	for _, p := range v.picks {
		switch {
		case v.declared == nil:
			rest = append(rest, p)
		case v.opaque || v.declared.Kind == "OBJECT" || p.slot.name == graph.TypeName:
			plain = append(plain, p)
		case p.on.Contains(v.possible) && r.declares(v.declared, p, v.group.sub):
			plain = append(plain, p)
		default:
			rest = append(rest, p)
		}
	}
	return plain, rest
}

// declares reports whether a pick can be selected on an interface: it has the field, and with the type that what is
// below was chosen for. An implementation may declare the field narrower than the interface does; then what is below
// may be in the narrower type only.
func (r *renderer) declares(t *graph.Type, p *pick, sub int) bool {
	if p.slot.name == graph.TypeName {
		return true
	}
	in := t.FieldIn(p.slot.name, sub)
	return in != nil && (p.child == nil || p.child.declared == in.Named)
}

// fragment is an inline fragment to be.
type fragment struct {
	name  string
	picks []*pick
}

// fragments distributes picks over the object types of a view; types with equal picks share a fragment where an
// interface or union fits exactly.
func (r *renderer) fragments(v *view, picks []*pick) []fragment {
	if len(picks) == 0 {
		return nil
	}
	if v.opaque { // an entry by the name of an interface that is an object there
		return []fragment{{v.group.via.Name, picks}}
	}
	type bunch struct {
		types graph.TypeSet
		picks []*pick
	}
	var bunches []*bunch
	for _, id := range v.possible.IDs() {
		var mine []*pick
		for _, p := range picks {
			if p.on.Has(id) {
				mine = append(mine, p)
			}
		}
		if mine == nil {
			continue
		}
		i := slices.IndexFunc(bunches, func(o *bunch) bool { return slices.Equal(o.picks, mine) })
		if i < 0 {
			bunches = append(bunches, &bunch{picks: mine})
			i = len(bunches) - 1
		}
		bunches[i].types = bunches[i].types.Or(graph.SetOf(id))
	}
	var out []fragment
	for _, c := range bunches {
		if name := r.cover(v, c.types, c.picks); name != "" {
			out = append(out, fragment{name, c.picks})
			continue
		}
		for _, id := range c.types.IDs() {
			out = append(out, fragment{r.g.Object(id).Name, c.picks})
		}
	}
	return out
}

// cover finds an interface of the subgraph that stands for exactly these of a view's types and has all the fields.
func (r *renderer) cover(v *view, types graph.TypeSet, picks []*pick) string {
	if types.Len() < 2 {
		return ""
	}
	names := slices.Clone(r.g.Object(types.IDs()[0]).Interfaces)
	sort.Strings(names)
	for _, name := range names {
		i := r.g.Type(name)
		if i == nil {
			continue
		}
		in := i.Known(v.group.sub)
		if in == nil || in.InterfaceObject || !in.Possible.And(v.possible).Equal(types) {
			continue
		}
		if !slices.ContainsFunc(picks, func(p *pick) bool { return !r.declares(i, p, v.group.sub) }) {
			return name
		}
	}
	return ""
}

// fill is a variable that an enclosing object fills.
type fill struct{ name, typ string }

// fills lists the variables that enclosing objects fill, by name.
func (r *renderer) fills() []fill {
	var out []fill
	for gv, name := range r.filled {
		out = append(out, fill{name, gv.typ})
	}
	sort.Slice(out, func(i, j int) bool { return out[i].name < out[j].name })
	return out
}

func (r *renderer) uses(name string) bool {
	for _, n := range r.filled {
		if n == name {
			return true
		}
	}
	return false
}
