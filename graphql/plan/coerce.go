package plan

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/gqlerror"

	"github.com/catalyst-router/catalyst/graphql/plan/graph/literal"
)

// deepestInput is how deep input values may be nested.
const deepestInput = 200

// CoerceVariables checks the variables of a request against an operation's declarations and returns their JSON:
// defaults filled in, single values made lists where lists are declared, integers made strings where IDs are. A
// variable without a value and without a default is absent. Variables that are not declared are ignored. Errors have
// the code BAD_USER_INPUT.
//
// Spec: https://spec.graphql.org/draft/#sec-Coercing-Variable-Values
func CoerceVariables(op *Operation, raw map[string]json.RawMessage) (map[string]json.RawMessage, gqlerror.List) {
	if len(op.Variables) == 0 {
		return nil, nil
	}
	out := make(map[string]json.RawMessage, len(op.Variables))
	var errs gqlerror.List
	for _, def := range op.Definition.VariableDefinitions {
		c := coercer{schema: op.schema, variable: def.Variable, at: def.Position}
		v, given := raw[def.Variable]
		v = bytes.TrimSpace(v)
		if len(v) == 0 {
			given = false
		}
		switch {
		case given && isNull(v) && !def.Type.NonNull && slices.Contains(op.Conditions, def.Variable):
			errs = append(errs, c.errorf("Variable \"$%s\" must not be null: argument \"if\" of @skip, @include, @defer "+
				"and @stream is of type \"Boolean!\".", def.Variable))
		case given && (!isNull(v) || !def.Type.NonNull):
			got, err := c.value(def.Type, v, 0)
			if err != nil {
				errs = append(errs, c.error(v, err))
				continue
			}
			out[def.Variable] = got
		case given:
			errs = append(errs, c.errorf("Variable \"$%s\" of non-null type %q must not be null.", def.Variable,
				def.Type.String()))
		case def.DefaultValue != nil:
			got, err := c.value(def.Type, appendJSON(nil, def.DefaultValue), 0)
			if err != nil {
				errs = append(errs, c.error(v, err))
				continue
			}
			out[def.Variable] = got
		case def.Type.NonNull:
			errs = append(errs, c.errorf("Variable \"$%s\" of required type %q was not provided.", def.Variable,
				def.Type.String()))
		}
	}
	if errs != nil {
		return nil, errs
	}
	return out, nil
}

func isNull(v []byte) bool { return string(v) == "null" }

// coercer coerces the value of one variable.
type coercer struct {
	schema   *ast.Schema
	variable string
	at       *ast.Position
	path     []string // ".field" or "[index]"
}

// problem is what is wrong with a value.
type problem struct {
	message string
	path    string
	value   []byte
}

func (c *coercer) wrong(v []byte, format string, args ...any) *problem {
	return &problem{fmt.Sprintf(format, args...), strings.Join(c.path, ""), v}
}

func (c *coercer) error(_ []byte, p *problem) *gqlerror.Error {
	at := ""
	if p.path != "" {
		at = fmt.Sprintf(" at %q", c.variable+p.path)
	}
	return c.errorf("Variable \"$%s\" got invalid value %s%s; %s", c.variable, shorten(p.value), at, p.message)
}

func (c *coercer) errorf(format string, args ...any) *gqlerror.Error {
	return coded(gqlerror.ErrorPosf(c.at, format, args...), CodeInput)
}

// shorten keeps errors readable.
func shorten(v []byte) string {
	if len(v) > 200 {
		return strings.ToValidUTF8(string(v[:200]), "") + "…"
	}
	return string(v)
}

func (c *coercer) value(t *ast.Type, v []byte, depth int) (json.RawMessage, *problem) {
	if depth > deepestInput {
		return nil, c.wrong(nil, "Values may be nested at most %d deep.", deepestInput)
	}
	if isNull(v) {
		if t.NonNull {
			return nil, c.wrong(v, "Expected non-nullable type %q not to be null.", t.String())
		}
		return v, nil
	}
	if t.Elem != nil {
		return c.list(t, v, depth)
	}
	def := c.schema.Types[t.NamedType]
	if def == nil {
		return nil, c.wrong(v, "Unknown type %q.", t.NamedType)
	}
	switch def.Kind {
	case ast.Enum:
		return c.enum(def, v)
	case ast.InputObject:
		return c.object(def, v, depth)
	}
	return c.scalar(def.Name, v)
}

func (c *coercer) list(t *ast.Type, v []byte, depth int) (json.RawMessage, *problem) {
	if v[0] != '[' { // one value is a list of one
		got, err := c.value(t.Elem, v, depth+1)
		if err != nil {
			return nil, err
		}
		return wrap("[", got, "]"), nil
	}
	var in []json.RawMessage
	if err := json.Unmarshal(v, &in); err != nil {
		return nil, c.wrong(v, "Invalid JSON.")
	}
	out := []byte{'['}
	for i, e := range in {
		c.path = append(c.path, "["+strconv.Itoa(i)+"]")
		got, err := c.value(t.Elem, bytes.TrimSpace(e), depth+1)
		if err != nil {
			return nil, err
		}
		c.path = c.path[:len(c.path)-1]
		if i > 0 {
			out = append(out, ',')
		}
		out = append(out, got...)
	}
	return append(out, ']'), nil
}

func (c *coercer) enum(def *ast.Definition, v []byte) (json.RawMessage, *problem) {
	var s string
	if json.Unmarshal(v, &s) != nil {
		return nil, c.wrong(v, "Enum %q cannot represent non-string value: %s.", def.Name, shorten(v))
	}
	if def.EnumValues.ForName(s) == nil {
		return nil, c.wrong(v, "Value %q does not exist in %q enum.", shorten([]byte(s)), def.Name)
	}
	return v, nil
}

func (c *coercer) object(def *ast.Definition, v []byte, depth int) (json.RawMessage, *problem) {
	var in map[string]json.RawMessage
	if v[0] != '{' || json.Unmarshal(v, &in) != nil {
		return nil, c.wrong(v, "Expected type %q to be an object.", def.Name)
	}
	out := []byte{'{'}
	for _, f := range def.Fields { // in the schema's order: equal values give equal text
		e, given := in[f.Name]
		if !given {
			if f.Type.NonNull && f.DefaultValue == nil {
				return nil, c.wrong(v, "Field %q of required type %q was not provided.", f.Name, f.Type.String())
			}
			continue // the subgraph knows the default
		}
		delete(in, f.Name)
		c.path = append(c.path, "."+f.Name)
		got, err := c.value(f.Type, bytes.TrimSpace(e), depth+1)
		if err != nil {
			return nil, err
		}
		if def.Directives.ForName("oneOf") != nil && isNull(got) {
			return nil, c.wrong(got, "Field %q must be non-null.", f.Name)
		}
		c.path = c.path[:len(c.path)-1]
		if len(out) > 1 {
			out = append(out, ',')
		}
		out = append(append(literal.AppendString(out, f.Name), ':'), got...)
		if def.Directives.ForName("oneOf") != nil && len(in) > 0 {
			return nil, c.wrong(v, "Exactly one key must be specified for OneOf type %q.", def.Name)
		}
	}
	unknown := ""
	for name := range in {
		if unknown == "" || name < unknown {
			unknown = name
		}
	}
	if len(in) > 0 {
		return nil, c.wrong(v, "Field %q is not defined by type %q.", shorten([]byte(unknown)), def.Name)
	}
	if def.Directives.ForName("oneOf") != nil && len(out) == 1 {
		return nil, c.wrong(v, "Exactly one key must be specified for OneOf type %q.", def.Name)
	}
	return append(out, '}'), nil
}

// scalar checks built-in scalars; any JSON will do for custom ones.
func (c *coercer) scalar(name string, v []byte) (json.RawMessage, *problem) {
	isString, isNumber := v[0] == '"', v[0] == '-' || v[0] >= '0' && v[0] <= '9'
	switch name {
	case "String":
		if !isString {
			return nil, c.wrong(v, "String cannot represent a non string value: %s", shorten(v))
		}
	case "Boolean":
		if string(v) != "true" && string(v) != "false" {
			return nil, c.wrong(v, "Boolean cannot represent a non boolean value: %s", shorten(v))
		}
	case "Float":
		if f, err := strconv.ParseFloat(string(v), 64); !isNumber || err != nil || math.IsInf(f, 0) {
			return nil, c.wrong(v, "Float cannot represent non numeric value: %s", shorten(v))
		}
	case "Int":
		return c.integer(v, isNumber)
	case "ID":
		switch {
		case isString:
		case isNumber && !bytes.ContainsAny(v, ".eE"):
			return wrap(`"`, v, `"`), nil
		default:
			return nil, c.wrong(v, "ID cannot represent value: %s", shorten(v))
		}
	}
	return v, nil
}

func (c *coercer) integer(v []byte, isNumber bool) (json.RawMessage, *problem) {
	f, err := strconv.ParseFloat(string(v), 64)
	if !isNumber || err != nil || f != math.Trunc(f) {
		return nil, c.wrong(v, "Int cannot represent non-integer value: %s", shorten(v))
	}
	if f < math.MinInt32 || f > math.MaxInt32 {
		return nil, c.wrong(v, "Int cannot represent non 32-bit signed integer value: %s", shorten(v))
	}
	if bytes.ContainsAny(v, ".eE") { // 1.0 is an integer in JSON's eyes
		return strconv.AppendInt(nil, int64(f), 10), nil
	}
	return v, nil
}

func wrap(before string, v []byte, after string) json.RawMessage {
	out := make([]byte, 0, len(before)+len(v)+len(after))
	return append(append(append(out, before...), v...), after...)
}

// appendJSON appends a constant of GraphQL as JSON.
func appendJSON(b []byte, v *ast.Value) []byte {
	switch v.Kind {
	case ast.StringValue, ast.BlockValue, ast.EnumValue:
		return literal.AppendString(b, v.Raw)
	case ast.ListValue:
		b = append(b, '[')
		for i, c := range v.Children {
			if i > 0 {
				b = append(b, ',')
			}
			b = appendJSON(b, c.Value)
		}
		return append(b, ']')
	case ast.ObjectValue:
		b = append(b, '{')
		for i, c := range v.Children {
			if i > 0 {
				b = append(b, ',')
			}
			b = append(literal.AppendString(b, c.Name), ':')
			b = appendJSON(b, c.Value)
		}
		return append(b, '}')
	case ast.NullValue, ast.Variable:
		return append(b, "null"...)
	}
	return append(b, v.Raw...)
}
