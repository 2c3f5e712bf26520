package console

import (
	"os"
	"path/filepath"
	"testing"
)

// A node's socket is where its data directory is, also while the node does not run, and one that runs comes first.
func TestSocketOfANodeThatDoesNotRun(t *testing.T) {
	for name, c := range map[string]struct {
		make []string
		want string
	}{
		"nothing is there":               {nil, "data/catalyst.sock"},
		"the package's node is stopped":  {[]string{"packaged"}, "packaged/catalyst.sock"},
		"the package's node runs":        {[]string{"packaged/catalyst.sock"}, "packaged/catalyst.sock"},
		"both are stopped":               {[]string{"data", "packaged"}, "data/catalyst.sock"},
		"one here runs":                  {[]string{"data/catalyst.sock", "packaged/catalyst.sock"}, "data/catalyst.sock"},
		"one here is stopped, one there": {[]string{"data", "packaged/catalyst.sock"}, "packaged/catalyst.sock"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			for _, d := range c.make {
				if err := os.MkdirAll(filepath.Join(dir, d), 0o700); err != nil {
					t.Fatal(err)
				}
			}
			got := defaultSocket(filepath.Join(dir, "data"), filepath.Join(dir, "packaged"))
			if got != filepath.Join(dir, c.want) {
				t.Errorf("%s, want %s", got, c.want)
			}
		})
	}
}
