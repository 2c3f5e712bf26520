package graph

import (
	"path"
	"strings"

	"github.com/vektah/gqlparser/v2/ast"
)

// names are the names under which the supergraph uses its features: @link (and v0.1's @core) may rename them.
type names struct {
	prefixes []string // of type and directive names that are machinery
	joinAs   string
	machines map[string]bool // directive names that are machinery

	inaccessible, authenticated, requiresScopes, policy, cost, listSize, context string
}

// features reads the schema's @link and @core directives.
func features(doc *ast.SchemaDocument) names {
	n := names{
		joinAs: "join", prefixes: []string{"join", "link", "core", "context"}, machines: map[string]bool{"link": true, "core": true},
		inaccessible: "inaccessible", authenticated: "authenticated", requiresScopes: "requiresScopes", policy: "policy",
		cost: "cost", listSize: "listSize", context: "context",
	}
	for _, sd := range append(append(ast.SchemaDefinitionList{}, doc.Schema...), doc.SchemaExtension...) {
		for _, d := range sd.Directives {
			if d.Name != "link" && d.Name != "core" {
				continue
			}
			url := text(d, "url")
			if url == "" {
				url = text(d, "feature")
			}
			n.feature(path.Base(path.Dir(url)), text(d, "as"), d.Arguments.ForName("import"))
		}
	}
	for _, s := range []string{n.inaccessible, n.authenticated, n.requiresScopes, n.policy, n.cost, n.listSize, n.context, "tag"} {
		n.machines[s] = true
	}
	return n
}

func (n *names) feature(name, as string, imports *ast.Argument) {
	if as != "" && as != name {
		n.prefixes = append(n.prefixes, as)
	}
	local := as
	if local == "" {
		local = name
	}
	n.machines[local] = true
	switch name {
	case "join":
		n.joinAs = local
	case "inaccessible":
		n.inaccessible = local
	case "authenticated":
		n.authenticated = local
	case "requiresScopes":
		n.requiresScopes = local
	case "policy":
		n.policy = local
	case "context":
		n.context = local
	case "cost":
		n.cost = local
		if as != "" || imports == nil {
			n.listSize = local + "__listSize"
		}
	}
	if imports == nil || imports.Value == nil {
		return
	}
	for _, c := range imports.Value.Children {
		from, to := c.Value.Raw, c.Value.Raw
		if c.Value.Kind == ast.ObjectValue {
			for _, f := range c.Value.Children {
				switch f.Name {
				case "name":
					from = f.Value.Raw
				case "as":
					to = f.Value.Raw
				}
			}
		}
		to = strings.TrimPrefix(to, "@")
		switch strings.TrimPrefix(from, "@") {
		case "listSize":
			n.listSize = to
		case "cost":
			n.cost = to
		}
	}
}

// join returns the name of an element of the join specification.
func (n *names) join(element string) string { return n.joinAs + "__" + element }

// machinery reports whether a type is the supergraph's own and no part of the schema.
func (n *names) machinery(name string) bool {
	if strings.HasPrefix(name, "__") {
		return true
	}
	p, _, ok := strings.Cut(name, "__")
	if !ok {
		return false
	}
	for _, q := range n.prefixes {
		if p == q {
			return true
		}
	}
	return false
}

// machineryDirective is machinery for directives, which may also stand under the feature's own name.
func (n *names) machineryDirective(name string) bool { return n.machines[name] || n.machinery(name) }
