//go:build e2e

package hostile

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/catalyst-router/catalyst/graphql/supergraph"
)

// process is a gateway.
type process struct {
	t   *testing.T
	pid int
	url string // of the endpoint
}

// start runs the real command over a supergraph until the test ends.
func start(t *testing.T, subgraphs []supergraph.Subgraph, args ...string) *process {
	t.Helper()
	res := supergraph.Compose(subgraphs, supergraph.Options{})
	if res.Errors != nil {
		t.Fatal(res.Errors)
	}
	file := filepath.Join(t.TempDir(), "supergraph.graphql")
	must(t, os.WriteFile(file, []byte(res.SDL), 0o600))
	binary, err := filepath.Abs("../../../bin/catalyst")
	must(t, err)
	cmd := exec.CommandContext(context.Background(), binary,
		append([]string{"gateway", "--listen", "127.0.0.1:0", "--supergraph", file}, args...)...)
	stderr, err := cmd.StderrPipe()
	must(t, err)
	if err := cmd.Start(); err != nil {
		t.Fatalf("start %s (make build makes it): %v", binary, err)
	}
	logged := make(chan string, 1)
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM) // it may have ended, which Wait says
		all := <-logged
		if err := cmd.Wait(); err != nil {
			t.Errorf("the gateway ended with: %v\n%s", err, all)
		}
		if strings.Contains(all, "panic") {
			t.Errorf("the gateway panicked:\n%s", all)
		}
	})
	up := regexp.MustCompile(`gateway is up.*listen=(\S+)`)
	lines := bufio.NewReader(stderr)
	for {
		line, err := lines.ReadString('\n')
		if err != nil {
			logged <- ""
			t.Fatalf("the gateway ended before it was up: %s", line)
		}
		if m := up.FindStringSubmatch(line); m != nil {
			go func() {
				rest, _ := io.ReadAll(lines) // ends with the process
				logged <- string(rest)
			}()
			return &process{t, cmd.Process.Pid, "http://" + m[1] + "/graphql"}
		}
	}
}

// peak is the most memory that the process has had resident, in MiB.
func (p *process) peak() int {
	p.t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.pid))
	must(p.t, err)
	m := regexp.MustCompile(`VmHWM:\s+(\d+) kB`).FindSubmatch(status)
	if m == nil {
		p.t.Fatalf("no VmHWM in %s", status)
	}
	kib, err := strconv.Atoi(string(m[1]))
	must(p.t, err)
	return kib >> 10
}

// within prints the peak and wants it below a bound.
func (p *process) within(what string, mib int) {
	p.t.Helper()
	got := p.peak()
	p.t.Logf("%s: peak of %d MiB resident", what, got)
	if got > mib {
		p.t.Errorf("%s: peak of %d MiB resident, want at most %d", what, got, mib)
	}
}

// answer is what the gateway says.
type answer struct {
	status int
	header http.Header
	body   []byte
	Data   map[string]json.RawMessage
	Errors []struct {
		Message    string
		Path       []any
		Extensions struct {
			Code        string
			ServiceName string
		}
	}
}

// code of the first error; "" if there is none.
func (a *answer) code() string {
	if len(a.Errors) == 0 {
		return ""
	}
	return a.Errors[0].Extensions.Code
}

func (a *answer) String() string {
	return fmt.Sprintf("%d %s", a.status, a.body[:min(len(a.body), 400)])
}

// ask sends an operation with variables, a JSON object.
func (p *process) ask(operation, variables string) (*answer, error) {
	body, err := json.Marshal(map[string]any{"query": operation, "variables": json.RawMessage(variables)})
	if err != nil {
		return nil, err
	}
	return p.post(body)
}

// post sends a body.
func (p *process) post(body []byte) (*answer, error) {
	req, err := http.NewRequestWithContext(p.t.Context(), http.MethodPost, p.url, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	a := &answer{status: resp.StatusCode, header: resp.Header}
	if a.body, err = io.ReadAll(resp.Body); err != nil {
		return nil, err
	}
	if err := json.Unmarshal(a.body, a); err != nil {
		return nil, fmt.Errorf("%w in %s", err, a)
	}
	return a, nil
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
