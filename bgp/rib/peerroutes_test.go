package rib

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/catalyst-router/catalyst/bgp"
	"github.com/catalyst-router/catalyst/bgp/filter"
)

// listed returns the routes of a view in words, with pages of so many services.
func listed(tab *Table, id PeerID, v View, page int) []string {
	var out []string
	every := func(bgp.Service) bool { return true }
	for from, more := uint32(0), true; more; more = from != 0 {
		from = tab.PeerRoutes(id, v, every, from, page, func(r PeerRoute) bool {
			why := r.Reject.String()
			if v == ViewTold || v == ViewWithheld {
				why = r.Withheld.String()
			}
			out = append(out, fmt.Sprintf("%s: %s [%s] %s%v", r.Service, why, r.Term, r.Attrs.OnlyToCustomer,
				r.Attrs.Communities))
			return true
		})
	}
	slices.Sort(out)
	return out
}

// A partner announces routes of every fate. Each is listed with the reason that decided and with what was received: a
// mark that this node puts on it is not shown as the partner's, and a community that the partner forged is shown and
// was not what the rules saw. What a limit left out is named too, until it is withdrawn or taken.
func TestRoutesOfAPeerAreListed(t *testing.T) {
	tab := New(Config{Self: self})
	bravo, own := bgp.NodeID{Org: "bravo.example", Name: "edge"}, bgp.Community{Org: self.Org, Key: "vip"}
	tab.AddPeer(1, PeerConfig{
		Node: bravo, External: true, Role: bgp.RolePeer, MaxRoutes: 4, MaxRouteBytes: 400,
		Import: &filter.Chain{Default: filter.Accept, Terms: []filter.Term{
			{Name: "vip", Match: filter.Match{Communities: []bgp.Community{own}}, Action: filter.Accept},
			{Name: "no", Match: filter.Match{Services: []string{"no.bravo.example"}}, Action: filter.Reject},
		}},
		Export: &filter.Chain{Default: filter.Reject, Terms: []filter.Term{
			{Name: "books", Match: filter.Match{Services: []string{"books.acme.example"}}, Action: filter.Accept},
		}},
	})
	tab.Established(1, "")
	says := func(svc bgp.Service, a bgp.Attributes) {
		a.Protocol, a.NodePath = bgp.HTTP, []bgp.NodeID{bravo}
		tab.Apply(1, announcement(svc, a))
	}
	says("yes.bravo.example", bgp.Attributes{Communities: []bgp.Community{own}})
	says("no.bravo.example", bgp.Attributes{})
	says("pay.carol.example", bgp.Attributes{})
	says("leak.bravo.example", bgp.Attributes{OnlyToCustomer: "carol.example"})
	says("fifth.bravo.example", bgp.Attributes{})
	says("large.bravo.example", bgp.Attributes{Tags: []string{strings.Repeat("x", 250), strings.Repeat("y", 250)}})
	local := bgp.Attributes{Protocol: bgp.HTTP}
	for _, svc := range []bgp.Service{"books.acme.example", "films.acme.example"} {
		if err := tab.SetLocal(svc, &local, bgp.Trace{}); err != nil {
			t.Fatal(err)
		}
	}
	for u := tab.Update(1); u != nil; u = tab.Update(1) {
	}
	rejected := []string{
		"fifth.bravo.example: the peer announces more than it may (max-routes, max-bytes, add-path) [] []",
		"large.bravo.example: its attributes are larger than this peer's may be (max-route-bytes) [] []",
		"leak.bravo.example: route leak: marked only-to-customer (RFC 9234) [] carol.example[]",
		"no.bravo.example: an import rule rejects it [no] []",
		"pay.carol.example: its originator may not originate this name [] []",
	}
	accepted := []string{"yes.bravo.example: accepted [] [acme.example:vip]"}
	for _, tt := range []struct {
		v    View
		want []string
	}{
		{ViewRejected, rejected},
		{ViewAccepted, accepted},
		{ViewReceived, append(slices.Clone(rejected), accepted...)},
		{ViewTold, []string{"books.acme.example: told [books] acme.example[]"}},
		{ViewWithheld, []string{
			"films.acme.example: an export rule rejects it [] []",
			"yes.bravo.example: the best path comes from this peer itself [] bravo.example[]",
		}},
	} {
		for _, page := range []int{1, 1000} {
			if got := listed(tab, 1, tt.v, page); !slices.Equal(got, tt.want) {
				t.Errorf("view %d in pages of %d:\n%s\nwant\n%s", tt.v, page, strings.Join(got, "\n"),
					strings.Join(tt.want, "\n"))
			}
		}
	}
	tab.Apply(1, &bgp.Update{Withdrawn: []bgp.NLRI{{Service: "large.bravo.example"}, {Service: "no.bravo.example"}}})
	says("fifth.bravo.example", bgp.Attributes{})
	if got := listed(tab, 1, ViewRejected, 10); len(got) != 2 || len(listed(tab, 1, ViewAccepted, 10)) != 2 {
		t.Errorf("after they went, or there was room: %q", got)
	}
	for i := range 1000 {
		says(bgp.Service(fmt.Sprintf("s%d.bravo.example", i)), bgp.Attributes{})
	}
	if got := listed(tab, 1, ViewRejected, 10); len(got) != 2+maxLeftOut {
		t.Errorf("%d are remembered, want the bound", len(got)-2)
	}
}
