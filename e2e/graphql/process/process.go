// Package process holds the processes that the tests of the gateway stand on: the oracles of npm packages, and the
// real command. They end with the test.
package process

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"syscall"
	"testing"
	"time"
)

// Install fetches the npm packages of the test's folder, as its lock file says, unless they are there.
func Install(t *testing.T) {
	t.Helper()
	if _, err := os.Stat("node_modules/.package-lock.json"); err == nil {
		return
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	if out, err := exec.CommandContext(ctx, "npm", "ci", "--no-audit", "--no-fund").CombinedOutput(); err != nil {
		t.Fatalf("npm ci: %v\n%s", err, out)
	}
}

// Oracle is a running oracle.js of the test's folder: it answers a line of JSON with a line of JSON.
type Oracle struct {
	in  *json.Encoder
	out *bufio.Scanner
}

// StartOracle installs and starts it. It is killed after limit, and without one it ends with the pipe, after the test.
func StartOracle(t *testing.T, limit time.Duration) *Oracle {
	t.Helper()
	Install(t)
	ctx, cancel := context.WithCancel(context.Background())
	if limit > 0 {
		ctx, cancel = context.WithTimeout(context.Background(), limit)
	}
	cmd := exec.CommandContext(ctx, "node", "oracle.js")
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatalf("start oracle: %v", err)
	}
	t.Cleanup(func() {
		_ = in.Close()
		if err := cmd.Wait(); err != nil {
			t.Errorf("oracle: %v", err)
		}
		cancel()
	})
	scan := bufio.NewScanner(out)
	scan.Buffer(nil, 64<<20)
	return &Oracle{in: json.NewEncoder(in), out: scan}
}

// Ask puts a question and reads the answer.
func (o *Oracle) Ask(t *testing.T, question, answer any) {
	t.Helper()
	if err := o.in.Encode(question); err != nil {
		t.Fatalf("ask the oracle: %v", err)
	}
	if !o.out.Scan() {
		t.Fatalf("the oracle gave no answer: %v", o.out.Err())
	}
	if err := json.Unmarshal(o.out.Bytes(), answer); err != nil {
		t.Fatalf("read the oracle's answer: %v: %s", err, o.out.Text())
	}
}

// Gateway starts catalyst gateway on a free port and returns its http://HOST:PORT when it listens. What it logs from
// then on goes to log.
func Gateway(t *testing.T, log io.Writer, args ...string) string {
	t.Helper()
	binary, err := filepath.Abs("../../../bin/catalyst")
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(context.Background(), binary,
		append([]string{"gateway", "--listen", "127.0.0.1:0"}, args...)...)
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatalf("start %s (make build makes it): %v", binary, err)
	}
	t.Cleanup(func() {
		if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
			t.Error(err)
		}
		if err := cmd.Wait(); err != nil {
			t.Errorf("the gateway ended with: %v", err)
		}
	})
	up := regexp.MustCompile(`gateway is up.*listen=(\S+:\d+)`)
	lines := bufio.NewScanner(stderr)
	for lines.Scan() {
		if m := up.FindStringSubmatch(lines.Text()); m != nil {
			go func() { _, _ = io.Copy(log, stderr) }() // ends with the process
			return "http://" + m[1]
		}
		t.Log(lines.Text())
	}
	t.Fatal("the gateway ended before it was up")
	return ""
}
