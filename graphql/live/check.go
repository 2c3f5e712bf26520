package live

import (
	"errors"
	"fmt"

	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/parser"
	"github.com/vektah/gqlparser/v2/validator"
	"github.com/vektah/gqlparser/v2/validator/rules"

	"github.com/catalyst-router/catalyst/graphql/blockstring"
	"github.com/catalyst-router/catalyst/graphql/supergraph"
)

// Operation is one that clients have sent.
type Operation struct {
	Name, Text string
	Count      int64
}

// Report is what a candidate schema would do to the graph.
type Report struct {
	// Errors are why it does not compose with the others; nil if it does.
	Errors []supergraph.Error
	Hints  []supergraph.Hint
	// Changes of what clients see, and Broken the operations that are valid now and would be so no more.
	Changes []Change
	Broken  []Broken
	// Checked is how many operations were tried.
	Checked int
}

// Broken is an operation that a candidate would break.
type Broken struct {
	Operation
	Errors []string
}

// Check composes a candidate, new or instead of the subgraph of its name, with those that are in the graph, and tries
// the operations on what comes of it. Nothing is published.
func (r *Registry) Check(candidateSource Source, operations []Operation) (*Report, error) {
	if candidateSource.Name == "" {
		return nil, errors.New("name: must not be empty")
	}
	if candidateSource.SDL == "" {
		return nil, errors.New("sdl: must not be empty")
	}
	r.mu.Lock()
	var others []candidate
	for _, x := range r.state.sorted() {
		if x.good != "" && x.src.Name != candidateSource.Name {
			others = append(others, candidate{src: x.src, schema: x.good, good: x.good})
		}
	}
	current := r.current
	r.mu.Unlock()
	all := append(others, candidate{src: candidateSource, schema: candidateSource.SDL})
	opts := r.cfg.Options
	opts.Accept = new(reader).accept // the registry's is for the composition under way
	out := compose(input{candidates: all}, supergraph.NewComposer(opts))
	report := &Report{Errors: out.taken[candidateSource.Name].errors, Hints: out.result.Hints}
	if len(report.Errors) > 0 {
		return report, nil
	}
	if err := out.failure(); err != nil {
		return nil, fmt.Errorf("compose with the other subgraphs: %w", err)
	}
	after, err := apiSchema(out.graph(""))
	if err != nil {
		return nil, err
	}
	before, err := apiSchema(current)
	if err != nil {
		return nil, err
	}
	report.Changes = Diff(before, after)
	for _, op := range operations {
		report.try(op, before, after)
	}
	return report, nil
}

func (r *Report) try(op Operation, before, after *ast.Schema) {
	if before == nil || len(invalid(op.Text, before)) > 0 {
		return
	}
	r.Checked++
	if bad := invalid(op.Text, after); len(bad) > 0 {
		r.Broken = append(r.Broken, Broken{op, bad})
	}
}

// invalid returns why an operation is not valid on a schema; nil if it is.
func invalid(text string, s *ast.Schema) []string {
	doc, err := parser.ParseQuery(&ast.Source{Name: "operation", Input: blockstring.Settle(text)})
	if err != nil {
		return []string{err.Error()}
	}
	var bad []string
	for _, e := range validator.ValidateWithRules(s, doc, rules.NewDefaultRules()) {
		bad = append(bad, e.Message)
	}
	return bad
}

// apiSchema is what clients see of a graph; nil of none.
func apiSchema(g *Graph) (*ast.Schema, error) {
	if g == nil {
		return nil, nil //nolint:nilnil // there is none
	}
	read, err := g.Read()
	if err != nil {
		return nil, err
	}
	return read.Schema, nil
}

// changes compares what clients see of two graphs; one that cannot be read counts as empty, since Publish has said so.
func changes(before, after *Graph) []Change {
	was, _ := apiSchema(before)
	is, _ := apiSchema(after)
	return Diff(was, is)
}
