package config

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestEveryDocumentCounts(t *testing.T) {
	for _, c := range []struct {
		name, text string
		want       []string
		wrong      string
	}{
		{"one", "a: 1\n", []string{`{"a":1}`}, ""},
		{"two", "a: 1\n---\nb: [x, 'y: z']\n", []string{`{"a":1}`, `{"b":["x","y: z"]}`}, ""},
		{"empty ones", "---\n---\na: 1\n---\n# nothing\n", []string{`{"a":1}`}, ""},
		{"an empty one in the middle", "a: 1\n---\n# nothing\n---\nb: 2\n", []string{`{"a":1}`, `{"b":2}`}, ""},
		{"dates and numbers", "a: 2026-11-30\nb: 1e3\nc: 12345678901234567890\n",
			[]string{`{"a":"2026-11-30","b":1000,"c":12345678901234567890}`}, ""},
		{"nothing", "\n", nil, ""},
		{"a block", "---\na: |\n  one\n  two\n---\nb: 2\n", []string{`{"a":"one\ntwo\n"}`, `{"b":2}`}, ""},
		{"an anchor", "a: &x {b: 1}\nc: *x\n", []string{`{"a":{"b":1},"c":{"b":1}}`}, ""},
		{"infinity", "a: 1\n---\nb: .inf\n", nil, "document 2: a key or value"},
		{"not YAML", "a: [1\n", nil, "did not find expected"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := Documents([]byte(c.text))
			if c.wrong != "" {
				if err == nil || !strings.Contains(err.Error(), c.wrong) {
					t.Fatalf("got %s, %v, want an error with %q", got, err, c.wrong)
				}
				return
			}
			got = slices.DeleteFunc(got, func(d json.RawMessage) bool { return d == nil })
			if err != nil || len(got) != len(c.want) {
				t.Fatalf("got %s, %v, want %s", got, err, c.want)
			}
			for i := range got {
				if strings.TrimSpace(string(got[i])) != c.want[i] {
					t.Errorf("document %d: got %s, want %s", i+1, got[i], c.want[i])
				}
			}
		})
	}
}

// A second document of a configuration would be dropped without a word.
func TestAConfigurationIsOneDocument(t *testing.T) {
	path := filepath.Join(t.TempDir(), "c.yaml")
	if err := os.WriteFile(path, []byte("data: d\n---\nadmin: ''\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := Load(path, func(string) (string, bool) { return "", false }, nil)
	if err == nil || !strings.Contains(err.Error(), "2 documents, empty ones counted: want one") {
		t.Errorf("got %v", err)
	}
}
