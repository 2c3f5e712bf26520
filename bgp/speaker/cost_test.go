package speaker

import (
	"fmt"
	"testing"
	"time"

	"github.com/catalyst-router/catalyst/bgp"
	"github.com/catalyst-router/catalyst/bgp/attr"
	"github.com/catalyst-router/catalyst/bgp/filter"
)

// A list of 10,000 other names, which a peer may send in one message, holds nobody up for longer than a full UPDATE
// does: 0.1 ms beside 1 ms, where it was 30 ms. The shortest of several steps counts, so that a busy machine does
// not.
func TestLongListsHoldNobodyUp(t *testing.T) {
	o := newOffice(t, 3)
	shortest := func(make func(k int) Received) time.Duration { // of the longest steps that the message led to
		least := time.Hour
		for k := range 12 {
			ev := make(k)
			began := time.Now()
			o.do("asked", ev)
			longest := time.Since(began)
			for o.s.more || o.s.table.Working() {
				began = time.Now()
				o.do("tick", Tick{})
				longest = max(longest, time.Since(began))
			}
			if k > 0 { // before the first list everything is wanted
				least = min(least, longest)
			}
			o.settle()
			o.now = o.now.Add(time.Second) // so that its budget lasts
		}
		return least
	}
	update := shortest(func(k int) Received {
		u := &bgp.Update{Announced: []bgp.Group{{Attributes: attr.Append(nil, &bgp.Attributes{
			Protocol: bgp.HTTP, NodePath: []bgp.NodeID{clerk(1)},
		})}}}
		for i := range bgp.MaxUpdateRoutes {
			u.Announced[0].Routes = append(u.Announced[0].Routes,
				bgp.NLRI{Service: bgp.Service(fmt.Sprintf("x%d-%d.acme.example", k, i))})
		}
		return Received{Conn: 2, Msg: u}
	})
	list := shortest(func(k int) Received {
		m := &bgp.Subscribe{}
		for i := range bgp.MaxSubscriptions {
			m.Services = append(m.Services, bgp.Service(fmt.Sprintf("want-%d-%d.acme.example", k, i)))
		}
		return Received{Conn: 1, Msg: m, Names: filter.NewNames(m.Services)}
	})
	t.Logf("an UPDATE of %d routes: %s; a SUBSCRIBE of %d names: %s", bgp.MaxUpdateRoutes, update, bgp.MaxSubscriptions,
		list)
	if list > update {
		t.Errorf("a SUBSCRIBE takes %s of the loop, an UPDATE %s", list, update)
	}
}
