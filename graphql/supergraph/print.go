package supergraph

import (
	"slices"
	"strconv"
	"strings"

	"github.com/vektah/gqlparser/v2/ast"

	"github.com/catalyst-router/catalyst/graphql/supergraph/sdl"
)

// printer writes a supergraph, types sorted by name.
type printer struct {
	m *merger
	d *documenter
	b sdl.Writer
}

// names are the names of the types to print, sorted.
func (p *printer) names() []string {
	out := append(slices.Clone(p.m.order), "join__Graph")
	for n := range sdl.Machines() {
		if feature, _, _ := strings.Cut(n, "__"); feature == "join" || feature == "link" || p.m.featured(feature) {
			out = append(out, n)
		}
	}
	slices.Sort(out)
	return out
}

// featured reports whether a feature's directives appear in the supergraph.
func (m *merger) featured(name string) bool {
	switch name {
	case "context":
		return m.contextual()
	case "cost":
		return m.used["cost"] || m.used["listSize"]
	case "cacheTag":
		return slices.ContainsFunc(m.subs, (*subgraph).cacheTags)
	}
	return m.used[name]
}

func (m *merger) contextual() bool {
	return slices.ContainsFunc(m.subs, func(s *subgraph) bool { return len(s.contexts) > 0 })
}

func (p *printer) schema() {
	if d := p.schemaDescription(); d != "" {
		p.b.Describe("", d)
	}
	p.b.WriteString("schema\n")
	link := func(url, more string) { p.b.WriteString("  @link(url: \"" + url + "\"" + more + ")\n") }
	link(specs+"link/v1.0", "")
	link(specs+"join/v0.5", ", for: EXECUTION")
	for _, f := range p.m.features() {
		var more string
		switch f {
		case "cost/v0.1":
			more = p.costImports()
		case "tag/v0.3":
			more = p.as("tag")
		case "cacheTag/v0.1":
			more = ", for: EXECUTION"
		default:
			name, _, _ := strings.Cut(f, "/")
			more = ", for: SECURITY" + p.as(name)
		}
		link(specs+f, more)
	}
	p.composedLinks(link)
	for _, d := range p.m.schemaDirs {
		p.b.WriteByte(' ')
		p.b.Directive(p.d.directive(d))
		p.b.WriteByte('\n')
	}
	p.b.WriteString("{\n")
	for _, op := range []ast.Operation{ast.Query, ast.Mutation, ast.Subscription} {
		if p.m.types[defaultRoot(op)] != nil {
			p.b.WriteString("  " + string(op) + ": " + defaultRoot(op) + "\n")
		}
	}
	p.b.WriteString("}\n\n")
}

func (p *printer) schemaDescription() string {
	var texts []string
	for _, s := range p.m.subs {
		texts = append(texts, s.described)
	}
	return p.m.describe("schema", texts)
}

// features lists the specifications, beside link and join, that the supergraph uses.
func (m *merger) features() []string {
	var out []string
	for _, f := range []string{"tag/v0.3", "inaccessible/v0.2", "authenticated/v0.1", "requiresScopes/v0.1",
		"policy/v0.1", "cost/v0.1", "context/v0.1", "cacheTag/v0.1"} {
		if name, _, _ := strings.Cut(f, "/"); m.featured(name) {
			out = append(out, f)
		}
	}
	return out
}

// local is the name of a directive in the supergraph: what the subgraphs that import it call it.
func (m *merger) local(name string) string {
	if composed := m.composedAs(name); composed != nil || name == "link" {
		return strings.TrimPrefix(name, "~")
	}
	for _, s := range m.subs {
		if n := s.links.local[name]; n != "" && !strings.Contains(n, "__") {
			return n
		}
	}
	return strings.TrimPrefix(name, "~")
}

func (p *printer) as(name string) string {
	if n := p.m.local(name); n != name {
		return ", import: [" + importText(imported{"@" + name, "@" + n}) + "]"
	}
	return ""
}

func (p *printer) costImports() string {
	var items []string
	for _, n := range []string{"cost", "listSize"} {
		if !p.m.used[n] {
			continue
		}
		if l := p.m.local(n); l != n {
			items = append(items, "{name: \"@"+n+"\", as: \"@"+l+"\"}")
		} else if n != "cost" {
			items = append(items, "\"@"+n+"\"")
		}
	}
	if len(items) == 0 {
		return ""
	}
	return ", import: [" + strings.Join(items, ", ") + "]"
}

func (p *printer) composedLinks(link func(url, more string)) {
	done := map[string]bool{}
	for _, c := range p.m.composed {
		if done[c.feature.identity] {
			continue
		}
		done[c.feature.identity] = true
		var items []string
		for _, o := range p.m.composed {
			if o.feature.identity != c.feature.identity {
				continue
			}
			for _, i := range o.feature.imports {
				if i.as == "@"+o.name {
					items = append(items, importText(i))
				}
			}
		}
		more := ""
		if c.feature.as != c.feature.name {
			more = ", as: \"" + c.feature.as + "\""
		}
		if len(items) > 0 {
			more += ", import: [" + strings.Join(items, ", ") + "]"
		}
		link(c.feature.identity+"/"+p.m.newest(c.feature).String(), more)
	}
}

func importText(i imported) string {
	if i.as == i.name {
		return strconv.Quote(i.name)
	}
	return "{name: " + strconv.Quote(i.name) + ", as: " + strconv.Quote(i.as) + "}"
}

// newest is the newest version of a feature among the composed directives.
func (m *merger) newest(f *feature) version {
	v := f.version
	for _, c := range m.composed {
		if c.feature.identity == f.identity && v.less(c.feature.version) {
			v = c.feature.version
		}
	}
	return v
}

func (p *printer) directiveDefinitions() {
	p.b.WriteString(sdl.Join)
	for i := range directiveSpecs {
		if s := directiveSpecs[i]; p.m.used[s.name] && s.feature != "" {
			p.featureDefinition(s)
		}
	}
	if p.m.featured("context") {
		p.b.WriteString("directive @" + p.m.local("context") +
			"(name: String!) repeatable on INTERFACE | OBJECT | UNION\n\ndirective @context__fromContext(field: " +
			"context__ContextFieldValue) on ARGUMENT_DEFINITION\n\n")
	}
	for _, c := range p.m.composed {
		p.definition(c.definition, c.name)
	}
	for _, d := range p.m.dirs {
		p.definition(d, d.Name)
	}
}

func (p *printer) featureDefinition(s directiveSpec) {
	args := make([]string, len(s.args))
	for i, a := range s.args {
		args[i] = a.name + ": " + a.typ
		if a.name == "requireOneSlicingArgument" {
			args[i] += " = true"
		}
	}
	p.b.WriteString("directive @" + p.m.local(s.name))
	if len(args) > 0 {
		p.b.WriteString("(" + strings.Join(args, ", ") + ")")
	}
	if s.repeatable {
		p.b.WriteString(" repeatable")
	}
	p.b.WriteString(" on " + strings.Join(s.on, " | ") + "\n\n")
}

func (p *printer) definition(d *ast.DirectiveDefinition, name string) {
	p.b.Describe("", d.Description)
	p.b.WriteString("directive @" + strings.TrimPrefix(name, "~"))
	p.b.Arguments(p.d.arguments(d.Arguments))
	if d.IsRepeatable {
		p.b.WriteString(" repeatable")
	}
	locs := make([]string, len(d.Locations))
	for i, l := range d.Locations {
		locs[i] = string(l)
	}
	p.b.WriteString(" on " + strings.Join(locs, " | ") + "\n\n")
}

// graphs is the join__Graph enum.
func (m *merger) graphs() string {
	var b strings.Builder
	b.WriteString("enum join__Graph {\n")
	for _, s := range m.subs {
		b.WriteString("  " + s.enum + " @join__graph(name: " + sdl.Quote(s.name) + ", url: " + sdl.Quote(s.url) + ")\n")
	}
	b.WriteString("}\n\n")
	return b.String()
}
