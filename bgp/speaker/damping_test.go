package speaker

import (
	"strings"
	"testing"
	"time"

	"github.com/catalyst-router/catalyst/bgp"
	"github.com/catalyst-router/catalyst/bgp/attr"
)

// A peer whose sessions end for what it sends is let in again at once the first time, and later and later after that.
func TestErrorsOfAPeerAreDamped(t *testing.T) {
	o := newOffice(t, 1)
	flood := &bgp.Update{Announced: []bgp.Group{{
		Attributes: attr.Append(nil, &bgp.Attributes{Protocol: bgp.HTTP, NodePath: []bgp.NodeID{clerk(0)}}),
		Routes:     []bgp.NLRI{{Service: "x.acme.example", PathID: 7}},
	}}}
	o.do("path ids", Received{Conn: 1, Msg: flood})
	o.up(0, 2)
	if v, _ := o.s.Peer(clerk(0)); v.State.String() != "Established" || !v.HeldUntil.IsZero() {
		t.Fatalf("after one error the peer is %s, held until %s", v.State, v.HeldUntil)
	}
	o.do("path ids again", Received{Conn: 2, Msg: flood})
	effects := o.s.Step(o.now, ConnUp{Conn: 3, Remote: clerk(0)})
	if n, ok := effects[0].(Send).Msg.(*bgp.Notification); !ok || !strings.Contains(n.Text, "holds it down") {
		t.Fatalf("the third session begins with %v", effects[0])
	}
	o.now = o.now.Add(holdDownMin + time.Second)
	o.up(0, 4)
	if v, _ := o.s.Peer(clerk(0)); v.State.String() != "Established" {
		t.Errorf("after its time the peer is %s: %s", v.State, v.LastError)
	}
}
