package policy

import (
	"archive/tar"
	"compress/gzip"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/cedar-policy/cedar-go"
	"github.com/cedar-policy/cedar-go/types"
	"github.com/cedar-policy/cedar-go/x/exp/ast"
	"github.com/google/go-cmp/cmp"
)

// corpusCase is one of the cases that the Rust implementation of Cedar generated and decided, in the form in which
// cedar-go's module brings them.
type corpusCase struct {
	Policies string `json:"policies"`
	Entities string `json:"entities"`
	Requests []struct {
		Description string            `json:"description"`
		Principal   types.EntityUID   `json:"principal"`
		Action      types.EntityUID   `json:"action"`
		Resource    types.EntityUID   `json:"resource"`
		Context     types.Record      `json:"context"`
		Decision    string            `json:"decision"`
		Reason      []string          `json:"reason"`
		Errors      []json.RawMessage `json:"errors"`
	} `json:"requests"`
}

// TestCorpus decides every case that comes with cedar-go by the index. Its decisions are Rust's, except that an error
// denies here (Rust's own answer, with the policies that would have made it, is what the same view gives before that).
func TestCorpus(t *testing.T) {
	t.Parallel()
	files := corpus(t)
	// Of two errors in one record, cedar-go tells one or the other.
	inPart := cmp.FilterPath(func(p cmp.Path) bool { return p.String() == "Errors" },
		cmp.Comparer(func(a, b []string) bool { return slices.EqualFunc(a, b, samePolicy) }))
	asked, allowed, failed := 0, 0, 0
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if !strings.HasSuffix(name, ".json") || strings.HasSuffix(name, ".entities.json") {
			continue
		}
		var c corpusCase
		if err := json.Unmarshal(files[name], &c); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		snap := corpusSnapshot(t, files[c.Policies], files[c.Entities])
		for _, r := range c.Requests {
			q := types.Request{Principal: r.Principal, Action: r.Action, Resource: r.Resource, Context: r.Context}
			v := snap.view(q, nil, nil, nil)
			verdict, diag := cedar.Authorize(v, v, q)
			got := snap.decision(verdict, diag)
			if d := snap.decision(cedar.Authorize(whole{v}, v, q)); !cmp.Equal(got, d, inPart) {
				t.Fatalf("%s, %s: the index and the full scan differ:\n%s", name, r.Description, cmp.Diff(d, got, inPart))
			}
			want := slices.Sorted(slices.Values(r.Reason))
			if verdict != (r.Decision == "allow") || !slices.Equal(got.Policies, want) || len(got.Errors) != len(r.Errors) {
				t.Fatalf("%s, %s: %v by %v with %q; want %s by %v with %d errors",
					name, r.Description, verdict, got.Policies, got.Errors, r.Decision, want, len(r.Errors))
			}
			if got.Allow != (r.Decision == "allow" && len(r.Errors) == 0) {
				t.Fatalf("%s, %s: an error does not deny", name, r.Description)
			}
			asked++
			failed += min(1, len(r.Errors))
			if got.Allow {
				allowed++
			}
		}
	}
	t.Logf("%d requests, %d allowed, %d with errors", asked, allowed, failed)
	if asked < 10000 || allowed < asked/50 || failed < asked/50 {
		t.Errorf("%d requests, %d allowed, %d with errors: that is not the corpus", asked, allowed, failed)
	}
}

// samePolicy compares the policies that two errors are of.
func samePolicy(a, b string) bool {
	a, _, _ = strings.Cut(a, ": ")
	b, _, _ = strings.Cut(b, ": ")
	return a == b
}

// corpusSnapshot indexes a case's policies as Compile does, without the schema, which is the case's own.
func corpusSnapshot(t *testing.T, policies, entities []byte) *Snapshot {
	t.Helper()
	set, err := cedar.NewPolicySetFromBytes("", policies)
	if err != nil {
		t.Fatal(err)
	}
	snap := &Snapshot{index: newIndex(), policies: map[types.PolicyID]*entry{}, entities: types.EntityMap{},
		above: map[types.EntityUID][]types.EntityUID{}}
	if err := json.Unmarshal(entities, &snap.entities); err != nil {
		t.Fatal(err)
	}
	for uid := range snap.entities {
		above, ok := ancestors(snap.entities, uid)
		if !ok {
			t.Fatalf("%s has too many ancestors", uid)
		}
		snap.above[uid] = above
		if strings.HasSuffix("::"+string(uid.Type), "::Action") {
			snap.index.actions[uid] = len(snap.index.actions)
		}
	}
	if len(snap.index.actions) > 64 {
		t.Fatalf("%d actions", len(snap.index.actions))
	}
	for id, p := range set.All() {
		e := &entry{id: id, policy: p, tree: (*ast.Policy)(p.AST())}
		snap.policies[id] = e
		snap.index.add(e, snap)
	}
	snap.ids = slices.Sorted(maps.Keys(snap.policies))
	return snap
}

// corpus unpacks the cases from the module that this one is built with.
func corpus(t *testing.T) map[string][]byte {
	t.Helper()
	dir, err := exec.CommandContext(t.Context(), "go", "list", "-m", "-f", "{{.Dir}}",
		"github.com/cedar-policy/cedar-go").Output()
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(filepath.Join(strings.TrimSpace(string(dir)), "corpus-tests.tar.gz"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	files := map[string][]byte{}
	for r := tar.NewReader(z); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return files
		}
		if err != nil {
			t.Fatal(err)
		}
		if files[h.Name], err = io.ReadAll(r); err != nil {
			t.Fatal(err)
		}
	}
}
