package live

import (
	"fmt"
	"maps"
	"slices"

	"github.com/vektah/gqlparser/v2/ast"
)

// Severity is what a change of the schema means to the operations of clients.
type Severity string

// The severities.
const (
	Breaking  Severity = "breaking"  // an operation that was valid may be so no more, or gets what it does not expect
	Dangerous Severity = "dangerous" // an operation stays valid and may get what it has never seen
	Safe      Severity = "safe"
)

// Change is one difference between two schemas as clients see them.
type Change struct {
	Severity Severity
	// Coordinate of what changed: Type, Type.field or Type.field(argument:).
	Coordinate string
	Text       string
}

// Diff compares two API schemas; nil stands for an empty one. The changes are sorted by coordinate.
func Diff(before, after *ast.Schema) []Change {
	d := &differ{}
	old, new := typesOf(before), typesOf(after)
	for _, name := range slices.Sorted(maps.Keys(merged(old, new))) {
		was, is := old[name], new[name]
		switch {
		case was == nil:
			d.add(Safe, name, "type added")
		case is == nil:
			d.add(Breaking, name, "type removed")
		case was.Kind != is.Kind:
			d.add(Breaking, name, fmt.Sprintf("was %s, is %s", was.Kind, is.Kind))
		default:
			d.definition(was, is)
		}
	}
	return d.changes
}

func typesOf(s *ast.Schema) map[string]*ast.Definition {
	own := map[string]*ast.Definition{}
	if s == nil {
		return own
	}
	for name, d := range s.Types {
		if !d.BuiltIn {
			own[name] = d
		}
	}
	return own
}

func merged[V any](a, b map[string]V) map[string]V {
	all := maps.Clone(a)
	maps.Copy(all, b)
	return all
}

type differ struct{ changes []Change }

func (d *differ) add(s Severity, coordinate, text string) {
	d.changes = append(d.changes, Change{s, coordinate, text})
}

func (d *differ) definition(was, is *ast.Definition) {
	d.names(was.Name, "implements", was.Interfaces, is.Interfaces)
	switch is.Kind {
	case ast.Union:
		d.names(was.Name, "member", was.Types, is.Types)
	case ast.Enum:
		d.names(was.Name, "value", enumNames(was), enumNames(is))
	case ast.InputObject:
		d.inputs(was.Name+".", "", arguments(was.Fields), arguments(is.Fields), "input field")
	case ast.Object, ast.Interface:
		d.fields(was, is)
	}
}

// names compares lists of which an addition may surprise a client.
func (d *differ) names(typ, what string, was, is []string) {
	for _, n := range was {
		if !slices.Contains(is, n) {
			d.add(Breaking, typ, fmt.Sprintf("%s %s removed", what, n))
		}
	}
	for _, n := range is {
		if !slices.Contains(was, n) {
			d.add(Dangerous, typ, fmt.Sprintf("%s %s added", what, n))
		}
	}
}

func enumNames(d *ast.Definition) []string {
	var names []string
	for _, v := range d.EnumValues {
		names = append(names, v.Name)
	}
	return names
}

func (d *differ) fields(was, is *ast.Definition) {
	for _, f := range was.Fields {
		at := was.Name + "." + f.Name
		g := is.Fields.ForName(f.Name)
		if g == nil {
			d.add(Breaking, at, "field removed")
			continue
		}
		if f.Type.String() != g.Type.String() {
			d.add(severity(narrower(g.Type, f.Type)), at, fmt.Sprintf("type was %s, is %s", f.Type, g.Type))
		}
		d.inputs(at+"(", ":)", f.Arguments, g.Arguments, "argument")
	}
	for _, g := range is.Fields {
		if was.Fields.ForName(g.Name) == nil {
			d.add(Safe, was.Name+"."+g.Name, "field added")
		}
	}
}

// inputs compares arguments, or the fields of an input object.
func (d *differ) inputs(before, after string, was, is ast.ArgumentDefinitionList, what string) {
	for _, a := range was {
		at := before + a.Name + after
		b := is.ForName(a.Name)
		if b == nil {
			d.add(Breaking, at, what+" removed")
			continue
		}
		if a.Type.String() != b.Type.String() {
			d.add(severity(narrower(a.Type, b.Type)), at, fmt.Sprintf("type was %s, is %s", a.Type, b.Type))
		}
		if valueText(a.DefaultValue) != valueText(b.DefaultValue) {
			d.add(Dangerous, at, fmt.Sprintf("default was %s, is %s", valueText(a.DefaultValue), valueText(b.DefaultValue)))
		}
	}
	for _, b := range is {
		if was.ForName(b.Name) != nil {
			continue
		}
		if b.Type.NonNull && b.DefaultValue == nil {
			d.add(Breaking, before+b.Name+after, "required "+what+" added")
		} else {
			d.add(Safe, before+b.Name+after, what+" added")
		}
	}
}

func arguments(fields ast.FieldList) ast.ArgumentDefinitionList {
	var args ast.ArgumentDefinitionList
	for _, f := range fields {
		args = append(args, &ast.ArgumentDefinition{Name: f.Name, Type: f.Type, DefaultValue: f.DefaultValue})
	}
	return args
}

func valueText(v *ast.Value) string {
	if v == nil {
		return "none"
	}
	return v.String()
}

// narrower tells whether every value of type a is one of type b as well.
func narrower(a, b *ast.Type) bool {
	if b.NonNull && !a.NonNull {
		return false
	}
	if (a.Elem == nil) != (b.Elem == nil) {
		return false
	}
	if a.Elem != nil {
		return narrower(a.Elem, b.Elem)
	}
	return a.NamedType == b.NamedType
}

func severity(compatible bool) Severity {
	if compatible {
		return Safe
	}
	return Breaking
}
