// Package sdl writes definitions as GraphQL text, as supergraphs have them, and has the text that is in all of them. It
// knows nothing of composition.
package sdl

import (
	"slices"
	"strings"

	"github.com/vektah/gqlparser/v2/ast"
)

// Writer is text to which definitions are added. The zero value is empty.
type Writer struct{ strings.Builder }

// Quote writes a GraphQL string.
func Quote(s string) string {
	return (&ast.Value{Kind: ast.StringValue, Raw: s}).String()
}

// Describe writes a description as a block string.
func (w *Writer) Describe(indent, text string) {
	if text == "" {
		return
	}
	if strings.ContainsAny(text, "\\\"") || strings.TrimSpace(text) != text ||
		strings.ContainsFunc(text, func(r rune) bool { return r < ' ' && r != '\n' && r != '\t' }) {
		w.WriteString(indent + Quote(text) + "\n")
		return
	}
	w.WriteString(indent + "\"\"\"\n")
	for _, line := range strings.Split(text, "\n") {
		if line != "" {
			w.WriteString(indent + line)
		}
		w.WriteByte('\n')
	}
	w.WriteString(indent + "\"\"\"\n")
}

// Directive writes an application, and a space before it.
func (w *Writer) Directive(d *ast.Directive) {
	w.WriteString(" @")
	w.WriteString(d.Name)
	for i, a := range d.Arguments {
		if i == 0 {
			w.WriteByte('(')
		} else {
			w.WriteString(", ")
		}
		w.WriteString(a.Name)
		w.WriteString(": ")
		w.value(a.Value)
	}
	if len(d.Arguments) > 0 {
		w.WriteByte(')')
	}
}

// value writes a constant.
func (w *Writer) value(v *ast.Value) {
	switch v.Kind {
	case ast.StringValue, ast.BlockValue:
		w.WriteString(Quote(v.Raw))
	case ast.ListValue:
		w.WriteByte('[')
		for i, c := range v.Children {
			if i > 0 {
				w.WriteString(", ")
			}
			w.value(c.Value)
		}
		w.WriteByte(']')
	case ast.ObjectValue:
		w.WriteByte('{')
		for i, c := range v.Children {
			if i > 0 {
				w.WriteString(", ")
			}
			w.WriteString(c.Name)
			w.WriteString(": ")
			w.value(c.Value)
		}
		w.WriteByte('}')
	default:
		w.WriteString(v.String())
	}
}

// typ writes a type.
func (w *Writer) typ(t *ast.Type) {
	if t.Elem != nil {
		w.WriteByte('[')
		w.typ(t.Elem)
		w.WriteByte(']')
	} else {
		w.WriteString(t.NamedType)
	}
	if t.NonNull {
		w.WriteByte('!')
	}
}

// Arguments writes the definitions of arguments, in parentheses.
func (w *Writer) Arguments(args ast.ArgumentDefinitionList) {
	if len(args) == 0 {
		return
	}
	described := slices.ContainsFunc(args, func(a *ast.ArgumentDefinition) bool { return a.Description != "" })
	w.WriteByte('(')
	for i, a := range args {
		switch {
		case described:
			w.WriteByte('\n')
			w.Describe("    ", a.Description)
			w.WriteString("    ")
		case i > 0:
			w.WriteString(", ")
		}
		w.typed(a.Name, nil, a.Type, a.DefaultValue)
		for _, d := range a.Directives {
			w.Directive(d)
		}
	}
	if described {
		w.WriteString("\n  ")
	}
	w.WriteByte(')')
}

// typed writes a field or argument up to its directives.
func (w *Writer) typed(name string, args ast.ArgumentDefinitionList, t *ast.Type, def *ast.Value) {
	w.WriteString(name)
	w.Arguments(args)
	w.WriteString(": ")
	w.typ(t)
	if def != nil {
		w.WriteString(" = ")
		w.value(def)
	}
}

// Definition writes a type.
func (w *Writer) Definition(t *ast.Definition) {
	w.Describe("", t.Description)
	w.WriteString(keyword(t.Kind) + " " + t.Name)
	if len(t.Interfaces) > 0 {
		w.WriteString(" implements " + strings.Join(t.Interfaces, " & "))
	}
	for _, d := range t.Directives {
		w.WriteString("\n ")
		w.Directive(d)
	}
	switch {
	case t.Kind == ast.Union:
		w.WriteString("\n = " + strings.Join(t.Types, " | "))
	case t.Kind == ast.Enum:
		w.WriteString("\n{\n")
		for _, v := range t.EnumValues {
			w.Describe("  ", v.Description)
			w.WriteString("  " + v.Name)
			w.line(v.Directives)
		}
		w.WriteByte('}')
	case len(t.Fields) > 0:
		w.WriteString("\n{\n")
		for _, f := range t.Fields {
			w.Describe("  ", f.Description)
			w.WriteString("  ")
			w.typed(f.Name, f.Arguments, f.Type, f.DefaultValue)
			w.line(f.Directives)
		}
		w.WriteByte('}')
	}
	w.WriteString("\n\n")
}

// line ends a line with applications.
func (w *Writer) line(ds ast.DirectiveList) {
	for _, d := range ds {
		w.Directive(d)
	}
	w.WriteByte('\n')
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
