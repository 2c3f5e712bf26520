package xds

import (
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
