package speaker

import (
	"fmt"
	"time"

	"github.com/catalyst-router/catalyst/bgp"
	"github.com/catalyst-router/catalyst/bgp/filter"
	"github.com/catalyst-router/catalyst/bgp/fsm"
	"github.com/catalyst-router/catalyst/bgp/rib"
)

// ConnID is a stream's number, given by the shell and never used twice.
type ConnID uint64

// Event is something that happened outside. It is one of the types below.
type Event interface{ event() }

// PeerSet adds a peer or replaces its configuration. A change of rules takes effect without a reset of the session.
type PeerSet struct{ Peer Peer }

// Peer is the configuration of a neighbour.
type Peer struct {
	Node bgp.NodeID // required
	// Addresses are where to dial the peer, HOST:PORT, tried in turn; none to wait for it to dial.
	Addresses []string
	// HoldTime is how long a silent peer is kept. Zero means 90s. It must be at least 3s.
	HoldTime time.Duration
	// Import and Export are the route filters; nil is everything inside an organisation and nothing between two (RFC
	// 8212).
	Import, Export *filter.Chain
	// Client makes this node reflect the peer's routes (RFC 4456).
	Client bool
	// Namespaces are the names that a peer of another organisation may announce, as filter.Covers reads them; none means
	// those below its own organisation.
	Namespaces []string
	// Attested rejects what a peer of another organisation announces without an attestation that this node can verify.
	Attested bool
	// PathAttested rejects what a peer of another organisation announces by a path that not every organisation on it has
	// signed.
	PathAttested bool
	// Pins are the names, as filter.Covers reads them, that may arrive through this peer's organisation and through no
	// other neighbour of another organisation; only between organisations.
	Pins []string
	// Role is what the peer's organisation is to ours (RFC 9234); only between organisations.
	Role bgp.Role
	// MaxRoutes is how many routes it may announce; zero means 1,000,000 inside an organisation and 1,000 between two.
	MaxRoutes int
	// MaxBytes is how many bytes of names and attributes all its routes may have, each route counted as if it shared its
	// attributes with no other; zero means 512 MiB inside an organisation and 4 MiB between two.
	MaxBytes int
	// MaxRouteBytes is how many bytes of attributes one route may have, at most attr.MaxSize; a larger one is treated as
	// withdrawn. Zero means 16 KiB, enough for all the tags that a route may have.
	MaxRouteBytes int
	// MaxLocalPref is the highest local preference that is taken of it, inside an organisation; what is above counts as
	// this. Zero means bgp.DefaultLocalPref: it may make its paths less wanted, and not more.
	MaxLocalPref uint32
	// OverLimit says what happens beyond MaxRoutes and MaxBytes. Zero means Block.
	OverLimit OverLimit
	// Liveness is the interval of fast keepalives; zero for none. It counts if the peer has one as well, the longer of
	// both: after three of them without a word the session is over.
	Liveness time.Duration
	// Subscribe holds the names to ask the peer for; nil for everything.
	Subscribe []bgp.Service
	// LongLivedStale bounds how long its routes serve as last resort after its restart time (RFC 9494); zero for as long
	// as it asks, negative for not at all.
	LongLivedStale time.Duration
	// AddPath is how many paths a service it may send to this node; zero means 1 (RFC 7911).
	AddPath uint8
	// Disabled keeps the peer configured without a session.
	Disabled bool
}

// OverLimit is what happens to a peer that announces too many routes.
type OverLimit uint8

// The consequences.
const (
	OverLimitBlock OverLimit = iota // what is beyond is not taken
	OverLimitClose                  // the session is closed, and refused for a minute
	OverLimitWarn                   // it is said, and all is taken
)

// PeerRemoved removes a peer: the session is closed and its routes are withdrawn.
type PeerRemoved struct {
	Node bgp.NodeID
	Text string // for the other operator
}

// PeerReset closes a peer's session; it is dialled again at once.
type PeerReset struct {
	Node bgp.NodeID
	Text string
}

// PeerRefresh asks a peer for its whole table again, between markers; what it does not repeat goes (RFC 7313).
type PeerRefresh struct{ Node bgp.NodeID }

// LocalSet announces a service of this node, or replaces it.
type LocalSet struct {
	Service    bgp.Service
	Attributes bgp.Attributes
	Trace      bgp.Trace
	// Yields lets learned paths of higher local preference win over this node's own workload.
	Yields bool
}

// LocalRemoved withdraws a service of this node.
type LocalRemoved struct {
	Service bgp.Service
	Trace   bgp.Trace
}

// ConnUp is a stream that stands, in either direction, with a peer whose certificate has been verified.
type ConnUp struct {
	Conn    ConnID
	Remote  bgp.NodeID
	Dialled bool // by this node
}

// ConnDown is a stream that has ended.
type ConnDown struct {
	Conn ConnID
	Err  string
}

// DialFailed answers a Dial.
type DialFailed struct {
	Peer bgp.NodeID
	Err  string
}

// Received is a message from a stream. It is not kept, save a *bgp.Subscribe, which may not be changed later.
type Received struct {
	Conn ConnID
	Msg  bgp.Message
	// Names are those of a *bgp.Subscribe, made by whoever has read it, since that takes milliseconds of a long list. Nil
	// has them made when they are needed.
	Names *filter.Names
}

// Undecodable is a frame that could not be read at all.
type Undecodable struct {
	Conn         ConnID
	Notification *bgp.Notification
	Frame        []byte // what could not be read; not kept
}

// Writable tells that the shell has handed one UPDATE or REPORT of a stream on and takes another.
type Writable struct{ Conn ConnID }

// NextHopChanged tells whether a peer's data plane can be reached, and at what cost.
type NextHopChanged struct {
	Node   bgp.NodeID
	Usable bool
	Cost   uint32
}

// Drain moves traffic away from this node, by graceful-shutdown on all that it announces (RFC 8326), or back to it.
type Drain struct{ On bool }

// Restored tells that every peer and service that was configured before a restart has been set again. Before it, a
// restarted node publishes nothing: a table without peers would look complete.
type Restored struct{}

// Say hands a peer a *bgp.TraceRequest, *bgp.TraceReply, *bgp.WhyRequest or *bgp.Bulletin. It is dropped if the peer
// has no session, does not know such messages, or reads too slowly: the asker stops waiting by itself.
type Say struct {
	Peer bgp.NodeID
	Msg  bgp.Message
}

// Tick is due at NextDeadline.
type Tick struct{}

// Shutdown ends every session: for good, with a NOTIFICATION, or for a restart, without one, so that peers keep the
// routes (RFC 4724).
type Shutdown struct {
	Restart bool
	Text    string
}

func (PeerSet) event()        {}
func (PeerRemoved) event()    {}
func (PeerReset) event()      {}
func (PeerRefresh) event()    {}
func (LocalSet) event()       {}
func (LocalRemoved) event()   {}
func (ConnUp) event()         {}
func (ConnDown) event()       {}
func (DialFailed) event()     {}
func (Received) event()       {}
func (Undecodable) event()    {}
func (Writable) event()       {}
func (NextHopChanged) event() {}
func (Drain) event()          {}
func (Restored) event()       {}
func (Say) event()            {}
func (Tick) event()           {}
func (Shutdown) event()       {}

// Effect is something to be done outside. It is one of the types below.
type Effect interface{ effect() }

// Dial asks for a stream to a peer. It is answered by ConnUp or DialFailed.
type Dial struct {
	Peer    bgp.NodeID
	Address string
}

// Send hands a message to a stream. One that is bgp.Bulk costs one credit, which Writable gives back; all others go at
// once.
type Send struct {
	Conn ConnID
	Msg  bgp.Message
}

// CloseConn ends a stream once what was sent has been handed on. No ConnDown is expected, and one that comes is
// ignored.
type CloseConn struct{ Conn ConnID }

// SessionChanged tells of a session that came up or went down, or of an attempt that failed.
type SessionChanged struct {
	Peer   bgp.NodeID
	From   fsm.State
	To     fsm.State
	Reason string // why it went down or failed; "" when it came up
	Remote bool   // the peer closed it
}

// LimitReached tells that a peer announces more routes than it may.
type LimitReached struct {
	Peer   bgp.NodeID
	Limit  int    // routes
	Bytes  int    // of all of them; either limit was reached
	Most   string // which originator has most of them, in words; "" where none was left out for others
	Closed bool   // the session; otherwise the rest is left out, or taken if the peer's OverLimit is warn
}

// Rejected tells of routes of one UPDATE that were not accepted, or were malformed, for the log.
type Rejected struct {
	Peer      bgp.NodeID
	Reason    rib.Reject
	Count     int
	Malformed []bgp.Malformed
}

// Heard hands on what an established peer says about the tracing of calls: a *bgp.TraceRequest, which wants an answer
// by Say, or a *bgp.TraceReply; a *bgp.WhyReply; or a *bgp.Bulletin of a node of this organisation.
type Heard struct {
	Peer bgp.NodeID
	Msg  bgp.Message
}

// PublishReady tells that a restarted node has its tables together: Envoy may be given what they say (RFC 4724 §4.1).
type PublishReady struct{ Why string }

func (Dial) effect()           {}
func (Send) effect()           {}
func (CloseConn) effect()      {}
func (SessionChanged) effect() {}
func (LimitReached) effect()   {}
func (Rejected) effect()       {}
func (PublishReady) effect()   {}
func (Heard) effect()          {}

// String names a consequence as the configuration does.
func (o OverLimit) String() string {
	switch o {
	case OverLimitBlock:
		return "block"
	case OverLimitClose:
		return "close"
	case OverLimitWarn:
		return "warn"
	}
	return fmt.Sprintf("OverLimit(%d)", uint8(o))
}

// ParseOverLimit reads what String writes; "" is block.
func ParseOverLimit(s string) (OverLimit, error) {
	for _, o := range []OverLimit{OverLimitBlock, OverLimitClose, OverLimitWarn} {
		if s == o.String() {
			return o, nil
		}
	}
	if s == "" {
		return OverLimitBlock, nil
	}
	return 0, fmt.Errorf("%q: want block, close or warn", s)
}
