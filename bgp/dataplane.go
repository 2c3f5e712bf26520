package bgp

import (
	"fmt"
	"strings"
)

// EnvoyID names an Envoy on another machine that carries the traffic of a node. It may stand for the node in the data
// plane, and never speaks for it in peering: that is why it has a name of its own, which no parser of node names
// takes.
type EnvoyID struct {
	Node NodeID
	Name string // one or more DNS labels, lower case: "front-1"
}

// envoyPath begins the path of an Envoy's SPIFFE ID.
const envoyPath = "envoy/"

// NewEnvoyID checks the name by the rules of DNS labels.
func NewEnvoyID(node NodeID, name string) (EnvoyID, error) {
	n, err := parseName(name)
	if err != nil {
		return EnvoyID{}, fmt.Errorf("envoy name %q: %w", clip(name), err)
	}
	if node.IsZero() {
		return EnvoyID{}, fmt.Errorf("envoy %s: want a node that it belongs to", n)
	}
	if len(EnvoyPrefix(node))+len(n) > 2*MaxNameLength {
		return EnvoyID{}, fmt.Errorf("envoy %q: longer than %d characters as a SPIFFE ID", clip(name), 2*MaxNameLength)
	}
	return EnvoyID{Node: node, Name: n}, nil
}

// ParseEnvoyID accepts exactly the SPIFFE form, "spiffe://acme.example/envoy/edge-1/front-1".
func ParseEnvoyID(s string) (EnvoyID, error) {
	rest, ok := strings.CutPrefix(s, "spiffe://")
	org, rest, more := strings.Cut(rest, "/"+envoyPath)
	node, name, last := strings.Cut(rest, "/")
	if !ok || !more || !last {
		return EnvoyID{}, fmt.Errorf("envoy %q: want spiffe://ORGANISATION/envoy/NODE/NAME", clip(s))
	}
	n, err := NewNodeID(org, node)
	if err != nil {
		return EnvoyID{}, err
	}
	e, err := NewEnvoyID(n, name)
	if err == nil && e.URI() != s {
		err = fmt.Errorf("envoy %q: want it in lower case, as %s", clip(s), e.URI())
	}
	return e, err
}

// EnvoyPrefix is what the SPIFFE IDs of a node's Envoys begin with: "spiffe://acme.example/envoy/edge-1/".
func EnvoyPrefix(n NodeID) string {
	return "spiffe://" + string(n.Org) + "/" + envoyPath + n.Name + "/"
}

// URI returns the SPIFFE ID.
func (e EnvoyID) URI() string { return EnvoyPrefix(e.Node) + e.Name }

// String returns the short form, "acme.example/edge-1/front-1", as the CLI and logs use it; "" for the zero value.
func (e EnvoyID) String() string {
	if e == (EnvoyID{}) {
		return ""
	}
	return e.Node.String() + "/" + e.Name
}
