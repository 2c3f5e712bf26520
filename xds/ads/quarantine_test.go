package ads_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/catalyst-router/catalyst/bgp"
	"github.com/catalyst-router/catalyst/xds"
	"github.com/catalyst-router/catalyst/xds/ads"
)

// nowhere is a next hop whose address names an interface that this machine does not have: our checks take it, Envoy
// does not.
func nowhere() xds.Target {
	return xds.Target{
		NextHop: bgp.NextHop{Node: bgp.NodeID{Org: "acme.example", Name: "z"}, Address: "[fe80::1%nosuch]:80"},
	}
}

// steadily asks a service all the time; the function that it returns stops that and tells what went wrong.
func (p *plane) steadily(svc bgp.Service) func() (asked, failed int64, why string) {
	var asked, failed atomic.Int64
	var why atomic.Value
	why.Store("")
	ctx, cancel := context.WithCancel(p.t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for ctx.Err() == nil {
			code, body := p.get(svc)
			if asked.Add(1); code != 200 {
				failed.Add(1)
				why.Store(fmt.Sprint(code, body))
			}
		}
	}()
	return func() (int64, int64, string) {
		cancel()
		<-done
		return asked.Load(), failed.Load(), why.Load().(string)
	}
}

func (p *plane) restartEnvoy() {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.t.Context(), patience)
	defer cancel()
	if err := p.sup.Stop(ctx); err != nil { // its supervisor starts another
		p.t.Fatal(err)
	}
}

// kept returns the names of what every Envoy has taken and that begin with a prefix.
func (p *plane) kept(prefix string) []string {
	var names []string
	for _, r := range p.server.Taken() {
		if strings.HasPrefix(r.Name, prefix) {
			names = append(names, r.Name)
		}
	}
	slices.Sort(names)
	return names
}

// Next hops that Envoy refuses leave the service on its old way, without one failed request and over a restart of
// Envoy, while everything else goes on; the next other way is taken.
func TestARefusedNextHopLeavesTheOldWay(t *testing.T) {
	t.Parallel()
	for _, whole := range []bool{false, true} {
		t.Run(fmt.Sprintf("state of the world %t", whole), func(t *testing.T) {
			org := newAuthority(t, "acme.example")
			a, c := newPlane(t, org, "a"), newPlaneWith(t, org, "c", whole)
			a.server.Open()
			c.server.Open()
			const other, third = bgp.Service("other.acme.example"), bgp.Service("third.acme.example")
			work := workload(t, "one")
			a.apply(to(books, bgp.HTTP, []xds.Target{backend(work)}), to(other, bgp.HTTP, []xds.Target{backend(work)}))
			c.apply(to(books, bgp.HTTP, []xds.Target{a.hop()}))
			c.eventually(books, 200, "one")
			waitFor(t, "it is acknowledged", func() bool { return len(c.kept("route/")) == 1 })
			stop := c.steadily(books)
			c.apply(to(books, bgp.HTTP, []xds.Target{nowhere()}), to(third, bgp.HTTP, []xds.Target{nowhere()}))
			waitFor(t, "the refusal is known", func() bool { return len(c.server.Quarantined()) == 2 })
			q := c.server.Quarantined()
			if q[0].Service != books || !q[0].Serving || q[0].Node != "c" ||
				!strings.Contains(q[0].Error, "malformed IP address: fe80::1%nosuch") {
				t.Errorf("got %+v", q[0])
			}
			if q[1].Service != third || q[1].Serving {
				t.Errorf("got %+v", q[1])
			}
			c.apply(to(other, bgp.HTTP, []xds.Target{a.hop()}))
			c.eventually(other, 200, "one")
			if asked, failed, why := stop(); failed > 0 || asked == 0 {
				t.Errorf("%d of %d requests failed: %s", failed, asked, why)
			}
			if code, _ := c.get(third); code != 404 {
				t.Errorf("a service that never worked answers %d", code)
			}
			c.restartEnvoy()
			c.eventually(books, 200, "one")
			b := newPlane(t, org, "b")
			b.server.Open()
			b.apply(to(books, bgp.HTTP, []xds.Target{backend(workload(t, "two"))}),
				to(third, bgp.HTTP, []xds.Target{backend(work)}))
			c.apply(to(books, bgp.HTTP, []xds.Target{b.hop()}), to(third, bgp.HTTP, []xds.Target{b.hop()}))
			c.eventually(books, 200, "two")
			c.eventually(third, 200, "one")
			waitFor(t, "nothing is in quarantine", func() bool {
				return len(c.server.Quarantined()) == 0 && len(c.server.Status()) == 1 && len(c.server.Status()[0].Nacks) == 0
			})
			// to a, to b, and the node's own
			waitFor(t, "everything is settled", func() bool { return len(c.kept("hops/")) == 3 })
			if got := c.kept("route/"); len(got) != 3 {
				t.Errorf("kept %v", got)
			}
		})
	}
}

// A workload that Envoy refuses leaves a TCP service on its way through another node, listener included.
func TestARefusedWorkloadLeavesTheListener(t *testing.T) {
	t.Parallel()
	const lines = bgp.Service("lines.acme.example")
	org := newAuthority(t, "acme.example")
	a, c := newPlane(t, org, "a"), newPlane(t, org, "c")
	a.server.Open()
	c.server.Open()
	a.apply(to(lines, bgp.TCP, []xds.Target{backend(echo(t, "one"))}))
	c.apply(to(lines, bgp.TCP, []xds.Target{a.hop()}))
	conn, r := dialTCP(t, c, lines)
	defer func() { _ = conn.Close() }()
	waitFor(t, "it is acknowledged", func() bool { return len(c.kept("tcp-egress/")) == 1 })
	c.apply(to(lines, bgp.TCP, []xds.Target{backend("[fe80::1%nosuch]:80")}))
	waitFor(t, "the refusal is known", func() bool { return len(c.server.Quarantined()) == 1 })
	if got, err := say(conn, r, "still here"); err != nil || got != "one: still here\n" {
		t.Errorf("the live connection: %q, %v", got, err)
	}
	fresh, fr := dialTCP(t, c, lines)
	defer func() { _ = fresh.Close() }()
	if got, err := say(fresh, fr, "hello"); err != nil || got != "one: hello\n" {
		t.Errorf("a new connection: %q, %v", got, err)
	}
	c.apply(to(lines, bgp.TCP, []xds.Target{backend(echo(t, "two"))}))
	waitFor(t, "the workload here answers", func() bool {
		conn, r := dialTCP(t, c, lines)
		defer func() { _ = conn.Close() }()
		got, err := say(conn, r, "hello")
		return err == nil && got == "two: hello\n"
	})
	if q := c.server.Quarantined(); len(q) > 0 {
		t.Errorf("still in quarantine: %+v", q)
	}
}

// A resource that Envoy cannot even read spoils a whole response, and its words name nothing: it is found, and all
// others are taken.
func TestAnUnreadableResourceIsFoundAmongMany(t *testing.T) {
	t.Parallel()
	org := newAuthority(t, "acme.example")
	a := newPlane(t, org, "a")
	a.server.Open()
	const count = 100
	var fs []xds.Forwarding
	work := workload(t, "one")
	for i := range count {
		fs = append(fs, to(bgp.Service(fmt.Sprintf("s%d.acme.example", i)), bgp.HTTP, []xds.Target{backend(work)}))
	}
	d, problems := a.compiler.Apply(xds.Change{Services: fs})
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	for _, i := range []int{17, 60} {
		d.Set[i].Body = []byte{0xff, 0xff, 0xff}
	}
	bad := []bgp.Service{d.Set[17].Service, d.Set[60].Service}
	slices.Sort(bad)
	a.server.Publish(d)
	waitFor(t, "all others are acknowledged", func() bool { return len(a.kept("route/")) == count-2 })
	waitFor(t, "two are in quarantine", func() bool { return len(a.server.Quarantined()) == 2 })
	for i, q := range a.server.Quarantined() {
		if q.Service != bad[i] {
			t.Errorf("got %+v, want %s", q, bad[i])
		}
	}
	a.eventually(d.Set[18].Service, 200, "one")
	if n := a.server.Status()[0].Outstanding; n != 0 {
		t.Errorf("%d responses without an answer", n)
	}
}

// What an earlier process kept is served at once to an Envoy that has nothing, and is not forced on one that may have
// something newer. Once everything is compiled, what is the same is not sent again, and what is gone is removed.
func TestWhatWasKeptIsServedAtOnce(t *testing.T) {
	t.Parallel()
	const gone, later = bgp.Service("gone.acme.example"), bgp.Service("later.acme.example")
	org := newAuthority(t, "acme.example")
	a, c := newPlane(t, org, "a"), newPlane(t, org, "c")
	a.server.Open()
	c.server.Open()
	work := workload(t, "one")
	a.apply(to(books, bgp.HTTP, []xds.Target{backend(work)}), to(gone, bgp.HTTP, []xds.Target{backend(work)}),
		to(later, bgp.HTTP, []xds.Target{backend(work)}))
	state := []xds.Forwarding{to(books, bgp.HTTP, []xds.Target{a.hop()}), to(gone, bgp.HTTP, []xds.Target{a.hop()})}
	c.apply(state...)
	c.eventually(books, 200, "one")
	waitFor(t, "both are acknowledged", func() bool { return len(c.kept("route/")) == 2 })
	var left []xds.Resource
	for _, r := range c.server.Taken() {
		if r.Service != "" {
			left = append(left, *r)
		}
	}
	c.apply(to(later, bgp.HTTP, []xds.Target{a.hop()})) // newer than what is kept
	c.eventually(later, 200, "one")
	c.stopADS()
	c.startADS()
	c.server.Restore(left)
	waitFor(t, "Envoy is back", func() bool {
		return len(c.server.Status()) == 1 &&
			len(c.server.Status()[0].Types) == len(xds.Types())
	})
	for _, svc := range []bgp.Service{books, gone, later} {
		if code, body := c.get(svc); code != 200 {
			t.Errorf("%s, before anything is compiled: %d %s", svc, code, body)
		}
	}
	if got := c.server.Status()[0].Bytes; got > 0 {
		t.Errorf("%d bytes were sent to an Envoy that had everything", got)
	}
	c.restartEnvoy()
	c.eventually(books, 200, "one")
	c.eventually(gone, 200, "one")
	if code, _ := c.get(later); code != 404 {
		t.Errorf("what was not kept answers %d", code)
	}
	sent := c.server.Status()[0].Bytes
	stop := c.steadily(books)
	c.apply(state[:1]...)
	c.server.Open()
	c.eventually(gone, 404, "")
	if asked, failed, why := stop(); failed > 0 || asked == 0 {
		t.Errorf("%d of %d requests failed: %s", failed, asked, why)
	}
	if got := c.server.Status()[0].Bytes; got != sent {
		t.Errorf("%d bytes were sent for nothing", got-sent)
	}
	if got := c.kept("route/"); !slices.Equal(got, []string{"route/" + string(books)}) {
		t.Errorf("kept %v", got)
	}
}

// An empty store opens nothing: an Envoy that still serves would lose everything.
func TestNothingKeptOpensNothing(t *testing.T) {
	t.Parallel()
	s := ads.NewServer(ads.Config{Log: slog.New(slog.NewTextHandler(io.Discard, nil))})
	s.Restore(nil)
	if got := s.Taken(); len(got) > 0 {
		t.Errorf("got %v", got)
	}
}
