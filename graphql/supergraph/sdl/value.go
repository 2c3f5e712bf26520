package sdl

import (
	"slices"
	"strconv"
	"strings"

	"github.com/vektah/gqlparser/v2/ast"
)

// Canonical prints a constant so that equal ones are equal: block strings as strings, object fields sorted,
// numbers by their value.
func Canonical(v *ast.Value) string {
	switch v.Kind {
	case ast.BlockValue:
		c := *v
		c.Kind = ast.StringValue
		return c.String()
	case ast.ListValue:
		parts := make([]string, len(v.Children))
		for i, c := range v.Children {
			parts[i] = Canonical(c.Value)
		}
		return "[" + strings.Join(parts, ",") + "]"
	case ast.ObjectValue:
		parts := make([]string, len(v.Children))
		for i, c := range v.Children {
			parts[i] = c.Name + ":" + Canonical(c.Value)
		}
		slices.Sort(parts)
		return "{" + strings.Join(parts, ",") + "}"
	case ast.FloatValue: // 1.0 and 1e0 are 1
		if f, err := strconv.ParseFloat(v.Raw, 64); err == nil {
			return strconv.FormatFloat(f, 'f', -1, 64)
		}
	}
	return v.String()
}

// Plain returns a value with its block strings as strings: itself if there are none.
func Plain(v *ast.Value) *ast.Value {
	switch {
	case v == nil:
		return nil
	case v.Kind == ast.BlockValue:
		return &ast.Value{Kind: ast.StringValue, Raw: v.Raw, Position: v.Position}
	case !slices.ContainsFunc(v.Children, func(c *ast.ChildValue) bool { return Plain(c.Value) != c.Value }):
		return v
	}
	out := &ast.Value{Kind: v.Kind, Raw: v.Raw, Position: v.Position, Children: make(ast.ChildValueList, len(v.Children))}
	for i, c := range v.Children {
		out.Children[i] = &ast.ChildValue{Name: c.Name, Value: Plain(c.Value), Position: c.Position}
	}
	return out
}
