package scenarios

// faultScenarios are what broke when the product was tried under attack and fault, and its parts were put together.
func faultScenarios() []scenario {
	return []scenario{
		{242, "a contested name", "A node begins to offer another's name: the operator sees it wherever he looks, also " +
			"after a restart, and says whether it may.", []guard{
			one("what could not be kept is kept later", "bgp/peering TestOffersAreKept", "bgp/peering/offers.go",
				"for err := keep(ctx, batch); err != nil; err = keep(ctx, batch) {",
				"if err := keep(ctx, batch); err != nil {"),
			one("a restart does not make the newcomer one that was always there", "e2e TestANameIsHeldForWhoeverHadIt",
				"cmd/internal/daemon/run.go",
				"if err := offerers.Restore(ctx, d.router, d.journal); err != nil {", "if err := error(nil); err != nil {"),
		}},
		{243, "a service that gives way", "An operator lets learned paths win over his own workload, and takes that back.",
			[]guard{
				one("the router is told", "e2e TestAServiceThatYields", "cmd/internal/offer/offer.go", ", Yields: s.Yields}",
					"}"),
			}},
		{244, "a backup that was away a moment ago", "A next hop that was left as dead is back, and then the other one " +
			"restarts: not one call that may be sent twice fails.", []guard{
			one("workers learn of a target's health when it changes, not a second later", "xds TestGolden",
				"xds/cluster.go", " UpdateMergeWindow: durationpb.New(0),", ""),
			one("a relay says whether the request had been sent", "xds TestGolden", "xds/tunnel.go",
				"Flags: []string{\"UC\", \"UR\"}", "Flags: []string{\"UC\"}"),
		}},
		{245, "long lists", "A peer asks for 10,000 other names, again and again: the loop is held up no longer than by " +
			"any message.", []guard{
			one("the difference of two lists is looked at in slices", "bgp/speaker TestLongListsHoldNobodyUp",
				"bgp/rib/walk.go", "t.carryOut(p, min(budget, askedSlice))", "t.carryOut(p, 1<<20) - 1<<30"),
		}},
		{246, "memory after a flood", "A neighbour announces very many services and goes: the process gives the memory back.",
			[]guard{
				one("when the node is quiet, and not before", "cmd/internal/release TestWhenItIsDue",
					"cmd/internal/release/release.go", "return quiet && u.resident", "return (quiet || true) && u.resident"),
			}},
	}
}
