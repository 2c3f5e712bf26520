package supergraph

import (
	"slices"
	"strings"

	"github.com/vektah/gqlparser/v2/ast"
)

func (p *printer) typeDef(t *mergedType) {
	p.describe("", t.description)
	p.b.WriteString(keyword(t.kind) + " " + t.name)
	if len(t.interfaces) > 0 {
		p.b.WriteString(" implements " + strings.Join(t.interfaces, " & "))
	}
	for _, j := range p.typeJoins(t) {
		p.b.WriteString("\n  " + j)
	}
	for _, d := range t.dirs {
		p.b.WriteString("\n  " + p.directive(d))
	}
	switch t.kind {
	case ast.Union:
		p.b.WriteString("\n = " + strings.Join(t.members, " | "))
	case ast.Enum:
		p.b.WriteString("\n{\n")
		for _, v := range t.values {
			p.value(v)
		}
		p.b.WriteString("}")
	case ast.Object, ast.Interface, ast.InputObject:
		if len(t.fields) == 0 {
			break
		}
		p.b.WriteString("\n{\n")
		for _, f := range t.fields {
			p.field(f)
		}
		p.b.WriteString("}")
	}
	p.b.WriteString("\n\n")
}

func keyword(k ast.DefinitionKind) string {
	switch k {
	case ast.Object:
		return "type"
	case ast.InputObject:
		return "input"
	}
	return strings.ToLower(string(k))
}

// typeJoins says which subgraph has the type, with which keys, interfaces and members.
func (p *printer) typeJoins(t *mergedType) []string {
	var types, relations []string
	for _, d := range t.in {
		if d == nil {
			continue
		}
		g := "graph: " + d.sub.enum
		for _, i := range d.interfaces {
			relations = append(relations, "@join__implements("+g+", interface: "+quote(i)+")")
		}
		for _, u := range d.members {
			relations = append(relations, "@join__unionMember("+g+", member: "+quote(u)+")")
		}
		object := ""
		if d.interfaceObject {
			object = ", isInterfaceObject: true"
		}
		if len(d.keys) == 0 {
			types = append(types, "@join__type("+g+object+")")
		}
		for _, k := range d.keys {
			text := g + ", key: " + quote(k.text)
			if k.extension && d.sub.federated() {
				text += ", extension: true"
			}
			if !k.resolvable {
				text += ", resolvable: false"
			}
			types = append(types, "@join__type("+text+object+")")
		}
	}
	out := append(relations, types...)
	if t.kind == ast.Union {
		out = append(types, relations...)
	}
	for _, d := range t.in {
		if d != nil {
			for _, c := range d.conditions {
				out = append(out, "@context(name: "+quote(contextID(d.sub, c))+")")
			}
		}
	}
	return out
}

// contextID is the name of a subgraph's context in the supergraph.
func contextID(s *subgraph, name string) string { return strings.ToLower(s.enum) + "__" + name }

func (p *printer) value(v *mergedValue) {
	p.describe("  ", v.description)
	p.b.WriteString("  " + v.name)
	for i, in := range v.in {
		if in {
			p.b.WriteString(" @join__enumValue(graph: " + p.m.subs[i].enum + ")")
		}
	}
	for _, d := range v.dirs {
		p.b.WriteString(" " + p.directive(d))
	}
	p.b.WriteByte('\n')
}

func (p *printer) field(f *mergedField) {
	p.describe("  ", f.description)
	p.b.WriteString("  " + f.name)
	p.arguments(f.args)
	p.b.WriteString(": " + f.typ.String())
	if f.defaultValue != nil {
		p.b.WriteString(" = " + printValue(f.defaultValue))
	}
	for _, j := range p.fieldJoins(f) {
		p.b.WriteString(" " + j)
	}
	for _, d := range f.dirs {
		p.b.WriteString(" " + p.directive(d))
	}
	p.b.WriteByte('\n')
}

// fieldJoins says which subgraphs have the field and how. Nothing said means: all that have the type, as it stands.
func (p *printer) fieldJoins(f *mergedField) []string {
	if f.bare {
		return []string{"@join__field"}
	}
	if !p.needsJoins(f) {
		return nil
	}
	differ := slices.ContainsFunc(f.in, func(d *fieldDef) bool { return d.typ.String() != f.typ.String() })
	var out []string
	for _, d := range f.in {
		if d.overridden && !d.used() {
			continue
		}
		out = append(out, p.fieldJoin(d, differ))
	}
	if len(out) == 0 {
		return []string{"@join__field"}
	}
	return out
}

func (p *printer) needsJoins(f *mergedField) bool {
	rest := f.in
	for _, t := range f.parent.in {
		if t == nil {
			continue
		}
		if len(rest) == 0 || rest[0].parent.sub != t.sub {
			return true
		}
		d := rest[0]
		rest = rest[1:]
		if d.external || d.requires != nil || d.provides != nil || d.overridden || d.overrideLabel != "" || d.overrideFrom != "" ||
			len(d.contextual) > 0 || d.typ.String() != f.typ.String() {
			return true
		}
	}
	return false
}

func (p *printer) fieldJoin(d *fieldDef, differ bool) string {
	args := []string{"graph: " + d.parent.sub.enum}
	add := func(name, value string) { args = append(args, name+": "+value) }
	if d.requires != nil {
		add("requires", quote(d.requires.text))
	}
	if d.provides != nil {
		add("provides", quote(d.provides.text))
	}
	if differ {
		add("type", quote(d.typ.String()))
	}
	if d.external {
		add("external", "true")
	}
	if d.overrideFrom != "" {
		add("override", quote(d.overrideFrom))
	}
	if d.overridden {
		add("usedOverridden", "true")
	}
	if d.overrideLabel != "" {
		add("overrideLabel", quote(d.overrideLabel))
	}
	if len(d.contextual) > 0 {
		add("contextArguments", contextArguments(d))
	}
	return "@join__field(" + strings.Join(args, ", ") + ")"
}

func contextArguments(d *fieldDef) string {
	parts := make([]string, len(d.contextual))
	for i, c := range d.contextual {
		parts[i] = "{context: " + quote(contextID(d.parent.sub, c.context)) + ", name: " + quote(c.arg.Name) + ", type: " + quote(c.arg.Type.String()) + ", selection: " + quote(c.selection) + "}"
	}
	return "[" + strings.Join(parts, ", ") + "]"
}
