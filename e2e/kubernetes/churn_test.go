//go:build kubernetes

package kubernetes

import (
	"bufio"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/catalyst-router/catalyst/e2e/lab"
)

// churnFor is how long endpoints come and go: make kubernetes FOR=10m.
var churnFor = flag.Duration("for", 8*time.Second, "how long endpoints come and go")

// late is how long after its EndpointSlice said that it ends a Pod may still be sent a call.
const late = time.Second

// pod is a workload that runs for a while.
type pod struct {
	n        int
	srv      *http.Server
	done     chan struct{}
	from, to time.Time
}

// churn is what became of Pods, and of the calls to them.
type churn struct {
	mu            sync.Mutex
	lives         map[string][]*pod // by IP:PORT; guarded by mu
	calls, failed int               // guarded by mu
}

// run starts a Pod at an address of its own, of 200.
func (c *churn) run(t *testing.T, n int) *pod {
	t.Helper()
	p := &pod{n: n%200 + 1, done: make(chan struct{}), from: time.Now()}
	at := fmt.Sprintf(pods+":8080", p.n)
	l, err := net.Listen("tcp", at)
	must(t, err)
	p.srv = &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, "pod")
	})}
	go func() { defer close(p.done); _ = p.srv.Serve(l) }()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.lives[at] = append(c.lives[at], p)
	return p
}

// end ends a Pod as Kubernetes does, a second after its EndpointSlice has said so.
func (c *churn) end(p *pod) {
	_ = p.srv.Shutdown(context.Background())
	<-p.done
}

// call calls the service without a pause.
func (c *churn) call(ctx context.Context, n *lab.Node) {
	for ctx.Err() == nil {
		code, _, err := n.Get(ctx, "books.acme.example", "/")
		if ctx.Err() != nil {
			return
		}
		c.mu.Lock()
		if c.calls++; err != nil || code != 200 {
			c.failed++
		}
		c.mu.Unlock()
	}
}

// Endpoints come and go once a second while their service is called, and a second service comes and goes as a whole. No
// call is sent to a Pod that was told to end more than a second ago, nothing is announced twice, and nothing is left.
func TestEndpointsComeAndGo(t *testing.T) {
	c := cluster(t)
	ctx := t.Context()
	s := &churn{lives: map[string][]*pod{}}
	must(t, c.Apply(ctx, service("books", "catalyst.service: books")+service("films", "catalyst.service: films")))
	n, err := site(t).Add(ctx, "a", "--discover", "kubernetes", "--kubernetes-kubeconfig", install(t, c))
	must(t, err)
	running := []*pod{s.run(t, 0), s.run(t, 1)}
	apply := func(films bool) {
		t.Helper()
		var of []int
		for _, p := range running {
			of = append(of, p.n)
		}
		text := endpoints("books", of...)
		if films {
			text += endpoints("films", of[0])
		} else {
			text += endpoints("films", -of[0])
		}
		must(t, c.Apply(ctx, text))
	}
	apply(true)
	calls(t, n.Egress, "books.acme.example", "200 OK pod")
	calls(t, n.Egress, "films.acme.example", "200 OK pod")

	loadCtx, cancel := context.WithCancel(ctx)
	var load sync.WaitGroup
	for range 4 {
		load.Go(func() { s.call(loadCtx, n) })
	}
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	changed, next := 0, 2
	var ending *pod
	for end := time.Now().Add(*churnFor); time.Now().Before(end); changed++ {
		<-tick.C
		if ending != nil {
			s.end(ending)
		}
		ending = running[0]
		running = append(running[1:], s.run(t, next))
		next++
		apply(changed%2 == 1)
		s.mu.Lock()
		ending.to = time.Now()
		s.mu.Unlock()
	}
	cancel()
	load.Wait()
	_, err = c.CLI(ctx, "delete", "service", "books", "films")
	must(t, err)
	offered(t, n)
	s.check(t, n)
	// Each second books changes, and films comes or goes: what is announced is that, and nothing twice.
	if got, most := changes(t, n), 2*changed+6; got > most {
		t.Errorf("there were %d changes, and the node changed what it offers %d times", most, got)
	}
	status(t, n, "kubernetes", func(st source) error {
		if st.Services != 0 || len(st.Problems)+len(st.Conflicts) != 0 || st.Away != "" {
			return fmt.Errorf("something is left")
		}
		return nil
	})
	for _, p := range append(running, ending) {
		s.end(p)
	}
	t.Logf("%d changes, %d calls, %d failed", changed, s.calls, s.failed)
	if s.failed > s.calls/1000 {
		t.Errorf("%d of %d calls failed", s.failed, s.calls)
	}
}

// check looks in Envoy's access log for calls that were sent where no Pod was, or where it was told to end.
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
		for _, p := range c.lives[x.Upstream] {
			ok = ok || at.After(p.from.Add(-time.Second)) && (p.to.IsZero() || at.Before(p.to.Add(late)))
		}
		if !ok {
			t.Errorf("a call of %s was sent to %s, which was told to end more than %s before", x.Time, x.Upstream, late)
		}
	}
	if seen < c.calls/2 {
		t.Errorf("the access log has %d of %d calls", seen, c.calls)
	}
}
