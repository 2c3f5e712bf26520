package bgp

import "testing"

func TestEnvoyIDs(t *testing.T) {
	e, err := ParseEnvoyID("spiffe://acme.example/envoy/edge-1/front-1")
	if err != nil || e.URI() != "spiffe://acme.example/envoy/edge-1/front-1" ||
		e.String() != "acme.example/edge-1/front-1" {
		t.Errorf("%v, %v", e, err)
	}
	if e.Node != (NodeID{Org: "acme.example", Name: "edge-1"}) {
		t.Errorf("it belongs to %v", e.Node)
	}
	for _, bad := range []string{
		"", "acme.example/edge-1/front-1", "spiffe://acme.example/node/edge-1",
		"spiffe://acme.example/envoy/edge-1", "spiffe://acme.example/envoy/edge-1/",
		"spiffe://acme.example/envoy/edge-1/a/b", "spiffe://acme.example/envoy/../node/a",
		"spiffe://acme.example/envoy/Edge/a", "spiffe://acme.example/envoy/edge-1/A",
		"spiffe://acme.example/envoy/edge-1/a,spiffe://acme.example/node/b",
		"spiffe://acme.example/envoy/edge-1/a?x", "SPIFFE://acme.example/envoy/edge-1/a",
	} {
		if e, err := ParseEnvoyID(bad); err == nil {
			t.Errorf("%q is taken for %v", bad, e)
		}
	}
}
