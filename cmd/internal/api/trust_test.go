package api

import (
	"slices"
	"testing"

	"github.com/catalyst-router/catalyst/bgp"
	"github.com/catalyst-router/catalyst/bgp/filter"
)

// A peering offers what it names: another organisation's service only because it is named, and as transit.
func TestTermsOfAPeeringAsRules(t *testing.T) {
	const own, origin = bgp.Org("delta.example"), "acme.example"
	c := exportOf(own, []string{"*.delta.example", "books.acme.example"}, nil)
	for name, tt := range map[string]struct {
		path              []bgp.NodeID
		accepted, carries bool
	}{
		"shop.delta.example": {nil, true, false},
		"books.acme.example": {[]bgp.NodeID{{Org: origin, Name: "a"}}, true, true},
		"stock.acme.example": {[]bgp.NodeID{{Org: origin, Name: "a"}}, false, false},
	} {
		v := c.Apply(bgp.Service(name), &bgp.Attributes{NodePath: tt.path}, filter.Facts{Neighbour: own})
		if v.Accepted != tt.accepted || v.Transit != tt.carries {
			t.Errorf("%s: %+v, want %+v", name, v, tt)
		}
	}
	for _, tt := range []struct{ take, want []string }{
		{[]string{"*.bravo.example"}, nil},
		{[]string{"shop.bravo.example"}, nil},
		{nil, nil},
		{[]string{"books.acme.example"}, []string{"*.bravo.example", "books.acme.example"}},
		{[]string{"*.notbravo.example"}, []string{"*.bravo.example", "*.notbravo.example"}},
	} {
		if got := namespacesOf("bravo.example", tt.take); !slices.Equal(got, tt.want) {
			t.Errorf("of %q it may announce %q, want %q", tt.take, got, tt.want)
		}
	}
}
