package supergraph

import (
	"slices"

	"github.com/vektah/gqlparser/v2/ast"
)

// costRule: @cost stands on what is resolved.
func (l *loader) costRule(t *typeDef, f *fieldDef) {
	if d := f.dirs.ForName("cost"); d != nil && t.kind == ast.Interface {
		l.fail(CostAppliedToInterfaceField, d.Position, f.coordinate(), "@cost cannot be applied to interface field %q",
			f.coordinate())
	}
}

// listSizeRule: @listSize stands on lists, or on what has lists for fields, and counts by integer arguments.
func (l *loader) listSizeRule(f *fieldDef) {
	d := f.dirs.ForName("listSize")
	if d == nil {
		return
	}
	sized := argList(d, "sizedFields")
	if f.typ.Elem == nil && len(sized) == 0 {
		l.fail(ListSizeAppliedToNonList, d.Position, f.coordinate(), "%q is not a list", f.coordinate())
	}
	if n, ok := number(d, "assumedSize"); ok && n < 0 {
		l.fail(ListSizeInvalidAssumedSize, d.Position, f.coordinate(), "assumed size of %q cannot be negative",
			f.coordinate())
	}
	for _, v := range argList(d, "slicingArguments") {
		a := f.args.ForName(v.Raw)
		if a == nil {
			l.fail(ListSizeInvalidSlicingArgument, d.Position, f.coordinate(), "slicing argument %q is not an argument of %q",
				v.Raw, f.coordinate())
		} else if a.Type.NamedType != "Int" {
			l.fail(ListSizeInvalidSlicingArgument, d.Position, f.coordinate(),
				"slicing argument \"%s(%s:)\" must be Int or Int!", f.coordinate(), v.Raw)
		}
	}
	l.sizedFields(f, d, sized)
}

func (l *loader) sizedFields(f *fieldDef, d *ast.Directive, sized []*ast.Value) {
	if len(sized) == 0 {
		return
	}
	t := l.s.types[f.typ.Name()]
	if t == nil || !t.composite() {
		l.fail(ListSizeInvalidSizedField, d.Position, f.coordinate(),
			"sized fields cannot be used because %q is not a composite type", f.typ.String())
		return
	}
	for _, v := range sized {
		if i := slices.IndexFunc(t.fields, func(g *fieldDef) bool { return g.name == v.Raw }); i < 0 {
			l.fail(ListSizeInvalidSizedField, d.Position, f.coordinate(), "sized field %q is not a field on type %q", v.Raw,
				t.name)
		} else if t.fields[i].typ.Elem == nil {
			l.fail(ListSizeAppliedToNonList, d.Position, f.coordinate(), "sized field %q is not a list", t.name+"."+v.Raw)
		}
	}
}
