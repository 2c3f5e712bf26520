package scenarios

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

const root = "../.."

//nolint:gochecknoglobals // a flag
var update = flag.Bool("update", false, "rewrite docs/scenarios.md")

// The documentation says what the table says.
func TestDocumentation(t *testing.T) {
	const page = root + "/docs/scenarios.md"
	want := document()
	if *update {
		if err := os.WriteFile(page, []byte(want), 0o644); err != nil { //nolint:gosec // a document
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != want {
		t.Error("docs/scenarios.md is not what the table says: go test ./e2e/scenarios -run TestDocumentation -update")
	}
}

func document() string {
	var b strings.Builder
	b.WriteString(`# Scenarios

What may go wrong in routing inside one organisation, the test that lives through it, and the guard without which that test fails. ` + "`make mutants`" + ` removes each
guard in turn and wants its test to fail. Tests named ` + "`e2e`" +
		` run real nodes and real Envoys. This page is written from ` + "`e2e/scenarios`" + `.

| no. | scenario | guard | seen by |
| --- | --- | --- | --- |
`)
	for _, s := range scenarios() {
		number, story := fmt.Sprint(s.number), fmt.Sprintf("**%s**: %s", s.name, s.story)
		for _, g := range s.guards {
			pkg, test, _ := strings.Cut(g.test, " ")
			fmt.Fprintf(&b, "| %s | %s | %s | `%s` %s |\n", number, story, g.what, pkg, test)
			number, story = "", ""
		}
	}
	return b.String()
}

// Each guard is where the table says: where the code has moved on, the table has to follow.
func TestGuardsStand(t *testing.T) {
	for _, s := range scenarios() {
		for n, g := range s.guards {
			for _, e := range g.edits {
				text, err := os.ReadFile(filepath.Join(root, e.file))
				if times := len(occurrences(string(text), e.old)); err != nil || times != 1 {
					t.Errorf("%d-%d: %s has the guard %q %d times, want once: %v\n%s", s.number, n+1, e.file, g.what, times, err,
						e.old)
				}
			}
		}
	}
}

// Each test of the table exists: a function, and a file for a scenario script.
func TestEachTestExists(t *testing.T) {
	declared := regexp.MustCompile(`(?m)^func ((?:Test|Fuzz)\w+)\(`)
	known := map[string]bool{}
	for _, s := range scenarios() {
		if len(s.guards) == 0 {
			t.Errorf("%d %s has no guard", s.number, s.name)
		}
		for _, g := range s.guards {
			pkg, test, _ := strings.Cut(g.test, " ")
			if !known[pkg] {
				files, err := filepath.Glob(filepath.Join(root, pkg, "*_test.go"))
				if err != nil {
					t.Fatal(err)
				}
				for _, f := range files {
					text, err := os.ReadFile(f)
					if err != nil {
						t.Fatal(err)
					}
					for _, m := range declared.FindAllSubmatch(text, -1) {
						known[pkg+" "+string(m[1])] = true
					}
				}
				known[pkg] = true
			}
			top, sub, _ := strings.Cut(test, "/")
			if !known[pkg+" "+top] {
				t.Errorf("%d %s: there is no %s in %s", s.number, s.name, top, pkg)
			}
			if top == "TestScenarios" {
				if _, err := os.Stat(filepath.Join(root, pkg, "testdata", sub+".txt")); err != nil {
					t.Errorf("%d %s: %v", s.number, s.name, err)
				}
			}
		}
	}
}
