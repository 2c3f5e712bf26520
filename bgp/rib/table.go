package rib

import (
	"fmt"
	"hash/maphash"
	"slices"
	"time"
	"unsafe"

	"github.com/catalyst-router/catalyst/bgp"
	"github.com/catalyst-router/catalyst/bgp/attest"
	"github.com/catalyst-router/catalyst/bgp/attr"
	"github.com/catalyst-router/catalyst/bgp/filter"
)

// PeerID is a peer's number in the table. The caller hands them out, densely, from 1.
type PeerID uint16

// Local is the peer that stands for this node's own services.
const Local PeerID = 0

// Config is what a table needs to know of its node.
type Config struct {
	Self bgp.NodeID // required
	// HoldNames ranks a node that begins to offer another's name after whoever has offered it for longest, until an
	// operator agrees. It costs about 200 bytes a name.
	HoldNames bool
}

// PeerConfig is what a table needs to know of a peer.
type PeerConfig struct {
	Node bgp.NodeID // required
	// External is set for a peer of another organisation.
	External bool
	// Role is what the peer's organisation is to ours, for external peers (RFC 9234).
	Role bgp.Role
	// Client makes this node reflect the peer's routes to the others inside the organisation, and theirs to it, without
	// entering the path (RFC 4456).
	Client bool
	// Hub tells that the peer reflects to this node as its client: hubs tell each other, and are not told what another
	// of them said.
	Hub bool
	// Namespaces are the names that an external peer may announce, as filter.Covers reads them; none means those below
	// its own organisation.
	Namespaces []string
	// Attested rejects what an external peer announces without an attestation that this node can verify; what is attested
	// otherwise is rejected in any case.
	Attested bool
	// PathAttested rejects what an external peer announces by a path that not every organisation on it has signed. What
	// it announces of its own organisation is not asked about: the session proves whose node it is.
	PathAttested bool
	// Pins are the names, as filter.Covers reads them, that may arrive through this external peer's organisation and
	// through no other one.
	Pins []string
	// Import and Export are nil where there is no rule: everything inside an organisation, nothing between two (RFC 8212).
	Import, Export *filter.Chain
	// MaxLocalPref is the highest local preference that is taken of a peer inside the organisation: a higher one counts
	// as this. Import rules come after it. 0 is bgp.DefaultLocalPref.
	MaxLocalPref uint32
	// MaxRoutes is how many routes the peer may announce, rejected ones included; 0 is no limit.
	MaxRoutes int
	// MaxRouteBytes bounds the encoded attributes of one route, and MaxBytes the names and attributes of all routes
	// together, each route counted as if it shared its attributes with none; 0 is no limit.
	MaxRouteBytes, MaxBytes int
	// PathsIn is how many paths a service the peer may announce; 0 is no limit (RFC 7911).
	PathsIn int
	// AddPath is how many paths a service the peer is sent; 0 and 1 mean the best only (RFC 7911).
	AddPath int
	// NoPatterns is set for a peer that takes *.NAME for a name: it is told of no pattern, and of each service by name.
	NoPatterns bool
}

// A Table is all of a node's routes. Its zero value is not usable; see New.
type Table struct {
	cfg      Config
	self     string
	names    *interner // number = service id
	attrs    *interner
	sums     []attr.Summary // by attribute set number
	svcs     []service      // by service id
	paths    []path
	spare    uint32 // first of the free paths, chained by next
	peers    []*peer
	curs     []*Cursor
	hub      bool // some peer is a reflection client
	draining bool

	revision uint64
	effort   uint64
	count    Counts
	traces   map[uint32]bgp.Trace // of the newest change of a service; see maxTraces
	changed  []change             // services to be decided, each once
	actor    PeerID               // whose doing the changes are that are made now
	cand     []candidate          // scratch of ranked
	draft    draft                // scratch of Update
	recent   recent
	wrecks   []wreck // of sessions that have ended
	now      time.Time
	books    books // of who offers a name
	attested attest.Store
	pins     pins
	// What is under way to make arrays shorter.
	fewerPaths, fewerNames shrinking
	least                  int // numbers; arrays as short stay
	// this node's own services that give way to learned paths of higher local preference
	yields map[uint32]bool
	buf    []byte // scratch
}

// maxTraces bounds the services whose trace is remembered.
const maxTraces = 1 << 16

// service is one name's row.
type service struct {
	revision uint64
	head     uint32 // best path; none if there is no path
	ties     uint16 // so many paths from the head on are used together
	pending  bool   // in changed
}

// path is one peer's offer of one service.
type path struct {
	attrs    uint32 // after the import filter; none for a path rejected for good
	raw      uint32 // before it
	svc      uint32
	next     uint32 // of the same service, next best; or next free
	peerNext uint32 // of the same peer
	peerPrev uint32
	id       uint32 // as the peer numbered it
	peer     PeerID
	gen      uint8 // of the peer when it was announced; another than the peer's is stale
	reject   Reject
}

// peer is a neighbour's books.
type peer struct {
	id      PeerID
	cfg     PeerConfig
	facts   filter.Facts // of import rules
	short   string
	ingress string
	// Adj-RIB-In.
	first     uint32
	gen       uint8
	longLived bool // its stale routes serve only as last resort
	// refreshing: paths of another generation are not stale, only not announced again yet.
	refreshing bool
	usable     bool
	cost       uint32
	walks      []walk
	count      PeerCounts
	leftOut    map[bgp.NLRI]Reject // see noteLeftOut
	shares     map[uint16]share    // by class of originators
	search     uint32              // where findOf goes on
	crowd      string              // the originator that had most when the limit was reached; "" for none
	// Adj-RIB-Out.
	up    bool
	out   []uint32 // by service id: number of the set it was sent, plus 1; 0 for none
	more  map[uint32][]sent
	dirty pendingSet
	// What it is told of in one, the closest pattern first, and patterns that it was told of and is not any more.
	aggregates, former []*aggregate
	wanted             *filter.Names // what it subscribes to; nil for everything
	asked              *asked        // a change of that which is being carried out; nil for none
	marker             bgp.Marker    // to be sent when the scan is through
	begin              bool          // BeginOfRefresh is owed
	resend             bool          // the scan sends again what is unchanged
}

// Counts are the table's totals.
type Counts struct {
	Services int // names with at least one path that is accepted
	Paths    int // paths of all peers, rejected ones included
	Sets     int // distinct attribute sets
	Bytes    int // bytes of names and attribute sets held
}

// PeerCounts are a peer's totals.
type PeerCounts struct {
	Received   int // paths it announces now
	Rejected   int // of them, those that were not accepted
	Stale      int // of them, those from before the session dropped
	Advertised int // services it was sent
	Blocked    int // announcements over its limits that were not taken
	Bytes      int // names and attributes of its routes, as MaxBytes counts them
}

// New returns an empty table.
func New(cfg Config) *Table {
	t := &Table{
		cfg: cfg, self: cfg.Self.String(), names: newInterner(), attrs: newInterner(), spare: none, least: leastShrunk,
		traces: map[uint32]bgp.Trace{}, recent: recent{seed: maphash.MakeSeed()},
	}
	t.peers = append(t.peers, &peer{
		id: Local, first: none, search: none, usable: true, cfg: PeerConfig{Node: cfg.Self}, short: t.self,
	})
	return t
}

// AddPeer enters a peer, whose session is not up yet. Its number must not be in use.
func (t *Table) AddPeer(id PeerID, cfg PeerConfig) {
	for int(id) >= len(t.peers) {
		t.peers = append(t.peers, nil)
	}
	t.peers[id] = &peer{
		id: id, cfg: cfg, short: cfg.Node.String(), first: none, search: none, usable: true,
		facts: filter.Facts{Neighbour: cfg.Node.Org},
	}
	t.findHub()
	t.findPins(nil, cfg.Pins)
	t.findAggregates(t.peers[id])
}

// UpdatePeer replaces a peer's rules while its session goes on. What the new rules change is worked out route by
// route (see Work), and nothing else is sent.
func (t *Table) UpdatePeer(id PeerID, cfg PeerConfig) {
	p := t.peers[id]
	old := p.cfg
	p.cfg = cfg
	t.findHub()
	t.findPins(old.Pins, cfg.Pins)
	t.findAggregates(p)
	if !equalChains(old.Import, cfg.Import) || old.External != cfg.External || old.Role != cfg.Role ||
		old.MaxLocalPref != cfg.MaxLocalPref || !slices.Equal(old.Namespaces, cfg.Namespaces) ||
		old.Attested != cfg.Attested || old.PathAttested != cfg.PathAttested {
		t.walk(p, refilter)
	}
	if old.Client != cfg.Client {
		t.rescanAll() // who is a client decides what goes to every other (RFC 4456 §6)
	} else if p.up && (!equalChains(old.Export, cfg.Export) || old.Role != cfg.Role || old.AddPath != cfg.AddPath ||
		old.Hub != cfg.Hub || old.NoPatterns != cfg.NoPatterns) {
		p.dirty.rescan()
	}
}

// RemovePeer withdraws all that the peer announced and forgets it. The number is free when Gone says so.
func (t *Table) RemovePeer(id PeerID) {
	t.Down(id)
	p := t.peers[id]
	was := p.cfg.Pins
	p.cfg.Client, p.cfg.Pins, p.cfg.Export = false, nil, nil
	t.findPins(was, nil)
	t.findAggregates(p)
	t.walk(t.peers[id], removeAll)
	t.findHub()
}

// Gone tells whether a removed peer has left nothing in the table, and frees its number if so.
func (t *Table) Gone(id PeerID) bool {
	if p := t.peers[id]; p != nil && (p.first != none || len(p.walks) > 0) {
		return false
	}
	t.peers[id] = nil
	return true
}

// findHub works out whether this node reflects; if that changes, so may every export.
func (t *Table) findHub() {
	was := t.hub
	t.hub = false
	for _, p := range t.peers {
		t.hub = t.hub || p != nil && p.cfg.Client
	}
	if t.hub != was {
		t.rescanAll()
	}
}

func equalChains(a, b *filter.Chain) bool {
	return a == b || a != nil && b != nil && a.Equal(b)
}

// marksPerLook is how many marks, for peers and cursors that have to hear of a service, cost as much as one look at it.
const marksPerLook = 8

// Effort returns how much the table has done since it was made, in paths and services looked at: the cost of a step,
// on whatever machine.
func (t *Table) Effort() uint64 { return t.effort }

// Revision returns the number of the newest change of the Loc-RIB.
func (t *Table) Revision() uint64 { return t.revision }

// Counts returns the table's totals.
func (t *Table) Counts() Counts {
	c := t.count
	c.Sets = len(t.attrs.refs) - len(t.attrs.free)
	c.Bytes = t.names.size + t.attrs.size
	return c
}

// PeerCounts returns a peer's totals.
func (t *Table) PeerCounts(id PeerID) PeerCounts { return t.peers[id].count }

// name returns a service's name. It aliases the arena, whose bytes never change while anything refers to them.
func (t *Table) name(svc uint32) bgp.Service {
	b := t.names.bytes(svc)
	return bgp.Service(unsafe.String(unsafe.SliceData(b), len(b)))
}

// setID interns an attribute set that has passed attr.Check; the caller owns one count of it.
func (t *Table) setID(b []byte, sum attr.Summary) uint32 {
	id, fresh := t.attrs.intern(b)
	if fresh {
		for int(id) >= len(t.sums) {
			t.sums = append(t.sums, attr.Summary{})
		}
		t.sums[id] = sum
	}
	return id
}

// serviceID returns the number of a name, entering it if need be; the caller owns one count of it.
func (t *Table) serviceID(name bgp.Service) uint32 {
	id, fresh := t.names.intern(unsafe.Slice(unsafe.StringData(string(name)), len(name)))
	if fresh {
		for int(id) >= len(t.svcs) {
			t.svcs = append(t.svcs, service{})
		}
		t.svcs[id] = service{head: none}
	}
	return id
}

func (t *Table) newPath(p path) uint32 {
	if t.spare == none && t.fewerPaths.limit > 0 {
		t.giveUpPaths()
	}
	if t.spare == none {
		t.paths = append(t.paths, p)
		return uint32(len(t.paths) - 1)
	}
	i := t.spare
	t.spare = t.paths[i].next
	t.paths[i] = p
	return i
}

// change is a service to be decided, and who changed it.
type change struct {
	svc uint32
	by  PeerID
}

// touch puts a service among those to be decided.
func (t *Table) touch(svc uint32) {
	if !t.svcs[svc].pending {
		t.svcs[svc].pending = true
		t.names.retain(svc)
		t.changed = append(t.changed, change{svc, t.actor})
	}
}

// settle decides every touched service, tells cursors and peers, and lets go of what nobody refers to.
func (t *Table) settle(trace bgp.Trace) {
	t.effort += uint64(len(t.changed) * (1 + (len(t.peers)+len(t.curs))/marksPerLook))
	for _, c := range t.changed {
		svc := c.svc
		t.svcs[svc].pending = false
		t.decide(svc)
		t.revision++
		t.svcs[svc].revision = t.revision
		t.remember(svc, trace)
		by := t.source(c)
		for _, c := range t.curs {
			c.mark(t, svc, &by)
		}
		for _, p := range t.peers[1:] {
			if p != nil && p.up && p.dirty.mark(svc, p.follows(svc), &by) {
				t.names.retain(svc)
			}
		}
		t.releaseName(svc)
	}
	if len(t.changed) >= bulkBatch {
		for _, p := range t.peers[1:] {
			if p != nil && p.up {
				p.dirty.endBatch()
			}
		}
	}
	t.changed = t.changed[:0]
	t.names.compact()
	t.attrs.compact()
}

// source says whose doing a change is. It is valid until the table changes.
func (t *Table) source(c change) source {
	by := source{by: c.by}
	if s := &t.svcs[c.svc]; s.ties > 0 {
		by.origin = t.origin(&t.paths[s.head])
	}
	return by
}

// remember keeps the trace of a service's newest change; one without a trace must not pass for the one before it.
func (t *Table) remember(svc uint32, trace bgp.Trace) {
	if trace == (bgp.Trace{}) {
		delete(t.traces, svc)
		return
	}
	if len(t.traces) >= maxTraces {
		clear(t.traces)
	}
	t.traces[svc] = trace
}

func (t *Table) releaseName(svc uint32) {
	if t.names.release(svc) {
		delete(t.traces, svc)
	}
}

func (t *Table) releaseSet(id uint32) {
	if id != none {
		t.attrs.release(id)
	}
}

func (t *Table) retainSet(id uint32) uint32 {
	if id != none {
		t.attrs.retain(id)
	}
	return id
}

func (p *peer) String() string { return fmt.Sprintf("peer %d (%s)", p.id, p.short) }
