package plan_test

import (
	"encoding/json"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"golang.org/x/tools/txtar"
	"pgregory.net/rapid"

	"github.com/catalyst-router/catalyst/graphql/plan"
	"github.com/catalyst-router/catalyst/graphql/plan/graph"
)

// TestAnswersAreTheMonoliths runs every query of the archives over subgraphs, by a dumb executor, and compares the
// answer with the one of a dumb evaluator that knows no subgraphs.
func TestAnswersAreTheMonoliths(t *testing.T) {
	for _, file := range archives(t) {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			ar, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			p := planner(t, ar)
			base := newWorld(t, ar, p.Graph())
			for _, f := range ar.Files {
				name, ok := strings.CutSuffix(f.Name, ".query")
				if !ok {
					continue
				}
				t.Run(name, func(t *testing.T) {
					vars, _ := section(ar, name+".vars")
					facts, _ := section(ar, name+".facts")
					differ(t, base, p, string(f.Data), string(facts), vars)
				})
			}
		})
	}
}

// differ fails if a plan's answer is not the monolith's.
func differ(t rapid.TB, base *world, p *plan.Planner, query, facts string, rawVars []byte) {
	t.Helper()
	op, errs := p.Prepare(query, "")
	if errs != nil {
		t.Fatal(errs)
	}
	raw := map[string]json.RawMessage{}
	if len(rawVars) > 0 {
		if err := json.Unmarshal(rawVars, &raw); err != nil {
			t.Fatal(err)
		}
	}
	coerced, errs := plan.CoerceVariables(op, raw)
	if errs != nil {
		t.Fatal(errs)
	}
	vars := map[string]any{}
	for n, v := range coerced {
		var x any
		if err := json.Unmarshal(v, &x); err != nil {
			t.Fatal(err)
		}
		vars[n] = x
	}
	fa := factsOf(t, op, facts)
	fa.Conditions = op.ConditionValues(coerced)
	pl, err := p.Plan(op, fa)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%s\n%s", query, pl)
	w := base.fresh(t)
	got := execute(w, pl, vars)
	if len(pl.Denied) > 0 || op.Introspects || w.nulled {
		return // the monolith knows none of them
	}
	if want := w.answer(op, vars); !reflect.DeepEqual(normal(got), normal(want)) {
		t.Errorf("query %s\ngot %s\nwant %s\nby %s\nrequests %s", query, pretty(got), pretty(want), pl,
			strings.Join(w.log, "\n"))
	}
	if w.calls > pl.Fetches && !strings.Contains(pl.String(), ": up ") {
		t.Errorf("%d requests were made, %d promised", w.calls, pl.Fetches)
	}
}

// normal makes values comparable.
func normal(v any) any {
	b, _ := json.Marshal(v)
	var out any
	_ = json.Unmarshal(b, &out)
	return out
}

var _ = graph.TypeName
