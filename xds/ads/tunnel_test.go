package ads_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/catalyst-router/catalyst/bgp"
	"github.com/catalyst-router/catalyst/xds"
)

// tunnelled is a next hop that is reached by its tunnels. It has an address at which nobody listens.
func tunnelled(n bgp.NodeID) xds.Target {
	return xds.Target{NextHop: bgp.NextHop{Node: n, Address: "127.0.0.1:1"}}
}

func node(name string) bgp.NodeID { return bgp.NodeID{Org: "acme.example", Name: name} }

// newSite starts a hub, and a site that nobody dials: its Envoy holds tunnels to the hub.
func newSite(t *testing.T, org authority) (hub, site *plane) {
	t.Helper()
	hub = newPlaneConfigured(t, org, "hub", func(p *plane) { p.cfg.TunnelsFrom = []bgp.NodeID{node("site")} })
	site = newPlaneConfigured(t, org, "site", func(p *plane) {
		p.cfg.TunnelsTo = []bgp.NextHop{{Node: hub.id, Address: hub.ingress}}
	})
	hub.server.Open()
	site.server.Open()
	return hub, site
}

// What a site offers that can only dial out is reached through the hub, HTTP and TCP; the workload is told who calls,
// and a caller cannot say that it is another.
func TestASiteThatCannotBeDialled(t *testing.T) {
	t.Parallel()
	const lines = bgp.Service("lines.acme.example")
	org := newAuthority(t, "acme.example")
	hub, site := newSite(t, org)
	site.apply(to(books, bgp.HTTP, []xds.Target{backend(workload(t, "one"))}))
	hub.apply(to(books, bgp.HTTP, []xds.Target{tunnelled(site.id)}))
	hub.eventually(books, 200, "<acme.example/hub>")

	site.apply(to(lines, bgp.TCP, []xds.Target{backend(echo(t, "one"))}))
	hub.apply(to(lines, bgp.TCP, []xds.Target{tunnelled(site.id)}))
	conn, r := dialTCP(t, hub, lines)
	defer conn.Close()
	if got, err := say(conn, r, "hello"); err != nil || got != "one: hello\n" {
		t.Errorf("got %q, %v", got, err)
	}

	who := newStoppable(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = w.Write([]byte(r.Header.Get("X-Forwarded-Client-Cert")))
	}))
	site.apply(to("who.acme.example", bgp.HTTP, []xds.Target{backend(who.address)}))
	hub.apply(to("who.acme.example", bgp.HTTP, []xds.Target{tunnelled(site.id)}))
	hub.eventually("who.acme.example", 200, "URI=spiffe://acme.example/node/hub")

	// Both Envoys come back by themselves, in either order.
	site.restartEnvoy()
	hub.eventually(books, 200, "one")
	hub.restartEnvoy()
	hub.eventually(books, 200, "one")
	hub.eventually("nobody.acme.example", 404, "no service of this name")
}

// A tunnel is whose certificate it shows: a node with a certificate of the same organisation that asks for the site's
// server name is refused, and gets nothing that is meant for the site.
func TestNobodyElseHoldsASitesTunnels(t *testing.T) {
	t.Parallel()
	org := newAuthority(t, "acme.example")
	hub := newPlaneConfigured(t, org, "hub", func(p *plane) { p.cfg.TunnelsFrom = []bgp.NodeID{node("site")} })
	eve := newPlaneConfigured(t, org, "eve", func(p *plane) {
		p.cfg.Self = node("site") // what it says of itself; its certificate is that of eve
		p.cfg.TunnelsTo = []bgp.NextHop{{Node: hub.id, Address: hub.ingress}}
	})
	hub.server.Open()
	eve.server.Open()
	eve.apply(to(books, bgp.HTTP, []xds.Target{backend(workload(t, "eve"))}))
	hub.apply(to(books, bgp.HTTP, []xds.Target{tunnelled(node("site"))}))
	hub.eventually(books, 503, "")
	waitFor(t, "the hub refuses her certificate", func() bool {
		refused := hub.admin("/stats?filter=listener.*ssl.fail_verify_san")
		return strings.Contains(refused, ": ") && !strings.Contains(refused, ": 0")
	})
	if code, body := hub.get(books); code != 503 {
		t.Errorf("got %d %s", code, body)
	}
}

// A site's tunnels and next hops that are dialled back each other up: not one call that may be sent twice fails when
// the Envoy at either end restarts.
func TestTunnelsAndNextHopsBackEachOtherUp(t *testing.T) {
	t.Parallel()
	org := newAuthority(t, "acme.example")
	hub, site := newSite(t, org)
	b := newPlane(t, org, "b")
	b.server.Open()
	site.apply(to(books, bgp.HTTP, []xds.Target{backend(workload(t, "site"))}),
		to("other.acme.example", bgp.HTTP, []xds.Target{backend(workload(t, "site"))}))
	b.apply(to(books, bgp.HTTP, []xds.Target{backend(workload(t, "b"))}),
		to("other.acme.example", bgp.HTTP, []xds.Target{backend(workload(t, "b"))}))
	hub.apply(to(books, bgp.HTTP, []xds.Target{tunnelled(site.id)}, []xds.Target{b.hop()}))
	hub.apply(to("other.acme.example", bgp.HTTP, []xds.Target{b.hop()}, []xds.Target{tunnelled(site.id)}))
	hub.eventually(books, 200, "site")
	hub.eventually("other.acme.example", 200, "b saw")
	for svc, first := range map[bgp.Service]*plane{books: site, "other.acme.example": b} {
		waitFor(t, "both are healthy in every cluster",
			func() bool { return !strings.Contains(hub.admin("/clusters"), "/failed") })
		stop := hub.steadily(svc)
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		if err := first.sup.Stop(ctx); err != nil { // it comes back after a second
			t.Fatal(err)
		}
		second := map[*plane]string{site: "b saw", b: "site saw"}[first]
		hub.eventually(svc, 200, second)
		hub.eventually(svc, 200, map[*plane]string{b: "b saw", site: "site saw"}[first])
		cancel()
		asked, failed, why := stop()
		if t.Logf("%d of %d calls of %s failed: %s", failed, asked, svc, why); failed > 0 || asked < 10 {
			t.Errorf("%d of %d calls of %s failed: %s", failed, asked, svc, why)
		}
	}
}

// Each worker of the hub's Envoy takes a tunnel for itself, and all clusters with the site among their next hops
// share it.
func TestManyClustersShareTheTunnels(t *testing.T) {
	t.Parallel()
	hub, site := newSite(t, newAuthority(t, "acme.example"))
	for i := range uint32(2 * 16) {
		svc := bgp.Service(fmt.Sprintf("s%d.acme.example", i))
		hop := tunnelled(site.id)
		hop.Weight = i + 1 // another cluster
		site.apply(to(svc, bgp.HTTP, []xds.Target{backend(workload(t, string(svc)))}))
		hub.apply(to(svc, bgp.HTTP, []xds.Target{hop}))
		hub.eventually(svc, 200, string(svc))
	}
}
