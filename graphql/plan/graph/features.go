package graph

import (
	"fmt"
	"slices"
	"strings"

	"github.com/vektah/gqlparser/v2/ast"
)

// CodeUnsupportedFeature is the code, in Apollo's terms, of a supergraph or subgraph that links what this router does
// not carry out.
const CodeUnsupportedFeature = "UNSUPPORTED_LINKED_FEATURE"

// specs is where the specifications of the join family live.
const specs = "https://specs.apollo.dev/"

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

// known are the versions of the specifications that this reader carries out, or may pass over, by name.
//
//nolint:gochecknoglobals // a table of constants
var known = map[string][]string{
	"core": {"v0.1", "v0.2"}, "link": {"v1.0"}, "join": {"v0.1", "v0.2", "v0.3", "v0.4", "v0.5"},
	"tag": {"v0.1", "v0.2", "v0.3"}, "inaccessible": {"v0.1", "v0.2"}, "authenticated": {"v0.1"},
	"requiresScopes": {"v0.1"},
	"policy":         {"v0.1"}, "context": {"v0.1"}, "cost": {"v0.1"}, "cacheTag": {"v0.1"},
}

// feature is one @link or @core of the schema.
type feature struct {
	url      string
	identity string // the URL without its version
	name     string // the last part of the identity
	version  string // "" if the URL has none
	as       string // prefix of what is not imported
	purpose  string // SECURITY, EXECUTION or ""
	imports  []element
}

// element is an imported element, without @ if it is a directive.
type element struct {
	name, as  string
	directive bool
}

// ours reports whether the feature is one of the join family's specifications.
func (f *feature) ours() bool {
	_, ok := known[f.name]
	return ok && f.identity == specs+f.name
}

// named is the name of a directive of the feature in the schema.
//
// Link specification: an imported element has the name that the import gives it; the feature's own directive is
// called like the feature; every other element has the feature's name and two underscores before it.
func (f *feature) named(name string) string {
	for _, i := range f.imports {
		if i.directive && i.name == name {
			return i.as
		}
	}
	if name == f.name {
		return f.as
	}
	return f.as + "__" + name
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
	for _, d := range links(doc) {
		f := readFeature(d)
		if err := f.supported(); err != nil {
			return n, err
		}
		if linked[f.identity] {
			return n, fmt.Errorf("read supergraph: feature %s is linked twice", f.identity)
		}
		linked[f.identity] = true
		n.add(f)
	}
	for _, s := range []string{n.inaccessible, n.authenticated, n.requiresScopes, n.policy, n.cost, n.listSize,
		n.context, "tag"} {
		n.machines[s] = true
	}
	return n, nil
}

// links are the applications of @link or @core. The directive may itself be renamed, by the application that links
// its own specification.
func links(doc *ast.SchemaDocument) ast.DirectiveList {
	var all ast.DirectiveList
	for _, sd := range slices.Concat(doc.Schema, doc.SchemaExtension) {
		all = append(all, sd.Directives...)
	}
	called := map[string]bool{"link": true, "core": true}
	for _, d := range all {
		f := readFeature(d)
		if f.identity == specs+"link" || f.identity == specs+"core" {
			if d.Name == f.named(f.name) {
				called[d.Name] = true
			}
		}
	}
	var out ast.DirectiveList
	for _, d := range all {
		if called[d.Name] {
			out = append(out, d)
		}
	}
	return out
}

func readFeature(d *ast.Directive) *feature {
	f := &feature{url: text(d, "url"), purpose: text(d, "for")}
	if f.url == "" {
		f.url = text(d, "feature")
	}
	f.identity = strings.TrimRight(f.url, "/")
	if i := strings.LastIndexByte(f.identity, '/'); i >= 0 && isVersion(f.identity[i+1:]) {
		f.identity, f.version = f.identity[:i], f.identity[i+1:]
	}
	f.name = f.identity[strings.LastIndexByte(f.identity, '/')+1:]
	if f.as = text(d, "as"); f.as == "" {
		f.as = f.name
	}
	a := d.Arguments.ForName("import")
	if a == nil || a.Value == nil {
		return f
	}
	for _, c := range a.Value.Children {
		f.imports = append(f.imports, readImport(c.Value))
	}
	return f
}

func isVersion(s string) bool {
	major, minor, ok := strings.Cut(strings.TrimPrefix(s, "v"), ".")
	return ok && s[0] == 'v' && digits(major) && digits(minor)
}

func digits(s string) bool {
	return s != "" && strings.Trim(s, "0123456789") == ""
}

// readImport reads "@name", "Name" or {name: "@name", as: "@other"}.
func readImport(v *ast.Value) element {
	from, to := v.Raw, ""
	if v.Kind == ast.ObjectValue {
		for _, f := range v.Children {
			switch f.Name {
			case "name":
				from = f.Value.Raw
			case "as":
				to = f.Value.Raw
			}
		}
	}
	if to == "" {
		to = from
	}
	return element{strings.TrimPrefix(from, "@"), strings.TrimPrefix(to, "@"), strings.HasPrefix(from, "@")}
}

// supported refuses a feature that must be understood and is not.
func (f *feature) supported() error {
	if f.ours() && slices.Contains(known[f.name], f.version) {
		return nil
	}
	if f.purpose == "" && !f.ours() {
		return nil
	}
	why := "is not supported by this router"
	if f.ours() {
		why = "is not supported by this router: it knows " + strings.Join(known[f.name], ", ")
	}
	if f.purpose != "" {
		why = "is for: " + f.purpose + " and " + why
	}
	return fmt.Errorf("%s: read supergraph: feature %s %s", CodeUnsupportedFeature, f.url, why)
}

// add takes the names of a feature in.
func (n *names) add(f *feature) {
	if !f.ours() {
		n.addForeign(f)
		return
	}
	n.prefixes = append(n.prefixes, f.as)
	n.machines[f.as] = true
	for _, i := range f.imports {
		if i.directive {
			n.machines[i.as] = true
		} else {
			n.types[i.as] = true
		}
	}
	switch f.name {
	case "join":
		n.joinAs, n.joinedBy = f.as, f.version
	case "inaccessible":
		n.inaccessible = f.named(f.name)
	case "authenticated":
		n.authenticated = f.named(f.name)
	case "requiresScopes":
		n.requiresScopes = f.named(f.name)
	case "policy":
		n.policy = f.named(f.name)
	case "context":
		n.context = f.named(f.name)
	case "cost":
		n.cost, n.listSize = f.named("cost"), f.named("listSize")
	case "tag":
		n.machines[f.named(f.name)] = true
	}
}

// addForeign takes in a feature of somebody else, whose directives the subgraphs compose. Its types are part of the
// schema.
func (n *names) addForeign(f *feature) {
	n.foreign = append(n.foreign, f.as)
	n.machines[f.as] = true
	for _, i := range f.imports {
		if !i.directive {
			n.imported[i.as] = true
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
