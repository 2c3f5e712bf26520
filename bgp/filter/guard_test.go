package filter

import (
	"testing"

	"github.com/catalyst-router/catalyst/bgp"
)

type refusing struct{ why string }

func (r *refusing) Refuses(bgp.Service, *bgp.Attributes) string { return r.why }

// Chains with the same rules are different ones if other guards stand behind them: otherwise a peer would keep the
// decisions of policies that are not in force any more.
func TestAGuardMakesAnotherChain(t *testing.T) {
	rules := &Chain{Default: Accept}
	first := &refusing{"one"}
	one, two := rules.With(first), rules.With(&refusing{"one"})
	if !one.Equal(rules.With(first)) {
		t.Error("the same rules with the same guard are not equal")
	}
	if one.Equal(two) || one.Equal(rules) || rules.Equal(two) {
		t.Error("rules with another guard, or with none, are equal")
	}
}
