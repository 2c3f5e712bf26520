//go:build e2e

package e2e

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/catalyst-router/catalyst/e2e/lab"
)

// only waits until all of a service's answers at a node come from one instance.
func only(t *testing.T, n *lab.Node, service, instance string) {
	t.Helper()
	must(t, lab.Eventually(t.Context(), service+" at "+n.Name+" from "+instance+" alone", func(ctx context.Context) error {
		// Three at a time: one at a time could keep step with another caller, and always get the same of two that take turns.
		const calls = 3
		answers := make(chan error, calls)
		for range 10 {
			for range calls {
				go func() {
					status, body, err := n.Get(ctx, service+".acme.example", "/books")
					if err == nil && (status != 200 || !strings.Contains(body, instance)) {
						err = fmt.Errorf("%d %s", status, body)
					}
					answers <- err
				}()
			}
			var err error
			for range calls {
				err = errors.Join(err, <-answers)
			}
			if err != nil {
				return err
			}
		}
		return nil
	}))
}

// both waits until two instances share a service's answers at a node.
func both(t *testing.T, n *lab.Node, service string, instances ...string) {
	t.Helper()
	must(t, lab.Eventually(t.Context(), service+" at "+n.Name+" from all", func(ctx context.Context) error {
		seen := ""
		for range 40 {
			_, body, err := n.Get(ctx, service+".acme.example", "/books")
			if err != nil {
				return err
			}
			seen += body
		}
		for _, i := range instances {
			if !strings.Contains(seen, i) {
				return fmt.Errorf("%s gives no answer", i)
			}
		}
		return nil
	}))
}

// Maintenance: a node is drained under load, all of its traffic moves, and then it stops for good. Not one request
// fails. Undrained after it has come back, it has its share again.
func TestDrainLosesNothing(t *testing.T) {
	t.Parallel()
	_, n := world(t, "a b c d", "a-b d-b c-b")
	offer(t, n("a"), "books", "one")
	offer(t, n("d"), "books", "two")
	both(t, n("c"), "books", "one", "two")
	stop := load(t, n("c"), "books")
	_, err := n("a").CLI(t.Context(), "drain")
	must(t, err)
	only(t, n("c"), "books", "two")
	must(t, n("a").Stop(syscall.SIGINT))
	only(t, n("c"), "books", "two")
	if total, failed, why := stop(); failed > 0 || total == 0 {
		t.Errorf("%d of %d requests failed: %s", failed, total, why)
	}
	must(t, n("a").Start(t.Context()))
	_, err = n("a").CLI(t.Context(), "drain", "--off")
	must(t, err)
	both(t, n("c"), "books", "one", "two")
}

// catalyst drain --wait says what is under way, by hop, and returns when that is nothing: a call that takes long is
// waited for, and ends well; who does not wait that long is told, and the node goes on draining.
func TestDrainWaitsForALongCall(t *testing.T) {
	t.Parallel()
	_, n := world(t, "a b c", "a-b c-b")
	begun, finish := make(chan struct{}), make(chan struct{})
	var once sync.Once
	offerHandler(t, n("a"), "books", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/long" {
			once.Do(func() { close(begun) })
			<-finish
		}
		_, _ = io.WriteString(w, "one")
	}))
	end := sync.OnceFunc(func() { close(finish) })
	t.Cleanup(end)
	offerHandler(t, n("c"), "books", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "two")
	}))
	both(t, n("b"), "books", "one", "two")

	// Long calls of b, until one has reached a: c answers its share of them at once.
	answer := make(chan error, 1)
	go func() {
		for {
			got, err := longCall(t.Context(), n("b"))
			if err != nil || strings.Contains(got, "one") {
				answer <- err
				return
			}
		}
	}()
	select {
	case <-begun:
	case err := <-answer:
		t.Fatal("no call is under way: ", err)
	}

	out, err := n("a").CLI(t.Context(), "drain", "--wait=3s")
	for _, want := range []string{"under way: 1 of other nodes, 0 of applications here; to 127.0.0.1:",
		"1 requests of other nodes are under way after 3s"} {
		if err == nil || !strings.Contains(out+err.Error(), want) {
			t.Errorf("drain --wait says %q and %v, want %q", out, err, want)
		}
	}
	only(t, n("b"), "books", "two") // it goes on draining

	cmd := exec.CommandContext(t.Context(), binary(t), "--socket", filepath.Join(n("a").Dir, "data", "catalyst.sock"),
		"drain", "--wait=1m")
	stdout, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	lines := bufio.NewScanner(stdout)
	var said []string
	for lines.Scan() {
		if said = append(said, lines.Text()); len(said) == 1 {
			end()
			must(t, <-answer)
		}
	}
	must(t, cmd.Wait())
	if len(said) < 3 || !strings.HasPrefix(said[0], "under way: 1 of other nodes") ||
		!strings.HasPrefix(said[len(said)-2], "under way: 0 of other nodes") ||
		!strings.HasPrefix(said[len(said)-1], "Traffic has moved") {
		t.Errorf("drain --wait says\n%s", strings.Join(said, "\n"))
	}
}

// longCall asks books for what takes as long as the test likes.
func longCall(ctx context.Context, n *lab.Node) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+n.Egress+"/long", nil)
	if err != nil {
		return "", err
	}
	req.Host = "books.acme.example"
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", err
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%d %s", resp.StatusCode, body)
	}
	return string(body), err
}
