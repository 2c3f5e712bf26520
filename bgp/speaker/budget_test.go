package speaker

import (
	"fmt"
	"testing"
	"time"

	"github.com/catalyst-router/catalyst/bgp"
)

// A peer that asks for 10,000 other names all the time is served as far as its budget goes, and then for its newest
// list alone, when the budget allows.
func TestAsksHaveABudget(t *testing.T) {
	o := newOffice(t, 2)
	lists := func(k int) *bgp.Subscribe {
		m := &bgp.Subscribe{}
		for i := range bgp.MaxSubscriptions {
			m.Services = append(m.Services, bgp.Service(fmt.Sprintf("want-%d-%d.acme.example", k, i)))
		}
		return m
	}
	asker := o.s.peers[clerk(0)]
	served := 0
	for k := range 50 {
		before := asker.wants
		o.do("subscribe", Received{Conn: 1, Msg: lists(k)})
		o.do("refresh", Received{Conn: 1, Msg: &bgp.Refresh{}})
		if asker.wants != before {
			served++
		}
	}
	if most := lookBurst/(looksPerName*bgp.MaxSubscriptions) + 1; served > most {
		t.Errorf("%d of 50 lists were taken at once, want at most %d", served, most)
	}
	until := o.now.Add(10 * time.Second)
	for d := o.s.NextDeadline(o.now); !d.IsZero() && d.Before(until); d = o.s.NextDeadline(o.now) {
		o.now = d
		o.do("tick", Tick{})
	}
	if asker.wants == nil || asker.wants.Services[0] != "want-49-0.acme.example" || asker.budget.refresh {
		t.Errorf("in the end the newest list is not the one that counts, or the refresh is still owed")
	}
}

// Path ids that were not negotiated end the session, whether they announce or withdraw (RFC 7911 §4).
func TestPathIDsHaveToBeAskedFor(t *testing.T) {
	for name, u := range map[string]*bgp.Update{
		"withdrawn": {Withdrawn: []bgp.NLRI{{Service: "a.acme.example", PathID: 7}}},
		"announced": {Announced: []bgp.Group{{Routes: []bgp.NLRI{{Service: "a.acme.example", PathID: 7}}}}},
	} {
		o := newOffice(t, 1)
		o.do(name, Received{Conn: 1, Msg: u})
		if v, _ := o.s.Peer(clerk(0)); v.State.String() == "Established" || v.LastError == "" {
			t.Errorf("%s: the session is %s, its last error %q", name, v.State, v.LastError)
		}
	}
}
