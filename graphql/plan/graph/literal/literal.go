// Package literal writes values and arguments as GraphQL text without white space.
package literal

import (
	"slices"

	"github.com/vektah/gqlparser/v2/ast"
)

// Arguments renders arguments as GraphQL text with parentheses and lists the variables in them.
func Arguments(args ast.ArgumentList) (string, []string) {
	if len(args) == 0 {
		return "", nil
	}
	var vars []string
	b := []byte{'('}
	for i, a := range args {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, a.Name...)
		b = append(b, ':')
		b = Append(b, a.Value, &vars)
	}
	slices.Sort(vars)
	return string(append(b, ')')), slices.Compact(vars)
}

// Append appends a value as GraphQL text to b and the variables in it to vars, which may be nil.
func Append(b []byte, v *ast.Value, vars *[]string) []byte {
	if v == nil {
		return append(b, "null"...)
	}
	switch v.Kind {
	case ast.Variable:
		if vars != nil {
			*vars = append(*vars, v.Raw)
		}
		return append(append(b, '$'), v.Raw...)
	case ast.StringValue, ast.BlockValue:
		return AppendString(b, v.Raw)
	case ast.ListValue:
		b = append(b, '[')
		for i, c := range v.Children {
			if i > 0 {
				b = append(b, ',')
			}
			b = Append(b, c.Value, vars)
		}
		return append(b, ']')
	case ast.ObjectValue:
		b = append(b, '{')
		for i, c := range v.Children {
			if i > 0 {
				b = append(b, ',')
			}
			b = append(append(b, c.Name...), ':')
			b = Append(b, c.Value, vars)
		}
		return append(b, '}')
	case ast.NullValue:
		return append(b, "null"...)
	}
	return append(b, v.Raw...)
}

// AppendString appends a string literal, which is the same in GraphQL and in JSON.
func AppendString(b []byte, s string) []byte {
	b = append(b, '"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b = append(b, '\\', byte(r))
		case r == '\n':
			b = append(b, '\\', 'n')
		case r == '\r':
			b = append(b, '\\', 'r')
		case r == '\t':
			b = append(b, '\\', 't')
		case r < 0x20:
			b = append(b, `\u00`...)
			b = append(b, "0123456789abcdef"[r>>4], "0123456789abcdef"[r&15])
		default:
			b = append(b, string(r)...)
		}
	}
	return append(b, '"')
}
