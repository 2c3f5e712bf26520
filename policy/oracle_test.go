//go:build interop

package policy

import (
	"bytes"
	"encoding/json"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/cedar-policy/cedar-go/types"
	"github.com/google/go-cmp/cmp"
)

// question is a request as the oracle takes it.
type question struct {
	Principal string          `json:"principal"`
	Action    string          `json:"action"`
	Resource  string          `json:"resource"`
	Context   types.Record    `json:"context"`
	Entities  types.EntityMap `json:"entities"`
}

// asking is what the oracle is given: the policies of a set with their ids, requests to decide by them, and documents
// to validate against the schema, each by itself.
type asking struct {
	Schema   string     `json:"schema"`
	Policies []string   `json:"policies"`
	IDs      []string   `json:"ids"`
	Requests []question `json:"requests"`
	Validate []string   `json:"validate"`
}

type answers struct {
	Decisions []struct {
		Allow    bool     `json:"allow"`
		Policies []string `json:"policies"`
		Errors   int      `json:"errors"`
	} `json:"decisions"`
	Valid []bool `json:"valid"`
}

// oracle asks Cedar's own implementation in Rust, as cedarpy has it.
func oracle(t *testing.T, in asking) (out answers) {
	t.Helper()
	python := os.Getenv("CATALYST_CEDARPY")
	if python == "" {
		t.Fatal("set CATALYST_CEDARPY to a Python that has cedarpy, or run make interop")
	}
	in.Schema = Schema()
	text, err := json.Marshal(in)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), python, "testdata/oracle.py")
	cmd.Stdin, cmd.Stderr = bytes.NewReader(text), os.Stderr
	raw, err := cmd.Output()
	if err == nil {
		err = json.Unmarshal(raw, &out)
	}
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// put is a request with all that it is decided by.
func (s *Snapshot) put(r Request) question {
	q, entities := r.asked(everything())
	all := maps.Clone(s.entities)
	for _, e := range s.joined(entities) {
		all[e.UID] = e
	}
	return question{q.Principal.String(), q.Action.String(), q.Resource.String(), q.Context, all}
}

// Ours decides as Cedar's reference does: by generated policies, entities and calls, the same answer for the same
// policies. Where a policy cannot be evaluated the reference goes on without it, and ours denies.
func TestDecidesAsTheReference(t *testing.T) {
	for seed := range uint64(3) {
		rnd := rand.New(rand.NewPCG(seed, 7))
		policies, entities := generated(200, rnd, 8, 12)
		snap, err := Compile(Source{Policies: policies, Entities: []Document{entities}})
		if err != nil {
			t.Fatal(err)
		}
		in := asking{}
		for _, id := range snap.ids {
			in.IDs, in.Policies = append(in.IDs, string(id)), append(in.Policies, snap.texts[id])
		}
		calls := make([]Call, 400)
		for i := range calls {
			calls[i] = drawn(rnd, 9, 13)
			in.Requests = append(in.Requests, snap.put(calls[i].Request()))
		}
		allowed := 0
		for i, want := range oracle(t, in).Decisions {
			got := snap.Decide(calls[i].Request())
			if got.Allow != (want.Allow && want.Errors == 0) || len(got.Errors) != want.Errors {
				t.Fatalf("seed %d: %+v:\ngot %+v\nwant %+v", seed, calls[i], got, want)
			}
			if diff := cmp.Diff(slices.Compact(want.Policies), append([]string{}, got.Policies...)); diff != "" {
				t.Fatalf("seed %d: %+v: policies:\n%s", seed, calls[i], diff)
			}
			if got.Allow {
				allowed++
			}
		}
		if allowed < len(calls)/50 {
			t.Errorf("seed %d: %d of %d allowed: it tries too little", seed, allowed, len(calls))
		}
	}
}

// What is in force by default, and what templates write, is valid for the reference too; what it refuses, ours refuses.
func TestValidatesAsTheReference(t *testing.T) {
	good := []string{defaultsText, openText, routesText}
	for _, tmpl := range []Template{
		{Organisation: "bravo.example", Service: "books.acme.example"},
		{Organisation: "bravo.example", Service: "books.acme.example", Methods: []string{"GET"}},
	} {
		doc, err := tmpl.Cedar()
		if err != nil {
			t.Fatal(err)
		}
		good = append(good, doc)
	}
	bad := []string{
		`permit (principal, action == CATALYST::Action::"NOTHING", resource);`,
		`permit (principal is CATALYST::Nobody, action, resource);`,
		`permit (principal, action == CATALYST::Action::"REQUEST", resource) when { context.nothing };`,
		`permit (principal, action == CATALYST::Action::"REQUEST", resource) when { context.method == 1 };`,
		`permit (principal, action == CATALYST::Action::"REQUEST", resource) when { context.hour like "1*" };`,
		`permit (principal, action == CATALYST::Action::"REQUEST", resource) when { context.claims.getTag("scope") == "x" };`,
		`permit (principal, action, resource`,
	}
	out := oracle(t, asking{Policies: []string{strings.TrimSpace(openText)}, IDs: []string{"open"},
		Validate: append(slices.Clone(good), bad...)})
	for i, text := range append(good, bad...) {
		// The defaults are in every set, each under its id.
		text = strings.ReplaceAll(text, `@id("`, `@id("again-`)
		_, err := Compile(Source{Policies: []Document{{"one.cedar", text}}})
		if ours := err == nil; ours != out.Valid[i] || out.Valid[i] != (i < len(good)) {
			t.Errorf("ours %v, the reference: %t, for\n%s", err, out.Valid[i], text)
		}
	}
}
