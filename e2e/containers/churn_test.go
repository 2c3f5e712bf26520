//go:build e2e

package containers

import (
	"bufio"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/catalyst-router/catalyst/e2e/lab"
)

// churnFor is how long containers come and go: make containers FOR=10m.
var churnFor = flag.Duration(
	"for",
	8*time.Second,
	"how long containers come and go",
) //nolint:gochecknoglobals // a flag

// late is how long after its end a container may still be sent a call.
const late = time.Second

// alive is the time in which a container ran at an address.
type alive struct{ from, to time.Time }

// churn is what became of containers, and of the calls to them.
type churn struct {
	mu            sync.Mutex
	lives         map[string][]alive // by IP:PORT; guarded by mu
	calls, failed int                // guarded by mu
}

// Containers of a service come and go once a second while it is called. No call is sent to one that has been gone for
// more than a second, nothing is announced twice, and nothing is left.
func TestContainersComeAndGo(t *testing.T) {
	e := engine(t)
	must(t, e.Image(t.Context(), "serve", program(t, "./e2e/examples/serve")))
	n := node(t, "--discover", "docker="+e.Socket)
	c := &churn{lives: map[string][]alive{}}
	var running []string
	start := func() {
		name := fmt.Sprintf("books-%d", len(c.all())+1)
		at := run(t, e, name, "-l", "catalyst.service=books", "-l", "catalyst.port=8080")
		c.began(at)
		running = append(running, name+" "+at)
	}
	stop := func() {
		name, at, _ := strings.Cut(running[0], " ")
		running = running[1:]
		_, err := e.CLI(t.Context(), "rm", "-f", name)
		must(t, err)
		c.ended(at)
	}
	start()
	start()
	calls(t, n, "books", 200)

	ctx, cancel := context.WithCancel(t.Context())
	var load sync.WaitGroup
	for range 4 {
		load.Go(func() { c.call(ctx, n) })
	}
	changed := 0
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for end := time.Now().Add(*churnFor); time.Now().Before(end); changed += 2 {
		<-tick.C
		start()
		stop()
	}
	cancel()
	load.Wait()
	for len(running) > 0 {
		stop()
		changed++
	}
	offered(t, n)
	c.check(t, n)
	if puts := changes(t, n); puts > changed+6 {
		t.Errorf("%d containers came or went, and the node changed what it offers %d times", changed, puts)
	}
	nothingLeft(t, n)
	t.Logf("%d changes, %d calls, %d failed", changed, c.calls, c.failed)
	if c.failed > c.calls/200 {
		t.Errorf("%d of %d calls failed", c.failed, c.calls)
	}
}

// call calls the service without a pause.
func (c *churn) call(ctx context.Context, n *lab.Node) {
	for ctx.Err() == nil {
		code, _, err := n.Get(ctx, "books.acme.example", "/books")
		if ctx.Err() != nil {
			return
		}
		c.mu.Lock()
		c.calls++
		if err != nil || code != 200 {
			c.failed++
		}
		c.mu.Unlock()
	}
}

func (c *churn) all() []alive {
	c.mu.Lock()
	defer c.mu.Unlock()
	var all []alive
	for _, l := range c.lives {
		all = append(all, l...)
	}
	return all
}

func (c *churn) began(at string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.lives[at] = append(c.lives[at], alive{from: time.Now().Add(-10 * time.Second)}) // it ran before docker said so
}

func (c *churn) ended(at string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	all := c.lives[at]
	all[len(all)-1].to = time.Now()
}

// check looks in Envoy's access log for calls that were sent where no container was.
func (c *churn) check(t *testing.T, n *lab.Node) {
	t.Helper()
	f, err := os.Open(filepath.Join(n.Dir, "access.log"))
	must(t, err)
	defer func() { _ = f.Close() }()
	seen := 0
	for lines := bufio.NewScanner(f); lines.Scan(); {
		var x struct{ Time, Upstream string }
		if json.Unmarshal(lines.Bytes(), &x) != nil || c.lives[x.Upstream] == nil {
			continue
		}
		seen++
		at, err := time.Parse(time.RFC3339Nano, x.Time)
		must(t, err)
		ok := false
		for _, l := range c.lives[x.Upstream] {
			ok = ok || at.After(l.from) && at.Before(l.to.Add(late))
		}
		if !ok {
			t.Errorf("a call of %s was sent to %s, where no container had run for more than %s", x.Time, x.Upstream, late)
		}
	}
	if seen < c.calls/2 {
		t.Errorf("the access log has %d of %d calls", seen, c.calls)
	}
}

// nothingLeft looks for what a service that is gone may have left.
func nothingLeft(t *testing.T, n *lab.Node) {
	t.Helper()
	var routes []struct{ Service string }
	must(t, n.JSON(t.Context(), &routes, "route", "list"))
	if len(routes) > 0 {
		t.Errorf("routes are left: %+v", routes)
	}
	status(t, n, func(s source) error {
		if s.Services != 0 || len(s.Problems)+len(s.Conflicts) != 0 || s.Away != "" {
			return fmt.Errorf("something is left")
		}
		return nil
	})
}
