package plan

import (
	"slices"

	"github.com/vektah/gqlparser/v2/ast"

	"github.com/catalyst-router/catalyst/graphql/plan/graph/literal"
)

// text prints an operation and the fragments it uses (by name) without insignificant white space.
func text(doc *ast.QueryDocument, def *ast.OperationDefinition) string {
	b := append([]byte(nil), def.Operation...)
	if def.Name != "" {
		b = append(append(b, ' '), def.Name...)
	}
	if len(def.VariableDefinitions) > 0 {
		b = append(b, '(')
		for i, v := range def.VariableDefinitions {
			if i > 0 {
				b = append(b, ',')
			}
			b = append(append(b, '$'), v.Variable...)
			b = append(append(b, ':'), v.Type.String()...)
			if v.DefaultValue != nil {
				b = literal.Append(append(b, '='), v.DefaultValue, nil)
			}
			b = appendDirectives(b, v.Directives)
		}
		b = append(b, ')')
	}
	b = appendDirectives(b, def.Directives)
	b = appendSet(b, def.SelectionSet)
	var used []string
	walk(doc, def.SelectionSet, func(s ast.Selection) {
		if f, ok := s.(*ast.FragmentSpread); ok && !slices.Contains(used, f.Name) {
			used = append(used, f.Name)
		}
	})
	slices.Sort(used)
	for _, name := range used {
		f := doc.Fragments.ForName(name)
		b = append(append(b, " fragment "...), name...)
		b = append(append(b, " on "...), f.TypeCondition...)
		b = appendSet(appendDirectives(b, f.Directives), f.SelectionSet)
	}
	return string(b)
}

func appendSet(b []byte, set ast.SelectionSet) []byte {
	if len(set) == 0 {
		return b
	}
	b = append(b, '{')
	for i, s := range set {
		if i > 0 {
			b = append(b, ' ')
		}
		switch s := s.(type) {
		case *ast.Field:
			if s.Alias != "" && s.Alias != s.Name {
				b = append(append(b, s.Alias...), ':')
			}
			args, _ := literal.Arguments(s.Arguments)
			b = append(append(b, s.Name...), args...)
			b = appendSet(appendDirectives(b, s.Directives), s.SelectionSet)
		case *ast.InlineFragment:
			b = append(b, "..."...)
			if s.TypeCondition != "" {
				b = append(append(b, "on "...), s.TypeCondition...)
			}
			b = appendSet(appendDirectives(b, s.Directives), s.SelectionSet)
		case *ast.FragmentSpread:
			b = append(append(b, "..."...), s.Name...)
			b = appendDirectives(b, s.Directives)
		}
	}
	return append(b, '}')
}

func appendDirectives(b []byte, ds ast.DirectiveList) []byte {
	for _, d := range ds {
		args, _ := literal.Arguments(d.Arguments)
		b = append(append(append(b, '@'), d.Name...), args...)
	}
	return b
}
