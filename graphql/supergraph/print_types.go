package supergraph

import (
	"strings"

	"github.com/vektah/gqlparser/v2/ast"
)

func (p *printer) typeDef(t *ast.Definition) {
	p.describe("", t.Description)
	p.b.WriteString(keyword(t.Kind) + " " + t.Name)
	if len(t.Interfaces) > 0 {
		p.b.WriteString(" implements " + strings.Join(t.Interfaces, " & "))
	}
	for _, d := range t.Directives {
		p.b.WriteString("\n ")
		p.directive(d)
	}
	switch {
	case t.Kind == ast.Union:
		p.b.WriteString("\n = " + strings.Join(t.Types, " | "))
	case t.Kind == ast.Enum:
		p.b.WriteString("\n{\n")
		for _, v := range t.EnumValues {
			p.describe("  ", v.Description)
			p.b.WriteString("  " + v.Name)
			p.line(v.Directives)
		}
		p.b.WriteByte('}')
	case len(t.Fields) > 0:
		p.b.WriteString("\n{\n")
		for _, f := range t.Fields {
			p.describe("  ", f.Description)
			p.b.WriteString("  ")
			p.typed(f.Name, f.Arguments, f.Type, f.DefaultValue)
			p.line(f.Directives)
		}
		p.b.WriteByte('}')
	}
	p.b.WriteString("\n\n")
}

// line ends a line with applications.
func (p *printer) line(ds ast.DirectiveList) {
	for _, d := range ds {
		p.directive(d)
	}
	p.b.WriteByte('\n')
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
