package xds

import (
	"slices"
	"strings"
	"testing"

	"github.com/catalyst-router/catalyst/bgp"
)

// What cannot be a tunnel is an error in words: a hub that might see more than it may, an address that is none, and
// next hops that Envoy cannot have in one cluster.
func TestTunnelsThatCannotBe(t *testing.T) {
	self := bgp.NodeID{Org: "acme.example", Name: "c"}
	for want, to := range map[string]bgp.NextHop{
		"want a node of acme.example": {Node: bgp.NodeID{Org: "bravo.example", Name: "hub"}, Address: "127.0.0.1:1"},
		"HOST:PORT":                   {Node: bgp.NodeID{Org: "acme.example", Name: "hub"}, Address: "hub"},
	} {
		c := NewCompiler(Config{
			Self:      self,
			Ingress:   "127.0.0.1:1",
			Egress:    "127.0.0.1:2",
			Socket:    "/s",
			TunnelsTo: []bgp.NextHop{to},
		})
		if _, err := c.Start(Identity{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
	site := bgp.NodeID{Org: "acme.example", Name: "site"}
	c := NewCompiler(Config{
		Self:        self,
		Ingress:     "127.0.0.1:1",
		Egress:      "127.0.0.1:2",
		Socket:      "/s",
		TunnelsFrom: []bgp.NodeID{site},
	})
	_, problems := c.Apply(Change{Services: []Forwarding{{Service: "x.acme.example", Protocol: bgp.HTTP, Tiers: [][]Target{
		{{NextHop: bgp.NextHop{Node: site}}},
		{{NextHop: bgp.NextHop{Node: bgp.NodeID{Org: "acme.example", Name: "b"}, Address: "b.example:1"}}},
	}}}})
	if len(problems) != 1 || !strings.Contains(problems[0].Err.Error(), "by IP address") {
		t.Errorf("got %v", problems)
	}
}

// What a hub has for a site, and a service of the site with another next hop as backup; and what the site has for the
// hub.
func TestGoldenTunnels(t *testing.T) {
	hub, site := bgp.NodeID{Org: "acme.example", Name: "hub"}, bgp.NodeID{Org: "acme.example", Name: "site"}
	at := func(self bgp.NodeID) Config {
		return Config{Self: self, Ingress: "127.0.0.1:8443", Egress: "127.0.0.1:8080", Socket: "/run/tcp.sock"}
	}
	tunnels := func(c *Compiler) []Resource {
		d, err := c.Start(Identity{})
		if err != nil {
			t.Fatal(err)
		}
		return slices.DeleteFunc(d.Set, func(r Resource) bool {
			return r.Name != ingressName &&
				!strings.HasPrefix(r.Name, tunnelPrefix)
		})
	}
	takes := at(hub)
	takes.TunnelsFrom = []bgp.NodeID{site}
	c := NewCompiler(takes)
	set := tunnels(c)
	d, problems := c.Apply(Change{Services: []Forwarding{{Service: "books.acme.example", Protocol: bgp.HTTP,
		Tiers: [][]Target{{{NextHop: bgp.NextHop{Node: site, Address: "127.0.0.1:1"}}}, {hop("b", "10.0.0.2:8443")}}}}})
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	golden(t, "tunnel_hub", "tunnels from acme.example/site; books is there, and as a backup at acme.example/b\n",
		append(set, d.Set...))
	holds := at(site)
	holds.TunnelsTo = []bgp.NextHop{{Node: hub, Address: "hub.acme.example:8443"}}
	golden(t, "tunnel_site", "tunnels to acme.example/hub=hub.acme.example:8443\n",
		slices.DeleteFunc(tunnels(NewCompiler(holds)), func(r Resource) bool { return r.Name == ingressName }))
}
