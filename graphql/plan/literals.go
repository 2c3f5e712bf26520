package plan

import (
	"strconv"

	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/validator/core"
)

// longestInt is how many digits an integer has at least that 64 bits do not hold.
const longestInt = 19

// longNumbers reports whether a document may have integers that 64 bits do not hold.
func longNumbers(text string) bool {
	run := 0
	for i := range len(text) {
		if text[i] < '0' || text[i] > '9' {
			run = 0
		} else if run++; run >= longestInt {
			return true
		}
	}
	return false
}

// largeIntegers lets integers beyond 64 bits stand where GraphQL allows them: for ID, Float and custom scalars. The
// parser's rules know integers of 64 bits only, so that for an ID such a literal is taken as the string that means
// the same, and elsewhere as a number without limit.
func (p *Planner) largeIntegers(doc *ast.QueryDocument) {
	var events core.Events
	events.OnValue(func(_ *core.Walker, v *ast.Value) {
		if v.Definition != nil && v.Definition.Kind == ast.Scalar {
			large(v, v.Definition.Name)
		}
	})
	core.Walk(p.graph.Schema, doc, &events)
}

// large takes a literal of a scalar, and what is inside it, beyond 64 bits.
func large(v *ast.Value, scalar string) {
	for _, c := range v.Children {
		large(c.Value, scalar)
	}
	if v.Kind != ast.IntValue {
		return
	}
	if _, err := strconv.ParseInt(v.Raw, 10, 64); err == nil {
		return
	}
	switch scalar {
	case "Int", "String", "Boolean": // the rules refuse it
	case "ID":
		v.Kind = ast.StringValue
	case "Float":
		v.Kind, v.Raw = ast.FloatValue, v.Raw+".0" // which every subgraph takes
	default:
		v.Kind = ast.FloatValue
	}
}
