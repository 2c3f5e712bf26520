package bgp

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Limits of one route's attributes. They are enforced before anything is allocated for it.
const (
	MaxHops           = 64   // nodes of a node path
	MaxTags           = 32   // tags of a route, and communities of a route
	MaxEndpointLength = 2048 // characters of an endpoint or ingress address
	MaxTagLength      = 253  // characters of a tag or of one part of a community
)

// DefaultLocalPref is the local preference of a route that carries none (RFC 4271 §5.1.5 leaves it to the
// implementation).
const DefaultLocalPref = 100

// Health is what the originator knows of the service's workload.
type Health uint8

// The health states. Their numbers are those of the wire.
const (
	HealthUnknown  Health = iota // not checked; treated as up
	HealthUp                     // the last check succeeded
	HealthDown                   // announced, but not usable: ranked after every usable path
	HealthDraining               // finishes what it has, takes nothing new
)

var healthNames = [...]string{"unknown", "up", "down", "draining"}

// String returns the state in lower case.
func (h Health) String() string {
	if int(h) < len(healthNames) {
		return healthNames[h]
	}
	return fmt.Sprintf("health(%d)", uint8(h))
}

// MarshalText writes the state's name.
func (h Health) MarshalText() ([]byte, error) { return []byte(h.String()), nil }

// Community is a tag that one organisation gives a meaning (RFC 8092 large communities): ORG:KEY:VALUE. The
// well-known ones have no organisation.
type Community struct {
	Org   Org
	Key   string
	Value string
}

// Well-known communities. They are constants in all but name.
//
//nolint:gochecknoglobals
var (
	NoExport         = Community{Key: "no-export"}         // stays inside the organisation (RFC 1997)
	NoAdvertise      = Community{Key: "no-advertise"}      // goes to no peer at all (RFC 1997)
	GracefulShutdown = Community{Key: "graceful-shutdown"} // ranked last while its announcer drains (RFC 8326)
	LongLivedStale   = Community{Key: "llgr-stale"}        // kept only as the last resort (RFC 9494)
	NoLongLived      = Community{Key: "no-llgr"}           // not to be kept as stale (RFC 9494)
)

// ParseCommunity reads "ORG:KEY:VALUE", "ORG:KEY", or the name of a well-known community.
func ParseCommunity(s string) (Community, error) {
	if !strings.Contains(s, ":") {
		c := Community{Key: s}
		for _, known := range []Community{NoExport, NoAdvertise, GracefulShutdown, LongLivedStale, NoLongLived} {
			if c == known {
				return c, nil
			}
		}
		return Community{}, fmt.Errorf("community %q: want ORGANISATION:KEY:VALUE or a well-known name", clip(s))
	}
	parts := strings.SplitN(s, ":", 3)
	org, err := ParseOrg(parts[0])
	if err != nil {
		return Community{}, fmt.Errorf("community %q: %w", clip(s), err)
	}
	c := Community{Org: org, Key: parts[1]}
	if len(parts) == 3 {
		c.Value = parts[2]
	}
	if c.Key == "" || len(c.Key) > MaxTagLength || len(c.Value) > MaxTagLength {
		return Community{}, fmt.Errorf("community %q: want a key of 1 to %d characters and a value of at most as many",
			clip(s), MaxTagLength)
	}
	return c, nil
}

// String returns the form that ParseCommunity reads.
func (c Community) String() string {
	switch {
	case c.Org == "":
		return c.Key
	case c.Value == "":
		return string(c.Org) + ":" + c.Key
	}
	return string(c.Org) + ":" + c.Key + ":" + c.Value
}

// MarshalText writes the form that ParseCommunity reads.
func (c Community) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

// UnmarshalText reads what ParseCommunity accepts.
func (c *Community) UnmarshalText(text []byte) error {
	parsed, err := ParseCommunity(string(text))
	if err != nil {
		return err
	}
	*c = parsed
	return nil
}

// NextHop is where to send traffic: the mesh ingress of a node's Envoy. Its certificate names Node and nothing else
// is accepted.
type NextHop struct {
	Node    NodeID
	Address string // HOST:PORT of the mesh ingress, as other nodes reach it
}

// Attributes is all that an announcement says of a service, besides its name. Routes with equal attributes share one
// set; a set is never changed once it is in a table.
type Attributes struct {
	// NodePath holds the nodes that traffic crosses, nearest first, originator last; at most MaxHops. It is empty for a
	// route of this node itself: each announcement prepends the announcer, save when a hub reflects (RFC 4456 §8).
	NodePath []NodeID
	Protocol Protocol
	// LocalPref is meaningful inside one organisation and is neither sent to nor taken from another (RFC 4271 §5.1.5).
	LocalPref uint32
	// MED distinguishes the entries into one neighbouring organisation; lower is better (RFC 4271 §5.1.4). Absent counts
	// as 0.
	MED         uint32
	Communities []Community // sorted, without doubles
	// OnlyToCustomer is the organisation that marked the route, "" if none did (RFC 9234 §5).
	OnlyToCustomer Org
	// NextHop is set only where it is not the announcing peer: on reflected routes. Zero means the announcer, at the
	// ingress address of its OPEN.
	NextHop NextHop
	// Originator and ClusterList stop loops among hubs (RFC 4456 §8). They never leave the organisation.
	Originator  NodeID
	ClusterList []NodeID
	Health      Health
	// Weight is the share of traffic among equal paths, 1 to 1,000; 0 counts as 100.
	Weight uint32
	Region string
	Tags   []string // sorted, without doubles
	// Attestation is the originator's signed right to announce the name, opaque here; empty if none.
	Attestation []byte
}

// OrgPath returns the organisations of the node path, nearest first, each run of equal ones once.
func (a *Attributes) OrgPath() []Org {
	var path []Org
	for _, n := range a.NodePath {
		if len(path) == 0 || path[len(path)-1] != n.Org {
			path = append(path, n.Org)
		}
	}
	return path
}

// Origin returns the node that originated the route; the zero NodeID for a route of this node itself.
func (a *Attributes) Origin() NodeID {
	if len(a.NodePath) == 0 {
		return NodeID{}
	}
	return a.NodePath[len(a.NodePath)-1]
}

// servicePortTag begins the tag that says at which port applications dial a TCP service by its name: "port=5432".
const servicePortTag = "port="

// ServicePortTag is the tag that says that applications dial a TCP service by its name at this port.
func ServicePortTag(port uint16) string { return servicePortTag + strconv.Itoa(int(port)) }

// IsServicePortTag tells whether a tag says at which port a service is dialled, or would like to.
func IsServicePortTag(tag string) bool { return strings.HasPrefix(tag, servicePortTag) }

// ServicePort is the port at which applications dial a TCP service by its name, as its originator says in a tag; 0 if
// it does not, or if the tag holds no port of 1 to 65535.
func (a *Attributes) ServicePort() uint16 {
	for _, t := range a.Tags {
		if text, ok := strings.CutPrefix(t, servicePortTag); ok {
			port, err := strconv.ParseUint(text, 10, 16)
			if err != nil {
				return 0
			}
			return uint16(port) // ParseUint returns 0 for "0" as well
		}
	}
	return 0
}

// HasCommunity tells whether c is among the communities.
func (a *Attributes) HasCommunity(c Community) bool { return slices.Contains(a.Communities, c) }

// EffectiveLocalPref returns the local preference with its default filled in.
func (a *Attributes) EffectiveLocalPref() uint32 {
	if a.LocalPref == 0 {
		return DefaultLocalPref
	}
	return a.LocalPref
}
