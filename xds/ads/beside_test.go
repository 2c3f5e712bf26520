package ads_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/catalyst-router/catalyst/auth/identity"
	"github.com/catalyst-router/catalyst/bgp"
	"github.com/catalyst-router/catalyst/xds"
	"github.com/catalyst-router/catalyst/xds/fib"
)

const destination = "X-Catalyst-Destination"

// told is a workload that answers with where Envoy was told to find it.
func told(t *testing.T) string {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "told %q", r.Header.Values(destination))
	}))
	t.Cleanup(s.Close)
	return s.Listener.Addr().String()
}

// A caller cannot have an Envoy connect to where it likes: whoever it is, whatever kind of service it asks for, and
// however it spells and repeats the header in which Envoy is told where a workload is.
func TestCallersDoNotSayWhereEnvoyConnects(t *testing.T) {
	t.Parallel()
	org := newAuthority(t, "acme.example")
	a, c := newPlane(t, org, "a"), newPlane(t, org, "c")
	a.server.Open()
	c.server.Open()
	var reached atomic.Int64
	inside := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached.Add(1) }))
	t.Cleanup(inside.Close)
	victim := inside.Listener.Addr().String()
	own := told(t)
	one := func(at string) []xds.Target { return []xds.Target{backend(at)} }
	drains := backend(told(t))
	drains.Draining = true
	a.apply(to(books, bgp.HTTP, one(own)),
		to("two.acme.example", bgp.HTTP, []xds.Target{backend(told(t)), backend(told(t))}),
		to("web.acme.example", bgp.HTTP2, one(told(t))), to("gone.acme.example", bgp.HTTP, one("127.0.0.1:1")),
		to("lines.acme.example", bgp.TCP, one(told(t))), to("drains.acme.example", bgp.HTTP, []xds.Target{drains}),
		xds.Forwarding{Service: "down.acme.example", Protocol: bgp.HTTP, Down: []bgp.NodeID{a.id}})
	services := []bgp.Service{books, "two.acme.example", "web.acme.example", "gone.acme.example", "lines.acme.example",
		"drains.acme.example", "down.acme.example", "nobody.acme.example", "hops/beside-http1", bgp.Service(victim)}
	for _, svc := range services[:7] {
		if svc != "lines.acme.example" {
			c.apply(to(svc, bgp.HTTP, []xds.Target{a.hop()}))
		}
	}
	a.eventually(books, 200, fmt.Sprintf("told [%q]", own))
	c.eventually(books, 200, fmt.Sprintf("told [%q]", own))
	src, err := identity.Open(filepath.Join(org.dir, "c"))
	if err != nil {
		t.Fatal(err)
	}
	cfg := src.IngressTLS(a.id)
	cfg.NextProtos = []string{"h2"}
	peer := &http.Transport{TLSClientConfig: cfg, ForceAttemptHTTP2: true}
	t.Cleanup(peer.CloseIdleConnections)
	ways := map[string]func(*http.Request) (*http.Response, error){
		"http://" + a.egress:   (&http.Transport{DisableKeepAlives: true}).RoundTrip,
		"http://" + c.egress:   (&http.Transport{DisableKeepAlives: true}).RoundTrip,
		"https://" + a.ingress: peer.RoundTrip,
	}
	for at, send := range ways {
		for _, svc := range services {
			for name, headers := range spellings(victim) {
				ctx, cancel := context.WithTimeout(t.Context(), patience)
				req, err := http.NewRequestWithContext(ctx, http.MethodGet, at+"/", nil)
				if err != nil {
					t.Fatal(err)
				}
				req.Host, req.Header = string(svc), headers
				if resp, err := send(req); err == nil {
					body, _ := io.ReadAll(resp.Body)
					_ = resp.Body.Close()
					if svc == books && string(body) != fmt.Sprintf("told [%q]", own) && resp.StatusCode != http.StatusBadRequest {
						t.Errorf("%s, %s: %d %q", at, name, resp.StatusCode, body)
					}
					if svc == "two.acme.example" && string(body) != "told []" && resp.StatusCode != http.StatusBadRequest {
						t.Errorf("%s, %s: another's word comes through: %d %q", at, name, resp.StatusCode, body)
					}
				}
				if cancel(); reached.Load() > 0 {
					t.Fatalf("%s, %s, %s: Envoy went to where the caller said", at, svc, name)
				}
			}
		}
	}
}

// spellings are ways to say where a request goes.
func spellings(victim string) map[string]http.Header {
	all := map[string]http.Header{
		"both":      {destination: {victim}, "X-Envoy-Original-Dst-Host": {victim}},
		"nominated": {destination: {victim}, "Connection": {"keep-alive, x-catalyst-destination"}},
	}
	for _, name := range []string{destination, "x-catalyst-destination", "X-CATALYST-DESTINATION", "X_Catalyst_Destination",
		"X-Envoy-Original-Dst-Host", "x-envoy-original-dst-host", "X-Catalyst-Workload", "X-Envoy-Upstream-Alt-Stat-Name"} {
		all[name] = http.Header{name: {victim}}
		all[name+" twice"] = http.Header{name: {victim, victim}}
		all[name+" in a list"] = http.Header{name: {victim + ", " + victim}}
	}
	return all
}

// The workload is told nothing but its own address where a peer that is not believed to be a node sends bytes of HTTP/1
// by hand, too: with spaces, folded, before and after the others.
func TestDestinationsByHand(t *testing.T) {
	t.Parallel()
	a := newPlane(t, newAuthority(t, "acme.example"), "a")
	a.server.Open()
	own, victim := told(t), told(t)
	a.apply(to(books, bgp.HTTP, []xds.Target{backend(own)}))
	a.eventually(books, 200, "told")
	for _, line := range []string{
		"x-catalyst-destination: " + victim, "x-catalyst-destination:" + victim, "x-catalyst-destination : " + victim,
		"X-CATALYST-destination:\t" + victim, "x-catalyst-destination: " + victim + "\r\nx-catalyst-destination: " + victim,
		"x-catalyst-destination:\r\n " + victim, "x-catalyst-destination: %REQ(x)%\r\nx: " + victim,
		"x-catalyst-destination: \x00" + victim,
	} {
		for _, text := range []string{asking("GET /", line, toBooks), asking("POST /", toBooks, "Content-Length: 0", line)} {
			conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", a.egress)
			if err != nil {
				t.Fatal(err)
			}
			status, body := rawStatus(t, conn, text)
			if want := fmt.Sprintf("told [%q]", own); status == 200 && body != want || status != 200 && status != 400 {
				t.Errorf("%q: %d %q, want %s", line, status, body, want)
			}
		}
	}
}

// A service that gets a cluster of its own, or loses it, loses no call: neither when its state changes, nor with the
// node that shares clusters coming after one that did not.
func TestServicesMoveBetweenClusters(t *testing.T) {
	t.Parallel()
	for _, whole := range []bool{false, true} {
		t.Run(map[bool]string{false: "delta", true: "state of the world"}[whole], func(t *testing.T) {
			t.Parallel()
			a := newPlaneConfigured(t, newAuthority(t, "acme.example"), "a",
				func(p *plane) { p.stateOfTheWorld, p.linger = whole, time.Second })
			a.server.Open()
			one, two := workload(t, "one"), workload(t, "two")
			alone := to(books, bgp.HTTP, []xds.Target{backend(one)})
			moved := to(books, bgp.HTTP, []xds.Target{backend(two)})
			both := to(books, bgp.HTTP, []xds.Target{backend(one), backend(two)})
			kept := to(books, bgp.HTTP, []xds.Target{backend(one)})
			kept.Idle = time.Second // as every service had a cluster before
			a.apply(kept)
			a.eventually(books, 200, "one")
			stop := a.steadily(books)
			for range 20 {
				for _, f := range []xds.Forwarding{alone, both, moved, kept, alone, moved, both} {
					a.apply(f)
					a.acknowledged(books)
				}
			}
			for _, f := range []xds.Forwarding{kept, alone, both, alone} { // each at another process
				left := a.left()
				a.stopADS()
				a.startADS()
				a.server.Restore(left)
				a.apply(f)
				a.server.Open()
				waitFor(t, "Envoy is back", func() bool { return len(a.server.Status()) == 1 })
				a.acknowledged(books)
			}
			if asked, failed, why := stop(); failed > 0 || asked == 0 {
				t.Errorf("%d of %d calls failed: %s", failed, asked, why)
			}
			waitFor(t, "the cluster of the service's own has gone", func() bool {
				return !strings.Contains(a.admin("/clusters"), "http/books.acme.example::")
			})
		})
	}
}

// left is what a file would have kept of what every Envoy has taken.
func (p *plane) left() (all []xds.Resource) {
	for _, r := range p.server.Taken() {
		if fib.Kept(r) {
			all = append(all, *r)
		}
	}
	return all
}

// An Envoy that starts is given what the one before it had, of a node that gave each service a cluster; the node that
// comes then shares clusters, and no call is lost while that is brought up to date.
func TestAnEnvoyOfTheEarlierBuildStartsAnew(t *testing.T) {
	t.Parallel()
	a := newPlaneConfigured(t, newAuthority(t, "acme.example"), "a", func(p *plane) { p.linger = time.Second })
	a.server.Open()
	at := workload(t, "one")
	kept := to(books, bgp.HTTP, []xds.Target{backend(at)})
	kept.Idle = time.Second
	a.apply(kept)
	a.eventually(books, 200, "one")
	a.acknowledged(books)
	waitFor(t, "what Envoy has is known", func() bool { return len(a.kept("http/")) == 1 && len(a.kept("route/")) == 1 })
	left := a.left()
	a.stopADS()
	a.startADS()
	a.server.Restore(left)
	a.restartEnvoy()
	a.eventually(books, 200, "one") // by what was kept
	stop := a.steadily(books)
	a.apply(to(books, bgp.HTTP, []xds.Target{backend(at)}))
	a.server.Open()
	waitFor(t, "the workload is found by its address", func() bool {
		return strings.Contains(a.admin("/clusters"), "hops/beside-http1::"+at)
	})
	a.acknowledged(books)
	if asked, failed, why := stop(); failed > 0 || asked == 0 {
		t.Errorf("%d of %d calls failed: %s", failed, asked, why)
	}
}

// One workload that takes connections and answers nothing does not keep those of other services from theirs: each has
// its own limit.
func TestAStuckWorkloadTakesNoConnectionsOfOthers(t *testing.T) {
	t.Parallel()
	a := newPlaneConfigured(t, newAuthority(t, "acme.example"), "a",
		func(p *plane) { p.cfg.Limits.Descriptors = 400 }) // 50 connections a service
	a.server.Open()
	held, release := make(chan struct{}, 200), make(chan struct{})
	s := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if r.Header.Get("First") != "" {
			return
		}
		held <- struct{}{}
		select {
		case <-release:
		case <-r.Context().Done():
		}
	}))
	t.Cleanup(s.Close)
	t.Cleanup(func() { close(release) })
	const stuck = bgp.Service("stuck.acme.example")
	a.apply(to(stuck, bgp.HTTP, []xds.Target{backend(s.Listener.Addr().String())}),
		to(books, bgp.HTTP, []xds.Target{backend(workload(t, "one"))}))
	a.eventually(books, 200, "one")
	waitFor(t, "Envoy knows the workload", func() bool {
		_, _, _ = a.ask("GET", "/", func(r *http.Request) { r.Host = string(stuck); r.Header.Set("First", "1") })
		return strings.Contains(a.admin("/clusters"), "hops/beside-http1::"+s.Listener.Addr().String())
	})
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	for range 80 {
		go func() {
			req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+a.egress+"/", nil)
			if err != nil {
				return
			}
			req.Host = string(stuck)
			if resp, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(req); err == nil {
				_ = resp.Body.Close()
			}
		}()
	}
	for range 50 {
		<-held
	}
	waitFor(t, "the others wait", func() bool {
		return a.stat("cluster.hops/beside-http1.upstream_rq_pending_active") >= 30
	})
	if len(held) > 0 {
		t.Errorf("the stuck workload has %d connections more than 50", len(held))
	}
	if code, body := a.get(books); code != 200 {
		t.Errorf("another service: %d %q", code, body)
	}
}
