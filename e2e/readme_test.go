//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/catalyst-router/catalyst/envoy"
)

// readmeLines are the indented lines of a section of README.md.
func readmeLines(t *testing.T, section string) []string {
	t.Helper()
	text, err := os.ReadFile("../README.md")
	must(t, err)
	_, rest, ok := strings.Cut(string(text), "\n## "+section+"\n")
	if !ok {
		t.Fatalf("README.md has no section %q", section)
	}
	rest, _, _ = strings.Cut(rest, "\n## ")
	var lines []string
	for line := range strings.Lines(rest) {
		if code, ok := strings.CutPrefix(line, "    "); ok {
			lines = append(lines, strings.TrimSpace(code))
		}
	}
	return lines
}

// The five minutes of the README are typed as they stand there, by a shell with a network and processes of its own:
// the call between two sites arrives with the eighth line at the latest, and at the end nothing runs any more. It
// is for root, as others here that want namespaces.
func TestFiveMinutesByHand(t *testing.T) {
	t.Parallel()
	lines := readmeLines(t, "Five minutes by hand")
	first := 0
	for i, line := range lines {
		if first == 0 && strings.HasPrefix(line, "curl ") {
			first = i + 1
		}
	}
	if first == 0 || first > 8 {
		t.Errorf("the first call is line %d, want at most 8 to it", first)
	}
	binary, err := envoy.Find("")
	must(t, err)
	script := strings.ReplaceAll(strings.Join(lines, "\n"), "$OLDPWD/.tools/envoy/bin/envoy", binary)
	script = "set -m; " + tool(t, "ip", "iproute2") + " link set lo up\n" + script +
		"\nwait; echo left: $(pgrep -c 'catalyst|envoy|python3')\n"
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	root, err := filepath.Abs("..")
	must(t, err)
	cmd := exec.CommandContext(ctx, "bash", "-c", "mount -t proc proc /proc && exec bash --norc -s")
	cmd.Dir, cmd.Stdin = root, strings.NewReader(script)
	cmd.Env = append(os.Environ(), "TMPDIR="+t.TempDir())
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWNET | syscall.CLONE_NEWPID | syscall.CLONE_NEWNS, Unshareflags: syscall.CLONE_NEWNS,
	}
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil {
		t.Errorf("%v", err)
	}
	for _, want := range []string{"\nhello\n", "the only path", "Everything on the way holds", "\nleft: 0\n"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is not in it", want)
		}
	}
	if t.Failed() {
		t.Log(out.String())
	}
}
