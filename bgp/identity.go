package bgp

import (
	"cmp"
	"fmt"
	"strings"
)

// Limits of names. A longer one is refused where it enters.
const (
	MaxNameLength  = 253 // characters of an organisation, node or service name (RFC 1035 §2.3.4, less the root)
	MaxLabelLength = 63  // characters between two dots
)

// Org is an organisation: a DNS name in lower case without a trailing dot, such as "acme.example". It plays the part
// of BGP's autonomous system and is the organisation's SPIFFE trust domain. The zero value is no organisation.
type Org string

// ParseOrg accepts a DNS name of at least two labels, in any case, and returns it in lower case.
func ParseOrg(s string) (Org, error) {
	name, err := parseName(s)
	if err != nil {
		return "", fmt.Errorf("organisation %q: %w", clip(s), err)
	}
	if !strings.Contains(name, ".") {
		return "", fmt.Errorf("organisation %q: want a domain name of at least two labels, such as acme.example", clip(s))
	}
	return Org(name), nil
}

// NodeID names one node of one organisation. It is the RFC 6286 identifier: unique inside its organisation, and
// compared together with it. The zero value is no node.
type NodeID struct {
	Org  Org
	Name string // one or more DNS labels, lower case: "edge-1"
}

// ParseNodeID accepts the SPIFFE form "spiffe://acme.example/node/edge-1" and the short form "acme.example/edge-1".
func ParseNodeID(s string) (NodeID, error) {
	rest, isURI := strings.CutPrefix(s, "spiffe://")
	org, name, ok := strings.Cut(rest, "/")
	if isURI && ok {
		name, ok = strings.CutPrefix(name, "node/")
	}
	if !ok {
		return NodeID{}, fmt.Errorf("node %q: want spiffe://ORGANISATION/node/NAME or ORGANISATION/NAME", clip(s))
	}
	return NewNodeID(org, name)
}

// NewNodeID checks both parts by the rules of ParseOrg and of DNS labels.
func NewNodeID(org, name string) (NodeID, error) {
	o, err := ParseOrg(org)
	if err != nil {
		return NodeID{}, err
	}
	n, err := parseName(name)
	if err != nil {
		return NodeID{}, fmt.Errorf("node name %q: %w", clip(name), err)
	}
	if len(o)+len("spiffe:///node/")+len(n) > MaxNameLength {
		return NodeID{}, fmt.Errorf("node %q: longer than %d characters as a SPIFFE ID", clip(name), MaxNameLength)
	}
	return NodeID{Org: o, Name: n}, nil
}

// URI returns the SPIFFE ID, "spiffe://acme.example/node/edge-1" (SPIFFE-ID §2).
func (n NodeID) URI() string { return "spiffe://" + string(n.Org) + "/node/" + n.Name }

// String returns the short form, "acme.example/edge-1", as the CLI, logs and the wire use it; "" for the zero value.
func (n NodeID) String() string {
	if n.IsZero() {
		return ""
	}
	return string(n.Org) + "/" + n.Name
}

// IsZero tells whether n names no node.
func (n NodeID) IsZero() bool { return n == NodeID{} }

// Compare orders by organisation, then name. It is the last rung of the decision ladder and the tie-break of collision
// detection (RFC 4271 §6.8).
func (n NodeID) Compare(m NodeID) int {
	return cmp.Or(cmp.Compare(n.Org, m.Org), cmp.Compare(n.Name, m.Name))
}

// MarshalText writes the short form.
func (n NodeID) MarshalText() ([]byte, error) { return []byte(n.String()), nil }

// UnmarshalText reads both forms of ParseNodeID; empty text is the zero value.
func (n *NodeID) UnmarshalText(text []byte) error {
	if len(text) == 0 {
		*n = NodeID{}
		return nil
	}
	id, err := ParseNodeID(string(text))
	if err != nil {
		return err
	}
	*n = id
	return nil
}

// parseName lowers and checks a DNS name: labels of letters, digits and inner hyphens (RFC 1123 §2.1).
func parseName(s string) (string, error) {
	if len(s) > MaxNameLength {
		return "", fmt.Errorf("longer than %d characters", MaxNameLength)
	}
	name := strings.ToLower(s)
	if err := CheckName(name); err != nil {
		return "", err
	}
	return name, nil
}

// CheckName reports the first rule of DNS names that a lower-case name breaks. It allocates nothing when the name is
// good, because every name that a peer sends goes through it.
func CheckName(s string) error {
	if s == "" {
		return fmt.Errorf("is empty")
	}
	if len(s) > MaxNameLength {
		return fmt.Errorf("longer than %d characters", MaxNameLength)
	}
	start := 0
	for i := 0; i <= len(s); i++ {
		if i < len(s) && s[i] != '.' {
			c := s[i]
			if c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '-' {
				continue
			}
			return fmt.Errorf("has %q; letters, digits, hyphens and dots are allowed", rune(c))
		}
		switch {
		case i == start:
			return fmt.Errorf("has an empty label")
		case i-start > MaxLabelLength:
			return fmt.Errorf("has a label longer than %d characters", MaxLabelLength)
		case s[start] == '-' || s[i-1] == '-':
			return fmt.Errorf("has a label that begins or ends with a hyphen")
		}
		start = i + 1
	}
	return nil
}

// clip shortens hostile input for an error text.
func clip(s string) string {
	const most = 80
	if len(s) <= most {
		return s
	}
	return s[:most] + "…"
}
