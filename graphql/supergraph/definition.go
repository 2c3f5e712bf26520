package supergraph

import (
	"slices"
	"strings"

	"github.com/vektah/gqlparser/v2/ast"
)

// definition checks a schema's own definition of one of federation's directives: it may leave things out, not add any.
func (l *loader) definition(d *ast.DirectiveDefinition, canonical string) {
	spec := element(canonical, version{2, 99})
	at := "@" + d.Name
	for _, a := range d.Arguments {
		i := slices.IndexFunc(spec.args, func(s argumentSpec) bool { return s.name == a.Name })
		if i < 0 {
			l.fail(DirectiveDefinitionInvalid, d.Position, at, "invalid definition for directive %q: unknown argument %q", at,
				a.Name)
			continue
		}
		if !compatibleArgument(a.Type, spec.args[i], l.s.federated()) {
			l.fail(DirectiveDefinitionInvalid, d.Position, at,
				"invalid definition for directive %q: argument %q should have type %q but has %q", at, a.Name, spec.args[i].typ,
				a.Type.String())
		}
	}
	for _, s := range spec.args {
		if strings.HasSuffix(s.typ, "!") && d.Arguments.ForName(s.name) == nil {
			l.fail(DirectiveDefinitionInvalid, d.Position, at,
				"invalid definition for directive %q: missing required argument %q", at, s.name)
		}
	}
	if d.IsRepeatable && !spec.repeatable {
		l.fail(DirectiveDefinitionInvalid, d.Position, at,
			"invalid definition for directive %q: it should not be repeatable", at)
	}
	for _, loc := range d.Locations {
		lenient := spec.name == "extends" || spec.name == "external" && string(loc) == onInterface
		if !lenient && !slices.Contains(spec.on, string(loc)) {
			l.fail(DirectiveDefinitionInvalid, d.Position, at,
				"invalid definition for directive %q: it should have locations %s, but it has %s", at,
				strings.Join(spec.on, ", "), loc)
			return
		}
	}
}

func compatibleArgument(t *ast.Type, spec argumentSpec, strict bool) bool {
	want := strings.TrimSuffix(spec.typ, "!")
	got := strings.TrimSuffix(t.String(), "!")
	if got == want || !strict {
		return true
	}
	// Scalars of federation's own may stand under another name, or be strings.
	return strings.Contains(want, "FieldSet") || strings.Contains(want, "__") || want == "ContextFieldValue"
}
