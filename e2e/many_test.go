//go:build e2e

package e2e

import (
	"context"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/catalyst-router/catalyst/auth/identity"
	"github.com/catalyst-router/catalyst/bgp"
	"github.com/catalyst-router/catalyst/bgp/peering"
	"github.com/catalyst-router/catalyst/bgp/speaker"
	"github.com/catalyst-router/catalyst/e2e/lab"
)

// many is how many services a neighbour announces. Their names are as long as it takes for an Envoy to need more than
// gRPC's 4 MiB to say what it has.
var many = flag.Int("many", 20_000, "services of one neighbour (nightly: 200000)")

const (
	sayWhatItHas  = 5 << 20 // bytes of an Envoy's first request, at least
	servingWithin = 30 * time.Second
	sample        = 100 // services that are called after each crash
	firstTime     = "at first"
)

// crowd is a neighbour in this process with many services and a mesh ingress that answers for all of them.
type crowd struct {
	router *peering.Router
	pad    string
	at     bgp.NodeID
}

func (c *crowd) name(i int) string { return fmt.Sprintf("s%06d%s.acme.example", i, c.pad) }

// newCrowd issues a router, serves its ingress and has it dial a node.
func newCrowd(t *testing.T, l *lab.Lab, at *lab.Node, n int) *crowd {
	t.Helper()
	dir := filepath.Join(l.Dir, "crowd")
	_, err := l.Run(t.Context(), "org", "issue-node", "crowd", "--dir", filepath.Join(l.Dir, "org"), "--out", dir)
	must(t, err)
	src, err := identity.Open(dir)
	must(t, err)
	_, err = at.CLI(t.Context(), "peer", "add", "crowd", "--max-routes", "1000000")
	must(t, err)
	c := &crowd{at: bgp.NodeID{Org: "acme.example", Name: at.Name}}
	if short := sayWhatItHas/n - 45; short > 0 { // what a name of no padding and its version take in that request
		c.pad = strings.Repeat("."+strings.Repeat("x", 58), min(short/59+1, 3))
	}
	ingress := c.ingress(t, src)
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	c.router = peering.New(peering.Config{
		Speaker: speaker.Config{
			Self:            src.Material().Node,
			BootID:          1,
			Ingress:         ingress,
			GracefulRestart: time.Minute,
			DialMin:         50 * time.Millisecond,
			DialMax:         time.Second,
		},
		Identity: src, Log: slog.New(slog.DiscardHandler),
	})
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- c.router.Run(ctx, lis) }()
	t.Cleanup(func() { cancel(); must(t, <-ended) })
	for i := range n {
		c.announce(t, i)
	}
	must(t, c.router.Do(t.Context(), speaker.PeerSet{Peer: speaker.Peer{Node: c.at, Addresses: []string{at.Peering}}}))
	return c
}

func (c *crowd) announce(t *testing.T, i int) {
	t.Helper()
	must(t, c.router.Do(t.Context(), speaker.LocalSet{
		Service:    bgp.Service(c.name(i)),
		Attributes: bgp.Attributes{Protocol: bgp.HTTP},
	}))
}

func (c *crowd) withdraw(t *testing.T, i int) {
	t.Helper()
	must(t, c.router.Do(t.Context(), speaker.LocalRemoved{Service: bgp.Service(c.name(i))}))
}

// ingress answers every service with its name.
func (c *crowd) ingress(t *testing.T, src *identity.Source) string {
	t.Helper()
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	tls := src.ServerTLS()
	tls.NextProtos = []string{"h2"}
	srv := &http.Server{
		TLSConfig: tls,
		Handler:   http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, r.Host) }),
	}
	done := make(chan struct{})
	go func() { defer close(done); _ = srv.ServeTLS(lis, "", "") }()
	t.Cleanup(func() { _ = srv.Close(); <-done })
	return lis.Addr().String()
}

// exactly waits until a node's egress answers for services 0 to n-1, as far as a sample tells, for no other, and
// until its Envoy has taken as many scopes as it was sent, and no more than there are.
func (c *crowd) exactly(t *testing.T, at *lab.Node, when string, n int) {
	t.Helper()
	began := time.Now()
	asks := []int{0, n - 1}
	for range sample {
		asks = append(asks, rand.IntN(n))
	}
	must(t, patiently(t.Context(), when+": all are served", func(ctx context.Context) error {
		g, ctx := errgroup.WithContext(ctx)
		g.SetLimit(8)
		for _, i := range asks {
			g.Go(func() error { return ask(ctx, at, c.name(i), http.StatusOK) })
		}
		g.Go(func() error { return ask(ctx, at, c.name(n), http.StatusNotFound) })
		return g.Wait()
	}))
	if took := time.Since(began); took > servingWithin && when != firstTime {
		t.Errorf("%s: serving after %s, want %s", when, took, servingWithin)
	} else {
		t.Logf("%s: serving after %s", when, took.Round(time.Millisecond))
	}
	must(t, patiently(t.Context(), when+": Envoy has taken exactly what there is", func(ctx context.Context) error {
		var envoys []struct {
			CutOff string
			Types  []struct {
				Type               string
				Sent, Acknowledged int
			}
		}
		if err := at.JSON(ctx, &envoys, "envoy", "status"); err != nil {
			return err
		}
		for _, e := range envoys {
			for _, x := range e.Types {
				if x.Type == "ScopedRouteConfiguration" && x.Sent == n+1 && x.Acknowledged == n+1 { // a scout as well
					return nil
				}
			}
		}
		return fmt.Errorf("want %d scopes: %+v", n+1, envoys)
	}))
}

// patiently tries for longer than lab.Eventually: what takes too long is an error of its own.
func patiently(ctx context.Context, what string, try func(context.Context) error) error {
	var err error
	for range 5 {
		if err = lab.Eventually(ctx, what, try); err == nil {
			break
		}
	}
	return err
}

func ask(ctx context.Context, at *lab.Node, service string, want int) error {
	status, body, err := at.Get(ctx, service, "/")
	switch {
	case err != nil:
		return err
	case status != want || status == http.StatusOK && body != service:
		return fmt.Errorf("%.10s…: got %d %.100q, want %d", service, status, body, want)
	}
	return nil
}

// A node and its Envoy have more services than an Envoy can name in gRPC's 4 MiB. The node is killed, its Envoy is,
// and both in either order: each time all services are served within 30 s, exactly those that there are, and what is
// announced and withdrawn afterwards arrives. (With 76,000 services of usual names the Envoy was cut off for good,
// and the node said that it was ready.)
func TestManyServicesSurviveAnyCrash(t *testing.T) {
	l, at := world(t, "b", "")
	b := at("b")
	n := *many
	c := newCrowd(t, l, b, n)
	c.exactly(t, b, firstTime, n)
	var starting sync.WaitGroup
	restart := func() { must(t, b.Stop(syscall.SIGKILL)); starting.Go(func() { _ = b.Start(t.Context()) }) }
	for _, crash := range []struct {
		when string
		do   func()
	}{
		{"the node is killed", restart},
		{"its Envoy is killed", b.KillEnvoy},
		{"the node, then its Envoy", func() { restart(); b.KillEnvoy() }},
		{"its Envoy, then the node", func() { b.KillEnvoy(); restart() }},
	} {
		crash.do()
		c.exactly(t, b, crash.when, n)
		starting.Wait()
		c.announce(t, n)
		n++
		c.exactly(t, b, crash.when+", one more", n)
		n--
		c.withdraw(t, n)
		c.exactly(t, b, crash.when+", one less", n)
	}
}
