package plan

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/gqlerror"
	"github.com/vektah/gqlparser/v2/parser"
	"github.com/vektah/gqlparser/v2/validator"
	"github.com/vektah/gqlparser/v2/validator/rules"

	"github.com/catalyst-router/catalyst/graphql/blockstring"
	"github.com/catalyst-router/catalyst/graphql/plan/graph"
)

// The values of `extensions.code` in the errors of Prepare and CoerceVariables.
const (
	CodeParse     = "GRAPHQL_PARSE_FAILED"
	CodeValidate  = "GRAPHQL_VALIDATION_FAILED"
	CodeOperation = "OPERATION_RESOLUTION_FAILURE"
	CodeInput     = "BAD_USER_INPUT"
)

// Operation is a valid operation of a client. It is immutable.
type Operation struct {
	Name string // "" if anonymous
	Kind Kind
	// Text is the operation and the fragments it uses, without insignificant white space; Hash is its SHA-256 in
	// hexadecimal.
	Text, Hash string
	// Document is what the client sent, annotated by validation; Definition is the operation in it.
	Document   *ast.QueryDocument
	Definition *ast.OperationDefinition
	// Variables it declares, in its order.
	Variables []Variable
	// Conditions are the boolean variables that decide what is fetched (@skip, @include) or in how many parts (@defer,
	// @stream): see Facts.Conditions.
	Conditions []string
	// Parts says that @defer or @stream stands in it.
	Parts bool
	// Policies are the @policy names that the parts it asks for are subject to, sorted.
	Policies []string
	// Size is what the limits were checked against.
	Size Size
	// Introspects says that it uses __schema or __type.
	Introspects bool

	id     []byte
	auths  []*graph.Auth // distinct, of all the parts it asks for
	schema *ast.Schema
}

// Prepare parses and validates a query document and chooses the operation. name may be "" if there is only one. The
// errors are as the GraphQL specification wants them, with a code in their extensions.
func (p *Planner) Prepare(query, name string) (*Operation, gqlerror.List) {
	key := opKey{query, name}
	if op, ok := p.ops.get(key); ok {
		return op, nil
	}
	op, errs := p.prepare(query, name)
	if errs != nil {
		return nil, errs
	}
	if len(query) <= longestCached {
		p.ops.add(key, op, op.Size.Tokens)
	}
	return op, nil
}

func (p *Planner) prepare(query, name string) (*Operation, gqlerror.List) {
	lim := p.opts.Limits
	tokens, err := countTokens(query, lim.Tokens)
	if err != nil {
		return nil, gqlerror.List{err}
	}
	doc, perr := parser.ParseQuery(&ast.Source{Input: blockstring.Settle(query)})
	if perr != nil {
		return nil, gqlerror.List{coded(gqlerror.WrapIfUnwrapped(perr), CodeParse)}
	}
	def, err := choose(doc, name)
	if err != nil {
		return nil, gqlerror.List{err}
	}
	size, err := p.measure(doc, def, tokens)
	if err != nil {
		return nil, gqlerror.List{err}
	}
	if longNumbers(query) {
		p.largeIntegers(doc)
	}
	if errs := p.validate(doc); errs != nil {
		return nil, errs
	}
	op := &Operation{
		Name: def.Name, Kind: kindOf(def.Operation), Document: doc, Definition: def, Size: size, schema: p.graph.Schema,
		Text: text(doc, def),
	}
	op.conditions(doc, def)
	sum := sha256.Sum256([]byte(op.Text))
	op.id, op.Hash = sum[:], hex.EncodeToString(sum[:])
	for _, v := range def.VariableDefinitions {
		op.Variables = append(op.Variables, Variable{Name: v.Variable, Type: v.Type.String()})
	}
	op.Introspects = introspects(doc, def)
	p.subjects(op)
	return op, nil
}

// choose picks the operation by name.
func choose(doc *ast.QueryDocument, name string) (*ast.OperationDefinition, *gqlerror.Error) {
	switch {
	case len(doc.Operations) == 0:
		return nil, coded(gqlerror.Errorf("The document contains no operation."), CodeOperation)
	case name == "" && len(doc.Operations) > 1:
		return nil, coded(gqlerror.Errorf("Must provide operation name if query contains multiple operations."),
			CodeOperation)
	case name == "":
		return doc.Operations[0], nil
	}
	if def := doc.Operations.ForName(name); def != nil {
		return def, nil
	}
	return nil, coded(gqlerror.Errorf("Unknown operation named %q.", name), CodeOperation)
}

// validate applies the rules of the GraphQL specification.
func (p *Planner) validate(doc *ast.QueryDocument) (errs gqlerror.List) {
	for _, e := range validator.ValidateWithRules(p.graph.Schema, doc, rules.NewDefaultRules()) {
		errs = append(errs, coded(e, CodeValidate))
		if len(errs) == 50 { // a client reads the first ones
			break
		}
	}
	if errs == nil {
		errs = incremental(doc)
	}
	return errs
}

func coded(e *gqlerror.Error, code string) *gqlerror.Error {
	if e.Extensions == nil {
		e.Extensions = map[string]any{}
	}
	delete(e.Extensions, "file")
	e.Extensions["code"] = code
	return e
}

// walk calls visit for each selection that an operation reaches, each fragment once.
func walk(doc *ast.QueryDocument, set ast.SelectionSet, visit func(ast.Selection)) {
	seen := map[string]bool{}
	var do func(ast.SelectionSet)
	do = func(set ast.SelectionSet) {
		for _, s := range set {
			visit(s)
			switch s := s.(type) {
			case *ast.Field:
				do(s.SelectionSet)
			case *ast.InlineFragment:
				do(s.SelectionSet)
			case *ast.FragmentSpread:
				if def := doc.Fragments.ForName(s.Name); def != nil && !seen[s.Name] {
					seen[s.Name] = true
					do(def.SelectionSet)
				}
			}
		}
	}
	do(set)
}

func directives(s ast.Selection) ast.DirectiveList {
	switch s := s.(type) {
	case *ast.Field:
		return s.Directives
	case *ast.InlineFragment:
		return s.Directives
	case *ast.FragmentSpread:
		return s.Directives
	}
	return nil
}

// conditions lists the variables of @skip, @include, @defer and @stream, and notes whether there are any of the
// latter two.
func (op *Operation) conditions(doc *ast.QueryDocument, def *ast.OperationDefinition) {
	var out []string
	walk(doc, def.SelectionSet, func(s ast.Selection) {
		for _, d := range directives(s) {
			if d.Name != "skip" && d.Name != "include" && d.Name != "defer" && d.Name != "stream" {
				continue
			}
			op.Parts = op.Parts || d.Name == "defer" || d.Name == "stream"
			if a := d.Arguments.ForName("if"); a != nil && a.Value != nil && a.Value.Kind == ast.Variable {
				out = append(out, a.Value.Raw)
			}
		}
	})
	slices.Sort(out)
	op.Conditions = slices.Compact(out)
}

func introspects(doc *ast.QueryDocument, def *ast.OperationDefinition) bool {
	found := false
	walk(doc, def.SelectionSet, func(s ast.Selection) {
		if f, ok := s.(*ast.Field); ok {
			found = found || f.Name == "__schema" || f.Name == "__type"
		}
	})
	return found
}

// subjects gathers what the parts an operation asks for are subject to.
func (p *Planner) subjects(op *Operation) {
	seen := map[string]bool{}
	add := func(a *graph.Auth) {
		if a == nil || seen[a.String()] {
			return
		}
		seen[a.String()] = true
		op.auths = append(op.auths, a)
		for _, part := range a.Parts() {
			op.Policies = append(op.Policies, slices.Concat(part.Policies...)...)
		}
	}
	walk(op.Document, op.Definition.SelectionSet, func(s ast.Selection) {
		f, ok := s.(*ast.Field)
		if !ok || f.ObjectDefinition == nil {
			return
		}
		parent := p.graph.Type(f.ObjectDefinition.Name)
		if parent == nil {
			return
		}
		add(parent.Auth)
		for _, id := range parent.Possible.IDs() {
			t := p.graph.Object(id)
			add(t.Auth)
			if fd := t.Fields()[f.Name]; fd != nil {
				add(fd.Auth)
				add(fd.Named.Auth)
			}
		}
	})
	slices.Sort(op.Policies)
	op.Policies = slices.Compact(op.Policies)
}

// ConditionValues reads the operation's condition variables from coerced variables.
func (op *Operation) ConditionValues(variables map[string]json.RawMessage) []bool {
	if len(op.Conditions) == 0 {
		return nil
	}
	out := make([]bool, len(op.Conditions))
	for i, name := range op.Conditions {
		out[i] = string(variables[name]) == "true"
	}
	return out
}

func limitError(code, format string, args ...any) *gqlerror.Error {
	return coded(&gqlerror.Error{Message: fmt.Sprintf(format, args...)}, code)
}
