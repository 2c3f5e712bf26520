package structure

import (
	"os"
	"os/exec"
	"strings"
	"testing"
)

// The notice that catalyst version --licenses prints names every module that is linked in, as it is in go.mod now,
// and none of them is under a licence that asks for the source of the whole.
func TestNoticeOfLicences(t *testing.T) {
	b, err := os.ReadFile("../../cmd/internal/cli/licenses.txt")
	if err != nil {
		t.Fatal(err)
	}
	notice := string(b)
	cmd := exec.CommandContext(t.Context(), "go", "list", "-deps", "-f",
		"{{with .Module}}{{if not .Main}}{{.Path}} {{.Version}}{{end}}{{end}}", "./cmd/catalyst")
	cmd.Dir = "../.."
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH=amd64")
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	modules := map[string]bool{}
	for line := range strings.Lines(string(out)) {
		if line = strings.TrimSpace(line); line != "" {
			modules[line] = true
		}
	}
	if len(modules) < 10 {
		t.Fatalf("only %d modules", len(modules))
	}
	for m := range modules {
		if !strings.Contains(notice, "\n"+m+"\n") {
			t.Errorf("%s is not in the notice: run make generate", m)
		}
	}
	for _, title := range []string{"\nGNU GENERAL PUBLIC LICENSE", "GNU AFFERO GENERAL PUBLIC LICENSE",
		"Server Side Public License", "Business Source License"} {
		if strings.Contains(strings.ReplaceAll(notice, "  ", ""), title) {
			t.Errorf("a module is under the %s", strings.TrimSpace(title))
		}
	}
}
