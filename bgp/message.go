package bgp

import (
	"fmt"
	"slices"
	"sync"
	"time"
)

// Limits of messages, enforced before allocation.
const (
	Version         = 1
	MaxUpdateRoutes = 1000      // announced and withdrawn routes of one UPDATE
	MaxMessageSize  = 256 << 10 // bytes of one message; a sender fills an UPDATE to MaxUpdateSize
	MaxUpdateSize   = 64 << 10  // bytes that a sender puts into one UPDATE (RFC 8654)
	DefaultHoldTime = 90 * time.Second
	MinHoldTime     = 3 * time.Second // a shorter one, other than 0, is refused (RFC 4271 §4.2)
	// the shortest interval of liveness; below it a scheduler's hiccup is a dead peer
	MinLiveness      = 50 * time.Millisecond
	MaxSubscriptions = 10_000 // names of one OPEN or SUBSCRIBE
)

// Message is one of *Open, *Update, Keepalive, *Notification, *Refresh, *Subscribe, *Rules, *Attest, *Hops, *Report,
// *TraceRequest, *TraceReply, *WhyRequest, *WhyReply and *Bulletin.
type Message interface{ message() }

// Bulk tells whether a message waits its turn behind others and costs its sender a credit of the stream. All others,
// on which the session's life depends, go ahead.
func Bulk(m Message) bool {
	switch m.(type) {
	case *Update, *Attest, *Hops, *Report, *TraceRequest, *TraceReply, *WhyRequest, *WhyReply, *Bulletin:
		return true
	}
	return false
}

func (*Open) message()         {}
func (*Update) message()       {}
func (Keepalive) message()     {}
func (*Notification) message() {}
func (*Refresh) message()      {}
func (*Subscribe) message()    {}
func (*Rules) message()        {}
func (*Attest) message()       {}
func (*Hops) message()         {}

// Role is what a neighbouring organisation's node is to us (RFC 9234 §4.1); inside an organisation it is RoleNone.
type Role uint8

// The roles. Their numbers are those of the wire.
const (
	RoleNone Role = iota
	RoleProvider
	RoleCustomer
	RolePeer
)

var roleNames = [...]string{"none", "provider", "customer", "peer"}

// String returns the role's name.
func (r Role) String() string {
	if int(r) < len(roleNames) {
		return roleNames[r]
	}
	return fmt.Sprintf("role(%d)", uint8(r))
}

// ParseRole reads what String writes; "" is none.
func ParseRole(s string) (Role, error) {
	if i := slices.Index(roleNames[:], s); i >= 0 {
		return Role(i), nil
	}
	if s == "" {
		return RoleNone, nil
	}
	return 0, fmt.Errorf("role %q: want provider, customer or peer, which is what the other organisation is to this one; "+
		"or none", clip(s))
}

// Opposite is this side's role towards an organisation that is r to it.
func (r Role) Opposite() Role {
	switch r {
	case RoleProvider:
		return RoleCustomer
	case RoleCustomer:
		return RoleProvider
	}
	return r
}

// Open is the first message of a session in each direction.
type Open struct {
	Version uint32
	Node    NodeID // has to be the one of the sender's certificate
	// HoldTime is 0 (no keepalives) or at least MinHoldTime; the session uses the lower of both sides.
	HoldTime time.Duration
	// Ingress is HOST:PORT of the mesh ingress of the sender's Envoy; empty for a node that offers no transit and no
	// service.
	Ingress string
	Role    Role
	// BootID is drawn at each start of the process. Equal node ids with different BootIDs on live sessions are a cloned
	// configuration; the same node with a new BootID has restarted.
	BootID       uint64
	Capabilities Capabilities
}

// Capabilities are offered in OPEN; a session uses what both sides offer (RFC 5492).
type Capabilities struct {
	// GracefulRestart is how long the receiver is asked to keep this node's routes after the session drops; 0 means at
	// once withdrawn (RFC 4724 §3).
	GracefulRestart time.Duration
	// Restarting tells that this node has just restarted and kept its forwarding state (RFC 4724 §3, R and F bits).
	Restarting bool
	// LongLivedStale is how much longer than GracefulRestart the routes may serve as last resort; 0 for not at all (RFC
	// 9494).
	LongLivedStale time.Duration
	// AddPath is how many paths a service the sender wants to receive; 0 and 1 both mean the best only (RFC 7911).
	AddPath uint8
	// Refresh tells that REFRESH with begin and end markers is understood (RFC 2918, RFC 7313).
	Refresh bool
	// Client tells that the sender reflects: the receiver is its client (RFC 4456), and need not tell it what another
	// such hub said.
	Client bool
	// Subscribe tells that the sender wants only the names it subscribes to (after RFC 4684).
	Subscribe bool
	// Liveness is the interval at which the sender wants and sends keepalives when fast liveness is on; 0 when off. The
	// session uses the longer of both sides', and is over after three of them without a word (after RFC 5880 §6.8.4).
	Liveness time.Duration
	// Reports tells that REPORT is understood.
	Reports bool
	// Trace tells that TRACE-REQUEST is understood and answered.
	Trace bool
	// Rules tells that RULES is understood.
	Rules bool
	// Attest tells that ATTEST is understood.
	Attest bool
	// Bulletins tells that BULLETIN is understood, and read if its sender is of the same organisation.
	Bulletins bool
	// Why tells that WHY-REQUEST is understood, and answered to the receiver.
	Why bool
	// Hops tells that HOPS is understood.
	Hops bool
	// Patterns tells that a route of *.NAME is understood as one for all below NAME; a sender without it is told of each
	// service by name.
	Patterns bool
}

// NLRI names one route of an UPDATE.
type NLRI struct {
	Service Service
	PathID  uint32 // 0 unless more than one path a service is sent (RFC 7911 §3)
}

// Group is one attribute set with the routes that share it.
type Group struct {
	// Attributes is the canonical encoding of package bgp/attr, already validated when it comes from the decoder. It
	// must not be changed, nor kept without copying: it may alias the receive buffer.
	Attributes []byte
	Routes     []NLRI
}

// Marker tells where a full table begins or ends.
type Marker uint8

// The markers.
const (
	NoMarker       Marker = iota
	EndOfRIB              // the initial table is complete (RFC 4724 §2)
	BeginOfRefresh        // a requested table follows (RFC 7313 §4.2)
	EndOfRefresh          // the requested table is complete
)

// Update withdraws and announces routes; withdrawals are applied first. A service with a path id occurs at most once
// in it.
type Update struct {
	Withdrawn []NLRI
	Announced []Group
	Marker    Marker
	Trace     Trace
	// Malformed counts, for the receiver's books, the routes that the decoder turned into withdrawals or whose
	// attributes it dropped (RFC 7606). It is not on the wire.
	Malformed []Malformed
	// Encoded keeps the encoding where several streams are sent the same message; nil otherwise. It is not on the wire.
	Encoded *Encoded
}

// Encoded is a message's encoding, made once by whichever stream comes first.
type Encoded struct {
	once sync.Once
	b    []byte
}

// Bytes returns the encoding, which must not be changed; encode makes it.
func (e *Encoded) Bytes(encode func() []byte) []byte {
	e.once.Do(func() { e.b = encode() })
	return e.b
}

// Malformed is one departure from the specification that did not cost the session.
type Malformed struct {
	Service   Service // the first route that it concerned; "" if the name itself could not be read
	Attribute string  // name of the field in the protobuf definition
	Reason    string
	Withdrawn bool   // treat-as-withdraw; otherwise only the attribute was dropped
	Routes    int    // that it concerned
	Bytes     []byte // the offending bytes, at most MaxFaultBytes
}

// MaxFaultBytes is the most that is kept of what could not be read.
const MaxFaultBytes = 256

// Trace is the W3C trace context and birth of the change that caused an UPDATE, so that one trace and one figure of
// convergence follow it over every hop. The zero value is no trace.
type Trace struct {
	TraceID  [16]byte
	SpanID   [8]byte
	Declared int64 // Unix nanoseconds at which the originator declared the change; 0 if unknown
}

// Keepalive resets the hold timer.
type Keepalive struct{}

// Refresh asks for the peer's whole Adj-RIB-Out again (RFC 2918).
type Refresh struct{}

// Rules tells a peer of another organisation whether the sender has rules for it, and again when that changes: without
// import rules it takes nothing, without export rules it tells nothing (RFC 8212).
type Rules struct{ Import, Export bool }

// Attest carries what an organisation attests of its origins (package attest): a signed manifest, then its chunks, each
// in a message of its own. Whoever takes a set passes it on.
type Attest struct {
	Signed []byte // a manifest; nil in a message with a chunk
	Chunk  []byte // of the manifest that came last
}

// Limits of a path that is attested.
const (
	MaxPathHops = 16   // organisations of it that have signed
	MaxHopSize  = 1024 // bytes of one signed hop
)

// Hops is a path by which what an organisation attests came to the receiver's organisation, signed by each organisation
// on it for the next one (package attest): the origin's own hop first.
type Hops struct {
	Signed [][]byte // at most MaxPathHops, of at most MaxHopSize bytes each
}

// Subscribe replaces the names that the sender wants to hear of; a name "*.acme.example" stands for all below it.
type Subscribe struct {
	Services   []Service
	Everything bool // the names do not matter
}
