//go:build e2e

package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// The units of the package give away little: systemd judges each to be exposed by 2 at the most, of 10.
func TestUnitsAreHardened(t *testing.T) {
	const most = 2.0
	units, err := filepath.Glob("../compose/packages/files/*.service")
	must(t, err)
	if len(units) < 2 {
		t.Fatalf("units %v", units)
	}
	for _, unit := range units {
		// A unit's program has to be there for systemd to judge it; what it may do is the same with any.
		text, err := os.ReadFile(unit)
		must(t, err)
		copied := filepath.Join(t.TempDir(), filepath.Base(unit))
		must(t, os.WriteFile(copied, []byte(strings.Replace(string(text), "/usr/bin/catalyst", "/bin/true", 1)), 0o600))
		judge := tool(t, "systemd-analyze", "systemd") //nolint:misspell // its name
		out, err := exec.CommandContext(t.Context(), judge, "security", "--no-pager", "--offline=true", copied).
			CombinedOutput()
		if err != nil {
			t.Fatalf("%s: %v: %s", unit, err, out)
		}
		m := regexp.MustCompile(`Overall exposure level for \S+: ([0-9.]+)`).FindStringSubmatch(string(out))
		if m == nil {
			t.Fatalf("%s: %s", unit, out)
		}
		if level, err := strconv.ParseFloat(m[1], 64); err != nil || level > most {
			t.Errorf("%s: exposure %s, want %.1f at the most:\n%s", unit, m[1], most, out)
		}
	}
}
