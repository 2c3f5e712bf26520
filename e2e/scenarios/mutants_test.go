//go:build mutants

package scenarios

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// Each test of the table passes as the code is, and fails once its guard is removed. The guard is removed in a copy
// of the file that the compiler is given in the file's place.
func TestMutants(t *testing.T) {
	for _, s := range scenarios() {
		for n, g := range s.guards {
			t.Run(fmt.Sprintf("%d-%d", s.number, n+1), func(t *testing.T) {
				t.Parallel()
				pkg, test, _ := strings.Cut(g.test, " ")
				out, err := run(t, g.overlay(t), pkg, test)
				switch {
				case err == nil:
					t.Errorf("%s %s passes without its guard: %s\n%s", pkg, test, g.what, out)
				case !strings.Contains(out, "--- FAIL: "+strings.Split(test, "/")[0]) && !strings.Contains(out, "test timed out"):
					t.Errorf("%s %s does not run without its guard (%s): %v\n%s", pkg, test, g.what, err, out)
				default:
					t.Logf("without %q: %s", g.what, firstComplaint(out))
				}
			})
		}
	}
}

// The tests pass with all guards in place: otherwise their failures say nothing.
func TestUnharmed(t *testing.T) {
	done := map[string]bool{}
	for _, s := range scenarios() {
		for _, g := range s.guards {
			if done[g.test] {
				continue
			}
			done[g.test] = true
			t.Run(strings.ReplaceAll(g.test, " ", "."), func(t *testing.T) {
				pkg, test, _ := strings.Cut(g.test, " ")
				out, err := run(t, "", pkg, test)
				if err != nil || strings.Contains(out, "no tests to run") {
					t.Errorf("%v\n%s", err, out)
				}
			})
		}
	}
}

// overlay writes the files without the guard, and what tells the compiler to take them.
func (g *guard) overlay(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	replace := map[string]string{}
	for n, e := range g.edits {
		path, err := filepath.Abs(filepath.Join(root, e.file))
		if err != nil {
			t.Fatal(err)
		}
		from := path
		if earlier, ok := replace[path]; ok {
			from = earlier
		}
		text, err := os.ReadFile(from)
		if err != nil {
			t.Fatal(err)
		}
		at := occurrences(string(text), e.old)
		if len(at) != 1 {
			t.Fatalf("%s: the guard %q occurs %d times: has it moved? The table of scenarios has to follow it:\n%s", e.file,
				g.what, len(at), e.old)
		}
		patched := filepath.Join(dir, fmt.Sprintf("%d.go", n))
		if err := os.WriteFile(patched, slices.Concat(text[:at[0][0]], []byte(e.new), text[at[0][1]:]), 0o600); err != nil {
			t.Fatal(err)
		}
		replace[path] = patched
	}
	b, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// run runs one test as it has to be run: one of e2e has real processes, which are built without the guard.
func run(t *testing.T, overlay, pkg, test string) (string, error) {
	t.Helper()
	if pkg == "e2e" {
		return processTest(t, overlay, pkg, test)
	}
	return goTest(t, overlay, nil, pkg, test)
}

// goTest runs one test and returns what it said.
func goTest(t *testing.T, overlay string, env []string, pkg, test string, flags ...string) (string, error) {
	t.Helper()
	args := append([]string{"test", "-count=1", "-vet=off", "-timeout=120s", "-run", pattern(test)}, flags...)
	if overlay != "" {
		args = append(args, "-overlay", overlay)
	}
	return command(t, env, append(args, "./"+pkg)...)
}

// processTest builds catalyst and runs one end-to-end test with it.
func processTest(t *testing.T, overlay, pkg, test string) (string, error) {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "catalyst")
	args := []string{"build", "-o", binary}
	if overlay != "" {
		args = append(args, "-overlay", overlay)
	}
	if out, err := command(t, nil, append(args, "./cmd/catalyst")...); err != nil {
		return out, err
	}
	return goTest(t, "", []string{"CATALYST_BINARY=" + binary}, pkg, test, "-tags=e2e")
}

func command(t *testing.T, env []string, args ...string) (string, error) {
	t.Helper()
	cmd := exec.CommandContext(context.WithoutCancel(t.Context()), "go", args...)
	cmd.Dir, cmd.Env = root, append(os.Environ(), env...)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// pattern selects a test and its part by whole names.
func pattern(test string) string {
	parts := strings.Split(test, "/")
	for i := range parts {
		parts[i] = "^" + regexp.QuoteMeta(parts[i]) + "$"
	}
	return strings.Join(parts, "/")
}

// firstComplaint is the first line in which a test says what is wrong.
func firstComplaint(out string) string {
	for _, line := range strings.Split(out, "\n") {
		if strings.Contains(line, ".go:") || strings.Contains(line, "panic:") {
			return strings.TrimSpace(line)
		}
	}
	return strings.TrimSpace(out)
}
