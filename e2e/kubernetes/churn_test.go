//go:build kubernetes

package kubernetes

import (
	"context"
	"flag"
	"fmt"
	"net"
	"net/http"
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
	n    int
	at   string
	srv  *http.Server
	done chan struct{}
}

// run starts a Pod at an address of its own, of 200. Its EndpointSlice may say so a second before it is noted.
func run(t *testing.T, c *lab.Churn, n int) *pod {
	t.Helper()
	p := &pod{n: n%200 + 1, done: make(chan struct{})}
	p.at = fmt.Sprintf(pods+":8080", p.n)
	from := time.Now()
	l, err := net.Listen("tcp", p.at)
	must(t, err)
	p.srv = &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, "pod")
	})}
	go func() { defer close(p.done); _ = p.srv.Serve(l) }()
	c.Began(p.at, from.Add(-time.Second))
	return p
}

// end ends a Pod as Kubernetes does, a second after its EndpointSlice has said so.
func (p *pod) end() {
	_ = p.srv.Shutdown(context.Background())
	<-p.done
}

// Endpoints come and go once a second while their service is called, and a second service comes and goes as a whole. No
// call is sent to a Pod that was told to end more than a second ago, nothing is announced twice, and nothing is left.
func TestEndpointsComeAndGo(t *testing.T) {
	c := cluster(t)
	ctx := t.Context()
	s := &lab.Churn{}
	must(t, c.Apply(ctx, service("books", "catalyst.service: books")+service("films", "catalyst.service: films")))
	n, err := site(t).Add(ctx, "a", "--discover", "kubernetes", "--kubernetes-kubeconfig", install(t, c))
	must(t, err)
	running := []*pod{run(t, s, 0), run(t, s, 1)}
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
		load.Go(func() { s.Call(loadCtx, n, "books.acme.example", "/") })
	}
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	changed, next := 0, 2
	var ending *pod
	for end := time.Now().Add(*churnFor); time.Now().Before(end); changed++ {
		<-tick.C
		if ending != nil {
			ending.end()
		}
		ending = running[0]
		running = append(running[1:], run(t, s, next))
		next++
		apply(changed%2 == 1)
		s.Ended(ending.at)
	}
	cancel()
	load.Wait()
	_, err = c.CLI(ctx, "delete", "service", "books", "films")
	must(t, err)
	offered(t, n)
	astray, err := s.Astray(n, late)
	must(t, err)
	for _, call := range astray {
		t.Error(call)
	}
	// Each second books changes, and films comes or goes: what is announced is that, and nothing twice.
	if got, most := changes(t, n), 2*changed+6; got > most {
		t.Errorf("there were %d changes, and the node changed what it offers %d times", most, got)
	}
	status(t, n, "kubernetes", lab.Source.Empty)
	for _, p := range append(running, ending) {
		p.end()
	}
	made, failed := s.Calls()
	t.Logf("%d changes, %d calls, %d failed", changed, made, failed)
	if failed > made/1000 {
		t.Errorf("%d of %d calls failed", failed, made)
	}
}
