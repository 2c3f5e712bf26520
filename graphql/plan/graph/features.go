package graph

import (
	"fmt"
	"slices"
	"strings"

	"github.com/vektah/gqlparser/v2/ast"

	"github.com/catalyst-router/catalyst/graphql/plan/graph/feature"
)

// names are the names under which the supergraph uses its features: @link (and v0.1's @core) may rename them.
type names struct {
	prefixes []string // of type and directive names that are machinery
	joinAs   string
	joinedBy string          // the version of the join specification
	machines map[string]bool // directive names that are machinery
	types    map[string]bool // types that are machinery, whatever their names
	foreign  []string        // prefixes of features that are not the specification's: their types are the schema's own
	imported map[string]bool // types imported from such features

	inaccessible, authenticated, requiresScopes, policy, cost, listSize, context string
}

// features reads the schema's @link and @core directives. It refuses a schema with a feature that is needed to
// execute operations or to protect data (for: EXECUTION, for: SECURITY) and that this reader does not carry out.
func features(doc *ast.SchemaDocument) (names, error) {
	n := names{
		joinAs: "join", prefixes: []string{"join", "link", "core", "context"},
		machines: map[string]bool{"link": true, "core": true}, types: map[string]bool{}, imported: map[string]bool{},
		inaccessible: "inaccessible", authenticated: "authenticated", requiresScopes: "requiresScopes", policy: "policy",
		cost: "cost", listSize: "listSize", context: "context",
	}
	linked := map[string]bool{}
	for _, d := range feature.Links(doc) {
		f := feature.Read(d)
		if err := f.Supported(); err != nil {
			return n, err
		}
		if linked[f.Identity] {
			return n, fmt.Errorf("read supergraph: feature %s is linked twice", f.Identity)
		}
		linked[f.Identity] = true
		n.add(f)
	}
	for _, s := range []string{n.inaccessible, n.authenticated, n.requiresScopes, n.policy, n.cost, n.listSize,
		n.context, "tag"} {
		n.machines[s] = true
	}
	return n, nil
}

// add takes the names of a feature in.
func (n *names) add(f *feature.Feature) {
	if !f.Ours() {
		n.addForeign(f)
		return
	}
	n.prefixes = append(n.prefixes, f.As)
	n.machines[f.As] = true
	for _, i := range f.Imports {
		if i.Directive {
			n.machines[i.As] = true
		} else {
			n.types[i.As] = true
		}
	}
	switch f.Name {
	case "join":
		n.joinAs, n.joinedBy = f.As, f.Version
	case "inaccessible":
		n.inaccessible = f.Named(f.Name)
	case "authenticated":
		n.authenticated = f.Named(f.Name)
	case "requiresScopes":
		n.requiresScopes = f.Named(f.Name)
	case "policy":
		n.policy = f.Named(f.Name)
	case "context":
		n.context = f.Named(f.Name)
	case "cost":
		n.cost, n.listSize = f.Named("cost"), f.Named("listSize")
	case "tag":
		n.machines[f.Named(f.Name)] = true
	}
}

// addForeign takes in a feature of somebody else, whose directives the subgraphs compose. Its types are part of the
// schema.
func (n *names) addForeign(f *feature.Feature) {
	n.foreign = append(n.foreign, f.As)
	n.machines[f.As] = true
	for _, i := range f.Imports {
		if !i.Directive {
			n.imported[i.As] = true
		}
	}
}

// join returns the name of an element of the join specification.
func (n *names) join(element string) string { return n.joinAs + "__" + element }

// machinery reports whether a type is the supergraph's own and no part of the schema.
func (n *names) machinery(name string) bool {
	if strings.HasPrefix(name, "__") || n.types[name] {
		return true
	}
	p, _, ok := strings.Cut(name, "__")
	return ok && slices.Contains(n.prefixes, p)
}

// ofFeature reports whether a type belongs to a feature that is not the specification's. Clients see it only where
// the schema uses it.
func (n *names) ofFeature(name string) bool {
	p, _, ok := strings.Cut(name, "__")
	return n.imported[name] || ok && slices.Contains(n.foreign, p)
}

// machineryDirective is machinery for directives, which may also stand under the feature's own name.
func (n *names) machineryDirective(name string) bool {
	p, _, ok := strings.Cut(name, "__")
	return n.machines[name] || n.machinery(name) || ok && slices.Contains(n.foreign, p)
}
