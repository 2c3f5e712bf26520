package bgp

import (
	"fmt"
	"strings"
)

// Service is what is routed, in the place of BGP's prefix: a DNS name in lower case below its organisation's name,
// such as "books.acme.example", optionally with "*" as its whole first label. The zero value is no service.
type Service string

// ParseService accepts a full service name in any case. With a non-empty org, a name of a single label is short for
// LABEL.ORG, and any other name has to lie below org; with an empty org every full name is accepted.
func ParseService(s string, org Org) (Service, error) {
	name := strings.ToLower(s)
	if org != "" && !strings.Contains(name, ".") {
		name += "." + string(org)
	}
	svc := Service(name)
	if err := svc.Check(); err != nil {
		return "", fmt.Errorf("service %q: %w", clip(s), err)
	}
	if org != "" && !svc.Below(org) {
		return "", fmt.Errorf("service %q: does not lie below %s; an organisation originates only names below its own",
			clip(s), org)
	}
	return svc, nil
}

// Check reports the first rule that s breaks: a DNS name in lower case of at least three labels, the first of which
// may be "*". It allocates nothing when s is good.
func (s Service) Check() error {
	name := strings.TrimPrefix(string(s), "*.")
	if err := CheckName(name); err != nil {
		return err
	}
	if len(s) > MaxNameLength {
		return fmt.Errorf("longer than %d characters", MaxNameLength)
	}
	if strings.Count(string(s), ".") < 2 {
		return fmt.Errorf("want a name below an organisation, such as books.acme.example")
	}
	return nil
}

// Below tells whether s is a name below org, which alone may originate it.
func (s Service) Below(org Org) bool {
	prefix, ok := strings.CutSuffix(string(s), string(org))
	return ok && len(prefix) > 1 && prefix[len(prefix)-1] == '.'
}

// IsWildcard tells whether s stands for every name of one more label.
func (s Service) IsWildcard() bool { return strings.HasPrefix(string(s), "*.") }

// Protocol is what a service speaks. The zero value is none and never valid in a route.
type Protocol uint8

// The protocols. Their numbers are those of the wire.
const (
	TCP     Protocol = iota + 1
	HTTP             // HTTP/1.1, with upgrades such as WebSocket
	HTTP2            // HTTP/2 without TLS to the workload
	GRPC             // HTTP/2, streams of any length
	GraphQL          // HTTP/1.1; the service is a subgraph of the federation gateway
)

var protocolNames = [...]string{TCP: "tcp", HTTP: "http", HTTP2: "http2", GRPC: "grpc", GraphQL: "graphql"}

// ParseProtocol accepts the five names and the older spellings http:graphql, http:gql and http:grpc.
func ParseProtocol(s string) (Protocol, error) {
	switch s = strings.ToLower(s); s {
	case "http:graphql", "http:gql":
		return GraphQL, nil
	case "http:grpc":
		return GRPC, nil
	}
	for p, name := range protocolNames {
		if name != "" && name == s {
			return Protocol(p), nil
		}
	}
	return 0, fmt.Errorf("protocol %q: want tcp, http, http2, grpc or graphql", clip(s))
}

// Valid tells whether p is one of the five protocols.
func (p Protocol) Valid() bool { return p >= TCP && p <= GraphQL }

// String returns the protocol's name, or "protocol(N)" for a number that has none.
func (p Protocol) String() string {
	if !p.Valid() {
		return fmt.Sprintf("protocol(%d)", uint8(p))
	}
	return protocolNames[p]
}

// MarshalText writes the name.
func (p Protocol) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// UnmarshalText reads what ParseProtocol accepts.
func (p *Protocol) UnmarshalText(text []byte) error {
	parsed, err := ParseProtocol(string(text))
	if err != nil {
		return err
	}
	*p = parsed
	return nil
}
