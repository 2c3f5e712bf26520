package gateway

import (
	"maps"
	"os"
	"path/filepath"
	"testing"
)

// TestMemory: what is saved is there again, and a file that is damaged is told of.
func TestMemory(t *testing.T) {
	m := memory(filepath.Join(t.TempDir(), "graph.json"))
	if got, err := m.Load(); err != nil || len(got) != 0 {
		t.Fatalf("of nothing: %v, %v", got, err)
	}
	want := map[string]string{"books": "type Query { books: Int }", "movies": ""}
	for range 2 {
		if err := m.Save(want); err != nil {
			t.Fatal(err)
		}
		if got, err := m.Load(); err != nil || !maps.Equal(got, want) {
			t.Fatalf("got %v, %v", got, err)
		}
	}
	if left, _ := filepath.Glob(filepath.Join(filepath.Dir(string(m)), ".graph-*")); left != nil {
		t.Errorf("left behind: %v", left)
	}
	if err := os.WriteFile(string(m), []byte(`{"books": "type`), 0o600); err != nil {
		t.Fatal(err)
	}
	if got, err := m.Load(); err == nil {
		t.Errorf("of a damaged file: %v", got)
	}
	if err := memory(filepath.Join(t.TempDir(), "none", "graph.json")).Save(want); err == nil {
		t.Error("saved where there is no directory")
	}
}
