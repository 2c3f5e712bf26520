package sim

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/catalyst-router/catalyst/bgp"
	"github.com/catalyst-router/catalyst/bgp/attest"
	"github.com/catalyst-router/catalyst/bgp/fsm"
	"github.com/catalyst-router/catalyst/bgp/rib"
	"github.com/catalyst-router/catalyst/bgp/speaker"
	"github.com/catalyst-router/catalyst/bgp/wire"
)

// liar speaks for mallory.example to a node: what it says goes over the wire's own decoder.
type liar struct {
	t    *testing.T
	n    *Net
	at   bgp.NodeID
	self bgp.NodeID
}

func (l *liar) says(svc bgp.Service, a bgp.Attributes) {
	a.Protocol = bgp.HTTP
	l.frame(wire.Append(nil, announced(svc, a)))
}

func (l *liar) frame(b []byte) {
	conn := l.n.Node(l.at).sp.ConnOf(l.self)
	m, notification := wire.Decode(b)
	if notification != nil {
		l.n.Do(l.at, speaker.Undecodable{Conn: conn, Notification: notification, Frame: b})
		return
	}
	l.n.Do(l.at, speaker.Received{Conn: conn, Msg: m})
}

func (l *liar) rejected(why rib.Reject) uint64 {
	v, _ := l.n.Node(l.at).sp.Peer(l.self)
	return v.Counters.Rejected[int(why)]
}

// A neighbour that lies about routes: others' names, paths that are shorter than they were, or not its own, marks that
// it must not pass on, attributes without end, more than it may. Nothing of it is used, each is counted by its kind,
// and the honest peer's routes and session are as before.
func TestAPeerThatLies(t *testing.T) {
	n := New(1)
	a, honest, evil := id("a"), id("h@bravo"), id("m@mallory")
	peered(n, a, honest, bgp.RolePeer, bgp.RolePeer)
	peered(n, a, evil, bgp.RoleCustomer, bgp.RoleProvider)
	n.Announce(honest, "shop.bravo.example", http)
	// What bravo signs says that nobody carries it on.
	bravo := newAuthority(t, 3)
	set := list(n, 1, time.Hour, attest.Entry{Names: "*.bravo.example"})
	set.Org = "bravo.example"
	n.Do(a, keysOf(t, "bravo.example", bravo))
	n.Do(a, bravo.sign(set))
	n.Run(3 * time.Second)
	l := &liar{t, n, a, evil}
	path := func(nodes ...bgp.NodeID) bgp.Attributes { return bgp.Attributes{NodePath: nodes} }
	for _, tt := range []struct {
		name string
		svc  bgp.Service
		a    bgp.Attributes
		want rib.Reject
	}{
		{"another's name as its own", "pay.bravo.example", path(evil), rib.RejectOrigin},
		{"another's name, carried against its will", "pay.bravo.example", path(evil, honest), rib.RejectInvalid},
		{"a path that leaves itself out", "shop.bravo.example", path(honest), rib.RejectFirstHop},
		{"no path at all", "x.mallory.example", path(), rib.RejectFirstHop},
		{"a path through this node", "x.mallory.example", path(evil, a, evil), rib.RejectLoop},
		{"a path through this organisation", "x.mallory.example", path(evil, id("b"), evil), rib.RejectOrgLoop},
		{"this organisation's name", "books.acme.example", path(evil, id("b")), rib.RejectOrgLoop},
		{"a leak", "x.mallory.example", bgp.Attributes{
			NodePath: []bgp.NodeID{evil}, OnlyToCustomer: "carol.example",
		}, rib.RejectLeak},
		{"a hub's marks", "x.mallory.example", bgp.Attributes{
			NodePath: []bgp.NodeID{evil}, Originator: honest, ClusterList: []bgp.NodeID{honest},
		}, rib.RejectFirstHop},
		{"attributes of 20 KiB", "x.mallory.example", bgp.Attributes{
			NodePath: []bgp.NodeID{evil}, Attestation: make([]byte, 20<<10),
		}, rib.RejectSize},
	} {
		before := l.rejected(tt.want)
		l.says(tt.svc, tt.a)
		if got := l.rejected(tt.want) - before; got != 1 {
			t.Errorf("%s: %d counted as %q", tt.name, got, tt.want)
		}
		for _, c := range n.Node(a).sp.Table().Explain(tt.svc) {
			if c.Reject == rib.Accepted && c.Peer == evil {
				t.Errorf("%s: it is used", tt.name)
			}
		}
	}
	// Preference, and communities that are not its own, do nothing.
	l.says("y.mallory.example", bgp.Attributes{
		NodePath: []bgp.NodeID{evil}, LocalPref: 4_000_000_000,
		Communities: []bgp.Community{{Org: "acme.example", Key: "trusted"}},
	})
	best := n.Node(a).sp.Table().Explain("y.mallory.example")[0]
	if best.Attrs.EffectiveLocalPref() != bgp.DefaultLocalPref || len(best.Attrs.Communities) > 0 {
		t.Errorf("it prefers itself: %+v", best.Attrs)
	}
	// A flood of names holds as many as it may, and no more memory than that.
	for i := range 20_000 {
		l.says(bgp.Service(fmt.Sprintf("f%d.mallory.example", i)), path(evil))
	}
	v, _ := n.Node(a).sp.Peer(evil)
	if v.Routes.Received > 1000 || v.Routes.Blocked < 18_000 {
		t.Errorf("after a flood: %+v", v.Routes)
	}
	// 10 MB in one frame ends the session: with it goes all that it said.
	l.frame(append(wire.Append(nil, announced("z.mallory.example", path(evil))), make([]byte, 10<<20)...))
	n.Run(time.Second)
	if _, left := n.Node(a).Table["y.mallory.example"]; left {
		t.Error("what it said outlives its session")
	}
	v, _ = n.Node(a).sp.Peer(evil)
	if !slices.ContainsFunc(v.Faults, func(f speaker.Fault) bool { return strings.Contains(f.Reason, "the limit is") }) {
		t.Errorf("its frame is in no book: %+v", v.Faults)
	}
	h, _ := n.Node(a).sp.Peer(honest)
	if h.State != fsm.Established || h.Counters.Sessions != 1 || h.Routes.Received != 1 || h.Routes.Rejected != 0 {
		t.Errorf("the honest peer: %s, %+v", h.State, h.Routes)
	}
}
