package graph

import (
	"fmt"
	"slices"
	"strings"

	"github.com/vektah/gqlparser/v2/ast"
)

// Auth is what @authenticated, @requiresScopes and @policy ask for. All three must be met where given, and all of Also.
type Auth struct {
	Authenticated bool
	// Scopes and Policies: one of the lists must be held completely. nil if not asked for.
	Scopes, Policies [][]string
	// Also are further requirements, for example those of the data that a field is computed from.
	Also []*Auth
}

// Parts are the requirement itself and those in Also. A nil Auth has none.
func (a *Auth) Parts() []*Auth {
	if a == nil {
		return nil
	}
	out := []*Auth{a}
	for _, b := range a.Also {
		out = append(out, b.Parts()...)
	}
	return out
}

// String names the directives, in the notation of GraphQL.
func (a *Auth) String() string {
	var words []string
	for _, p := range a.Parts() {
		if p.Authenticated {
			words = append(words, "@authenticated")
		}
		if p.Scopes != nil {
			words = append(words, fmt.Sprintf("@requiresScopes(scopes: %q)", p.Scopes))
		}
		if p.Policies != nil {
			words = append(words, fmt.Sprintf("@policy(policies: %q)", p.Policies))
		}
	}
	return strings.Join(words, " ")
}

// and is a requirement that holds when both do.
func (a *Auth) and(b *Auth) *Auth {
	switch {
	case b.implied(a):
		return a
	case a == nil:
		return b
	}
	out := *a
	out.Also = append(slices.Clone(a.Also), b)
	return &out
}

// implied reports whether whoever meets have meets b, too. It may say no although the answer is yes where there are
// very many alternatives.
func (b *Auth) implied(have *Auth) bool {
	parts := have.Parts()
	for _, w := range b.Parts() {
		if w.Authenticated && !slices.ContainsFunc(parts, func(h *Auth) bool { return h.Authenticated }) {
			return false
		}
		if !covered(w.Scopes, parts, func(h *Auth) [][]string { return h.Scopes }) ||
			!covered(w.Policies, parts, func(h *Auth) [][]string { return h.Policies }) {
			return false
		}
	}
	return true
}

// mostAlternatives bounds how many combinations of alternatives are compared.
const mostAlternatives = 4096

// covered reports whether every way to meet the parts meets want: one of its lists is held completely.
func covered(want [][]string, parts []*Auth, of func(*Auth) [][]string) bool {
	if want == nil || slices.ContainsFunc(parts, func(h *Auth) bool { return of(h) != nil && leads(of(h), want) }) {
		return true
	}
	ways := [][]string{nil}
	for _, p := range parts {
		alts := of(p)
		if alts == nil {
			continue
		}
		if len(ways)*len(alts) > mostAlternatives {
			return false
		}
		var next [][]string
		for _, w := range ways {
			for _, a := range alts {
				next = append(next, slices.Concat(w, a))
			}
		}
		ways = next
	}
	return leads(ways, want)
}

// leads reports whether each of some lists holds one of the wanted ones.
func leads(ways, want [][]string) bool {
	return !slices.ContainsFunc(ways, func(way []string) bool {
		return !slices.ContainsFunc(want, func(w []string) bool { return holdsAll(way, w) })
	})
}

func holdsAll(have, want []string) bool {
	return !slices.ContainsFunc(want, func(s string) bool { return !slices.Contains(have, s) })
}

// auth reads the three authorisation directives; nil if there are none.
func (r *reader) auth(ds ast.DirectiveList) *Auth {
	if len(ds) == 0 {
		return nil
	}
	var out *Auth
	if ds.ForName(r.names.authenticated) != nil {
		out = out.and(&Auth{Authenticated: true})
	}
	for _, d := range ds.ForNames(r.names.requiresScopes) {
		out = out.and(&Auth{Scopes: lists(d.Arguments.ForName("scopes"))})
	}
	for _, d := range ds.ForNames(r.names.policy) {
		out = out.and(&Auth{Policies: lists(d.Arguments.ForName("policies"))})
	}
	return out
}

func lists(a *ast.Argument) [][]string {
	out := [][]string{}
	if a == nil || a.Value == nil {
		return out
	}
	for _, c := range a.Value.Children {
		var in []string
		for _, v := range c.Value.Children {
			in = append(in, v.Value.Raw)
		}
		out = append(out, in)
	}
	return out
}

// protect carries requirements to where the data goes: from interfaces to what implements them, and from what a field
// is computed of to the field.
func (r *reader) protect() error {
	if !r.protected() {
		return nil
	}
	for _, t := range r.g.types {
		r.finish(t)
	}
	for _, t := range r.g.objects {
		r.finish(t)
	}
	for _, d := range r.defs {
		if t := r.g.types[d.Name]; t.Kind == ast.Interface {
			r.protectInterface(t)
		}
	}
	for changed := true; changed; { // a field may be computed of one that is computed
		changed = false
		for _, t := range r.g.objects {
			for _, f := range t.fields {
				need := r.g.needed(f)
				if with := f.Auth.and(need); with != f.Auth {
					f.Auth, changed = with, true
				}
			}
		}
	}
	return nil
}

// protected reports whether any type or field asks for something.
func (r *reader) protected() bool {
	for _, d := range r.defs {
		if r.g.types[d.Name].Auth != nil ||
			slices.ContainsFunc(d.Fields, func(f *ast.FieldDefinition) bool { return r.auth(f.Directives) != nil }) {
			return true
		}
	}
	return false
}

// protectInterface settles what an interface's requirements mean. Composers since federation 2.9.4 forbid them there,
// and write what the implementations ask for, all of it together: that says nothing new, because objects are known by
// their types. Other requirements are those of an author who meant every implementation.
func (r *reader) protectInterface(i *Type) {
	var together *Auth
	for _, id := range i.Possible.IDs() {
		together = together.and(r.g.objects[id].Auth)
	}
	if r.derives && i.Auth.implied(together) {
		i.Auth = nil
	}
	for name, f := range i.fields {
		if f.Auth == nil {
			continue
		}
		together = nil
		for _, id := range i.Possible.IDs() {
			if of := r.g.objects[id].fields[name]; of != nil {
				together = together.and(of.Auth)
			}
		}
		if r.derives && f.Auth.implied(together) {
			continue
		}
		for _, id := range i.Possible.IDs() {
			if of := r.g.objects[id].fields[name]; of != nil {
				of.Auth = of.Auth.and(f.Auth)
			}
		}
	}
}

// needed is what the data asks for that some subgraph computes a field of: by @requires, or by arguments from a
// context.
func (g *Graph) needed(f *Field) *Auth {
	var need *Auth
	for _, in := range f.In.All() {
		if in == nil {
			continue
		}
		need = g.neededBy(in.Requires, f, need)
		for _, c := range in.Contexts {
			for name, sel := range c.Selection {
				need = need.and(g.types[name].Auth)
				need = g.neededBy(sel, f, need)
			}
		}
	}
	return need
}

func (g *Graph) neededBy(sel *Selection, of *Field, need *Auth) *Auth {
	if sel == nil {
		return need
	}
	for _, e := range sel.Entries {
		for _, id := range e.On.IDs() {
			t := g.objects[id]
			if t != of.Parent {
				need = need.and(t.Auth)
			}
			if f := t.fields[e.Name]; f != nil {
				need = need.and(f.Auth).and(f.Named.Auth)
			}
		}
		need = g.neededBy(e.Sub, of, need)
	}
	return need
}
