package plan_test

import (
	"strings"
	"testing"

	"golang.org/x/tools/txtar"
)

func TestIncrementalRules(t *testing.T) {
	ar, err := txtar.ParseFile("testdata/conditions.txtar")
	if err != nil {
		t.Fatal(err)
	}
	p := planner(t, ar)
	for query, want := range map[string]string{
		`{ search @stream(initialCount: 1, label: "a") { __typename } }`:                                             "",
		`{ ... @defer(label: "a") { me { name } } ... @defer { me { name } } ... @defer { search { __typename } } }`: "",
		`{ me @stream { name } }`:                                                                                   `Directive "@stream" cannot be used on non-list field "me".`,
		`{ search @stream(initialCount: -1) { __typename } }`:                                                       `Argument "@stream(initialCount:)" must not be negative.`,
		`{ search @stream(label: "a") { __typename } ... @defer(label: "a") { me { name } } }`:                      "must be unique",
		`query($l: String) { ... @defer(label: $l) { me { name } } }`:                                               `Argument "@defer(label:)" must be a static string.`,
		`{ search @stream(initialCount: 1) { __typename } search @stream(initialCount: 1) { ... on Node { id } } }`: "",
		`{ search @stream(initialCount: 1) { __typename } search @stream(initialCount: 2) { __typename } }`:         "differing stream directives",
		`{ search @stream { __typename } ... { search { __typename } } }`:                                           "differing stream directives",
	} {
		_, errs := p.Prepare(query, "")
		if got := errs.Error(); (want == "") != (errs == nil) || !strings.Contains(got, want) {
			t.Errorf("%s: got %q, want %q", query, got, want)
		}
	}
	if d := p.Graph().Schema.Directives["stream"]; d == nil || len(d.Arguments) != 3 {
		t.Errorf("the API schema has no @stream: %v", d)
	}
}
