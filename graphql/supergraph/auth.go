package supergraph

import (
	"slices"
	"strconv"

	"github.com/vektah/gqlparser/v2/ast"
)

// authDirectives are the directives that say what callers need.
//
//nolint:gochecknoglobals // a set of constants
var authDirectives = []string{"authenticated", "requiresScopes", "policy"}

// authSources are applications of the authorisation directives that count at other elements than where they stand, by
// the coordinates of those.
type authSources map[string][]directiveSource

func (a authSources) add(at string, s directiveSource) { a[at] = append(a[at], s) }

// spreadAuth finds out what interfaces ask for because their implementations do, and implementations because an
// interface object does. Routers that go by the interface a field is asked of, and not by the object's type, rely on
// it.
func (m *merger) spreadAuth() authSources {
	out := authSources{}
	for _, n := range m.order {
		for _, d := range m.types[n].in {
			if d.kind != ast.Object || !d.has.auth {
				continue
			}
			if s, ok := authOf(d.sub, d.dirs); ok {
				for _, i := range m.types[n].interfaces {
					out.add(i, s)
				}
			}
			for _, f := range d.fields {
				if s, ok := authOf(d.sub, f.dirs); ok && !f.external {
					m.spreadFieldAuth(out, d, f, s)
				}
			}
		}
	}
	return out
}

func (m *merger) spreadFieldAuth(out authSources, d *typeDef, f *fieldDef, s directiveSource) {
	if !d.interfaceObject {
		for _, i := range m.types[d.name].interfaces {
			out.add(i+"."+f.name, s)
		}
		return
	}
	var others []string
	for _, impl := range m.possible(d.name) {
		out.add(impl+"."+f.name, s)
		for _, i := range m.types[impl].interfaces {
			if i != d.name && !slices.Contains(others, i) {
				others = append(others, i)
			}
		}
	}
	for _, i := range others {
		out.add(i+"."+f.name, s)
	}
}

// authOf picks the authorisation directives out.
func authOf(sub *subgraph, ds ast.DirectiveList) (directiveSource, bool) {
	var out ast.DirectiveList
	for _, d := range ds {
		if slices.Contains(authDirectives, d.Name) {
			out = append(out, d)
		}
	}
	return directiveSource{sub, out}, out != nil
}

// transitiveAuth checks that a field that is computed of other data asks of callers all that the data asks of them.
func (m *merger) transitiveAuth() {
	if !slices.ContainsFunc(authDirectives, func(d string) bool { return m.used[d] }) {
		return
	}
	for _, n := range m.order {
		t := m.types[n]
		if t.kind != ast.Object && t.kind != ast.Interface {
			continue
		}
		for _, f := range t.fields {
			for _, d := range f.in {
				if d.requires != nil {
					c := m.authCheck(f, d, "@requires")
					c.selection(t, d.requires.sels)
				}
				for _, arg := range d.contextual {
					m.contextAuth(f, d, arg)
				}
			}
		}
	}
}

// contextAuth checks the types that set a context, and what is read of them.
func (m *merger) contextAuth(f *mergedField, d *fieldDef, arg contextArg) {
	for _, setter := range d.parent.sub.contextSetters()[arg.context] {
		t := m.types[setter.name]
		if t == nil {
			continue
		}
		c := m.authCheck(f, d, "@fromContext")
		c.want(t.dirs, "data of context "+strconv.Quote(arg.context))
		c.selection(t, arg.sels)
	}
}

// authCheck is the check of one selection that a field is computed of.
type authCheck struct {
	m    *merger
	f    *mergedField
	d    *fieldDef
	from string
	have ast.DirectiveList
	done bool // an error was reported
}

func (m *merger) authCheck(f *mergedField, d *fieldDef, from string) *authCheck {
	return &authCheck{m: m, f: f, d: d, from: from, have: slices.Concat(f.dirs, f.parent.dirs)}
}

func (c *authCheck) want(dirs ast.DirectiveList, what string) {
	if c.done || implies(c.have, dirs) {
		return
	}
	c.done = true
	c.m.errs = append(c.m.errs, c.d.parent.sub.failure(MissingTransitiveAuthRequirements, c.d.pos, c.f.coordinate(),
		"field %q does not specify necessary @authenticated, @requiresScopes and/or @policy auth requirements to access "+
			"the transitive %s from %s selection set",
		c.f.coordinate(), what, c.from))
}

func (c *authCheck) selection(t *mergedType, sels []*selection) {
	for _, s := range sels {
		on := t
		if s.name == "" {
			if s.on != "" {
				if on = c.m.types[s.on]; on != nil {
					c.want(on.dirs, "data in inline fragment type condition "+strconv.Quote(s.on))
				}
			}
		} else {
			g := t.field(s.name)
			if g == nil {
				continue
			}
			what := "field " + strconv.Quote(g.coordinate()) + " data"
			c.want(g.dirs, what)
			if on = c.m.types[g.typ.Name()]; on != nil {
				c.want(on.dirs, what)
			}
		}
		if on != nil {
			c.selection(on, s.sub)
		}
	}
}

// implies reports whether callers who meet one list of requirements meet the other.
func implies(have, want ast.DirectiveList) bool {
	if want.ForName("authenticated") != nil && have.ForName("authenticated") == nil {
		return false
	}
	return impliesOne(have.ForNames("requiresScopes"), want.ForNames("requiresScopes"), "scopes") &&
		impliesOne(have.ForNames("policy"), want.ForNames("policy"), "policies")
}

func impliesOne(have, want ast.DirectiveList, arg string) bool {
	if len(want) == 0 {
		return true
	}
	if len(have) == 0 {
		return false
	}
	wanted := alternatives(want, arg)
	for _, h := range alternatives(have, arg) {
		if !slices.ContainsFunc(wanted, func(w []string) bool { return containsAll(h, w) }) {
			return false
		}
	}
	return true
}

// alternatives multiplies the lists of several applications out.
func alternatives(ds ast.DirectiveList, arg string) [][]string {
	v := conjunction(ds, arg)
	out := make([][]string, len(v.Children))
	for i, c := range v.Children {
		for _, s := range c.Value.Children {
			out[i] = append(out[i], s.Value.Raw)
		}
	}
	return out
}
