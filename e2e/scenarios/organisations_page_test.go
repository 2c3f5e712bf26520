package scenarios

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// Every test that docs/between-organisations.md names exists, where it says.
func TestThePageOfOrganisationsNamesTests(t *testing.T) {
	root := filepath.Join("..", "..")
	page, err := os.ReadFile(filepath.Join(root, "docs", "between-organisations.md"))
	if err != nil {
		t.Fatal(err)
	}
	named := regexp.MustCompile("`([a-z0-9/]+) ((?:Test|Fuzz)[A-Za-z0-9]+)(?:/([a-z0-9-]+))?`").FindAllStringSubmatch(
		string(page), -1)
	if len(named) < 40 {
		t.Fatalf("the page names %d tests", len(named))
	}
	for _, m := range named {
		files, err := filepath.Glob(filepath.Join(root, m[1], "*_test.go"))
		if err != nil || len(files) == 0 {
			t.Errorf("%s: there is no such package, %v", m[0], err)
			continue
		}
		found := false
		for _, file := range files {
			text, err := os.ReadFile(file)
			found = found || err == nil && strings.Contains(string(text), "func "+m[2]+"(")
		}
		if !found {
			t.Errorf("%s: there is no such test", m[0])
		}
		if m[3] != "" {
			if _, err := os.Stat(filepath.Join(root, m[1], "testdata", m[3]+".txt")); err != nil {
				t.Errorf("%s: %v", m[0], err)
			}
		}
	}
}
