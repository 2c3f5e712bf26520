package plan_test

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/tools/txtar"
	"pgregory.net/rapid"

	"github.com/catalyst-router/catalyst/graphql/plan"
)

// many writes n selections, %[1]d standing for the number.
func many(n int, format string) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, format+" ", i)
	}
	return b.String()
}

// hostile are operations on the graphs of conditions and ifaceobject2 that are made to cost, with the code that
// refuses them, or "". With -short those that planning allows are a third as large.
func hostile() map[string][2]string {
	size := func(n int) int {
		if testing.Short() {
			return n / 3
		}
		return n
	}
	deep := strings.Repeat("friends { ", 98) + "score" + strings.Repeat(" }", 98)
	spreads := "query { search { ...F0 } } fragment F30 on User { score mail }"
	for i := range 30 {
		spreads += fmt.Sprintf(" fragment F%[1]d on User { ...F%[2]d friends { ...F%[2]d } ...F%[2]d }", i, i+1)
	}
	return map[string][2]string{
		"aliases":      {"{ product { " + many(1000, "a%[1]d: deal") + "} }", ""},
		"more aliases": {"{ product { " + many(1001, "a%[1]d: deal") + "} }", "MAX_ALIASES_LIMIT"},
		"entities": {"{ " + many(size(490),
			"p%[1]d: product { deal stock { places { open owner { score } } } maker { score } }") + "}", ""},
		"members": {"{ search { " + many(size(300),
			"... on Product { a%[1]d: hidden deal } ... on User { b%[1]d: mail score }") + "} }", ""},
		"deep": {"{ me { " + deep + " } }", ""},
		"deeper": {"{ me { " + strings.Repeat("friends { ", 500) + "score" + strings.Repeat(" }", 500) + " } }",
			"MAX_DEPTH_LIMIT"},
		"deepest": {"{ me { " + strings.Repeat("friends { ", 1000) + "score" + strings.Repeat(" }", 1000) + " } }",
			plan.CodeParse},
		"spreads": {spreads, "MAX_FIELDS_LIMIT"},
		"cycle": {"{ me { ...A } } fragment A on User { friends { ...B } } fragment B on User { friends { ...A } }",
			plan.CodeValidate},
		"deferred": {"{ " + many(size(200), "... @defer { p%[1]d: product { deal ... @defer { stock { n } } } }") + "}", ""},
		"deferred2": {"{ me { " + strings.Repeat("... @defer { friends { score ", 60) + strings.Repeat("} } ", 60) + "} }",
			""},
		"streamed":  {"{ me { " + many(size(200), "s%[1]d: friends @stream { score }") + "} }", ""},
		"mutations": {"mutation { " + many(size(490), "m%[1]d: add { deal maker { score } }") + "}", ""},
		"objects": {"{ " + many(size(300), "m%[1]d: bMedia { popular slug reviews { by { badge ... on Admin { power } "+
			"} of { popular ... on Book { tag } } } }") + "}", ""},
		"lists": {"{ bMedias { " + many(size(400), "r%[1]d: reviews { of { popular ... on Book { tag } } }") + "} }", ""},
	}
}

// TestHostileOperations plans or refuses each of them on the graph that it is for.
func TestHostileOperations(t *testing.T) {
	for name, c := range hostile() {
		t.Run(name, func(t *testing.T) {
			file := "conditions"
			if strings.Contains(c[0], "bMedia") {
				file = "ifaceobject2"
			}
			p := planner(t, archive(t, file))
			op, errs := p.Prepare(c[0], "")
			if errs != nil {
				if code := errs[0].Extensions["code"]; code != c[1] {
					t.Errorf("got %v: %.200s, want %q", code, errs.Error(), c[1])
				}
				return
			}
			pl, err := p.Plan(op, plan.Facts{})
			if err != nil || c[1] != "" {
				t.Fatalf("got error %v, want %q", err, c[1])
			}
			t.Logf("%d bytes: %d requests in %d rounds", len(c[0]), pl.Fetches, pl.Rounds)
		})
	}
}

func archive(t rapid.TB, name string) *txtar.Archive {
	t.Helper()
	ar, err := txtar.ParseFile(filepath.Join("testdata", name+".txtar"))
	if err != nil {
		t.Fatal(err)
	}
	return ar
}

// FuzzOperations compares plans with the monolith on operations from anywhere. What cannot be prepared has a code;
// nothing panics.
func FuzzOperations(f *testing.F) {
	type target struct {
		p    *plan.Planner
		base *world
	}
	var targets []target
	for _, name := range []string{"conditions", "ifaceobject2", "split", "requires2", "contexts"} {
		ar := archive(f, name)
		for _, file := range ar.Files {
			if strings.HasSuffix(file.Name, ".query") {
				f.Add(byte(len(targets)), string(file.Data))
			}
		}
		p := planner(f, ar)
		targets = append(targets, target{p, newWorld(f, ar, p.Graph())})
	}
	f.Fuzz(func(t *testing.T, which byte, query string) {
		to := targets[int(which)%len(targets)]
		op, errs := to.p.Prepare(query, "")
		for _, err := range errs {
			if err.Extensions["code"] == nil {
				t.Errorf("no code: %v", err)
			}
		}
		if errs != nil {
			return
		}
		if op.Variables != nil || op.Kind == plan.Subscribe || op.Size.Fields > 200 {
			if _, err := to.p.Plan(op, plan.Facts{}); err != nil {
				t.Error(err)
			}
			return
		}
		differ(t, to.base, to.p, query, "", nil)
	})
}
