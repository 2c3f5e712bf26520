//go:build opa

package main

import (
	"context"

	"github.com/open-policy-agent/opa/v1/rego"
	"github.com/open-policy-agent/opa/v1/storage/inmem"

	"github.com/catalyst-router/catalyst/policy"
	"github.com/catalyst-router/catalyst/policy/extauthz"
)

// opa decides by a query that is prepared, over data that are indexed by hand.
type opa struct{ query rego.PreparedEvalQuery }

const module = `package bench

default allow := false

allow if {
	some g in data.grants[input.subject][input.service]
	input.method == "GET"
	startswith(input.path, concat("", [g.path, "/"]))
}
`

func newOPA(ctx context.Context, n int) (extauthz.Decider, error) {
	data := map[string]any{}
	for _, g := range grants(n) {
		services, ok := data[g.subject].(map[string]any)
		if !ok {
			services = map[string]any{}
			data[g.subject] = services
		}
		list, _ := services[g.service].([]any)
		services[g.service] = append(list, map[string]any{"path": g.path})
	}
	q, err := rego.New(rego.Query("data.bench.allow"), rego.Module("bench.rego", module),
		rego.Store(inmem.NewFromObject(map[string]any{"grants": data}))).PrepareForEval(ctx)
	return opa{q}, err
}

func (o opa) Decide(r policy.Request) policy.Decision {
	c := r.Call()
	subject := ""
	if c.Bearer != nil {
		subject = c.Bearer.Subject
	}
	out, err := o.query.Eval(context.Background(), rego.EvalInput(map[string]any{
		"subject": subject, "service": c.Service, "method": c.Method, "path": c.Path}))
	d := policy.Decision{Snapshot: "opa"}
	if err != nil {
		d.Errors = []string{err.Error()}
		return d
	}
	d.Allow = out.Allowed()
	return d
}
