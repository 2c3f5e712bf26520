package subgraph

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// SDLFrom prints a schema that was introspected, in the order in which it was told. What every schema has (the
// scalars and directives of the specification, introspection types) is left out. A name that is none is an error.
func SDLFrom(s *Schema) (string, error) {
	p := &printer{}
	p.schema(s)
	for _, d := range s.Directives {
		p.directive(d)
	}
	for _, t := range s.Types {
		p.typ(t)
	}
	if len(p.errs) > 0 {
		return "", refusalError{"the introspection is not sound: " + errors.Join(p.errs...).Error()}
	}
	return notEmpty(p.b.String())
}

type printer struct {
	b    strings.Builder
	errs []error
}

func (p *printer) write(parts ...string) {
	for _, s := range parts {
		p.b.WriteString(s)
	}
}

// name checks that a name is one: nothing else than a name goes into the text where a name stands.
func (p *printer) name(s string) string {
	for i := range len(s) {
		c := s[i]
		if c != '_' && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (i == 0 || c < '0' || c > '9') {
			s = ""
			break
		}
	}
	if s == "" && len(p.errs) < 10 {
		p.errs = append(p.errs, errors.New("a name is empty or has other characters than letters, digits and _"))
	}
	return s
}

// schema prints the schema definition, if the roots have other names than usual or a description.
func (p *printer) schema(s *Schema) {
	roots := []struct {
		keyword, usual string
		named          *Named
	}{{"query", "Query", s.QueryType}, {"mutation", "Mutation", s.MutationType},
		{"subscription", "Subscription", s.SubscriptionType}}
	usual := s.Description == ""
	for _, r := range roots {
		taken := slices.ContainsFunc(s.Types, func(t Type) bool { return t.Name == r.usual })
		usual = usual && (r.named == nil && !taken || r.named != nil && r.named.Name == r.usual)
	}
	if usual {
		return
	}
	p.description(s.Description, "")
	p.write("schema {\n")
	for _, r := range roots {
		if r.named != nil {
			p.write("  ", r.keyword, ": ", p.name(r.named.Name), "\n")
		}
	}
	p.write("}\n\n")
}

func (p *printer) directive(d Directive) {
	switch d.Name {
	case "skip", "include", "deprecated", "specifiedBy", "oneOf", "defer", "stream":
		return
	}
	p.description(d.Description, "")
	p.write("directive @", p.name(d.Name))
	p.args(d.Args, "")
	if d.Repeatable {
		p.write(" repeatable")
	}
	p.write(" on ")
	for i, l := range d.Locations {
		if i > 0 {
			p.write(" | ")
		}
		p.write(p.name(l))
	}
	p.write("\n\n")
}

func (p *printer) typ(t Type) {
	if strings.HasPrefix(t.Name, "__") {
		return
	}
	switch t.Kind {
	case "SCALAR":
		p.scalar(t)
	case "OBJECT", "INTERFACE":
		p.composite(t)
	case "UNION":
		p.union(t)
	case "ENUM":
		p.enum(t)
	case "INPUT_OBJECT":
		p.input(t)
	default:
		p.errs = append(p.errs, fmt.Errorf("type %s is of the unknown kind %q", p.name(t.Name), t.Kind))
	}
}

func (p *printer) scalar(t Type) {
	switch t.Name {
	case "Int", "Float", "String", "Boolean", "ID":
		return
	}
	p.description(t.Description, "")
	p.write("scalar ", p.name(t.Name))
	if t.SpecifiedByURL != "" {
		p.write(" @specifiedBy(url: ", quote(t.SpecifiedByURL), ")")
	}
	p.write("\n\n")
}

func (p *printer) composite(t Type) {
	p.description(t.Description, "")
	p.write(map[string]string{"OBJECT": "type ", "INTERFACE": "interface "}[t.Kind], p.name(t.Name))
	for i, n := range t.Interfaces {
		p.write([]string{" implements ", " & "}[min(i, 1)], p.name(n.Name))
	}
	p.write(" {\n")
	for _, f := range t.Fields {
		p.description(f.Description, "  ")
		p.write("  ", p.name(f.Name))
		p.args(f.Args, "  ")
		p.write(": ", p.ref(&f.Type), deprecated(f.Deprecation), "\n")
	}
	p.write("}\n\n")
}

func (p *printer) union(t Type) {
	p.description(t.Description, "")
	p.write("union ", p.name(t.Name))
	for i, n := range t.PossibleTypes {
		p.write([]string{" = ", " | "}[min(i, 1)], p.name(n.Name))
	}
	p.write("\n\n")
}

func (p *printer) enum(t Type) {
	p.description(t.Description, "")
	p.write("enum ", p.name(t.Name), " {\n")
	for _, v := range t.EnumValues {
		p.description(v.Description, "  ")
		p.write("  ", p.name(v.Name), deprecated(v.Deprecation), "\n")
	}
	p.write("}\n\n")
}

func (p *printer) input(t Type) {
	p.description(t.Description, "")
	p.write("input ", p.name(t.Name))
	if t.OneOf {
		p.write(" @oneOf")
	}
	p.write(" {\n")
	for _, f := range t.InputFields {
		p.description(f.Description, "  ")
		p.write("  ", p.value(f), "\n")
	}
	p.write("}\n\n")
}

// args prints arguments, on lines of their own if one has a description.
func (p *printer) args(args []InputValue, indent string) {
	if len(args) == 0 {
		return
	}
	if !slices.ContainsFunc(args, func(a InputValue) bool { return a.Description != "" }) {
		for i, a := range args {
			p.write([]string{"(", ", "}[min(i, 1)], p.value(a))
		}
		p.write(")")
		return
	}
	p.write("(\n")
	for _, a := range args {
		p.description(a.Description, indent+"  ")
		p.write(indent, "  ", p.value(a), "\n")
	}
	p.write(indent, ")")
}

// value is an argument or input field; its default is GraphQL text already.
func (p *printer) value(v InputValue) string {
	s := p.name(v.Name) + ": " + p.ref(&v.Type)
	if v.DefaultValue != nil {
		s += " = " + *v.DefaultValue
	}
	return s + deprecated(v.Deprecation)
}

func (p *printer) ref(t *TypeRef) string {
	switch {
	case t.OfType == nil:
		return p.name(t.Name)
	case t.Kind == "LIST":
		return "[" + p.ref(t.OfType) + "]"
	default:
		return p.ref(t.OfType) + "!"
	}
}

func deprecated(d Deprecation) string {
	switch {
	case !d.Deprecated:
		return ""
	case d.Reason == nil || *d.Reason == "" || *d.Reason == "No longer supported":
		return " @deprecated"
	}
	return " @deprecated(reason: " + quote(*d.Reason) + ")"
}

func (p *printer) description(text, indent string) {
	if text != "" {
		p.write(indent, quote(text), "\n")
	}
}

// quote is text as a GraphQL string (https://spec.graphql.org/draft/#StringValue).
func quote(text string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range text {
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\r':
			b.WriteString(`\r`)
		case r == '\t':
			b.WriteString(`\t`)
		case r < 0x20 || r == 0x7f:
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			b.WriteRune(r)
		}
	}
	b.WriteByte('"')
	return b.String()
}
