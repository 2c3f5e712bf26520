package scenarios

// rights are what becomes of calls as policies change.
func rights() []scenario {
	const extprocFile = "policy/extproc/extproc.go"
	const open = "xds/ads TestOpenStreamsEndWithTheirRight"
	return []scenario{
		{279, "a connection outlives its right", "The policies, or the groups that they name, change while connections and " +
			"streams are open that would not be permitted any more.", []guard{
			one("it is decided anew when others are in force", open, extprocFile, "\t\tcase <-c.policies:\n", ""),
			one("an answer that lasts is watched", open, "xds/policy.go", "c.holdLong(), c.holdOpen()", "c.holdOpen()"),
			one("so is what lasts before it is answered", open, "xds/policy.go", "c.holdLong(), c.holdOpen()",
				"c.holdLong()"),
			one("a short call costs nothing", open, "xds/hold.go", "opened, p, brief)",
				"opened, p, []*predicate{brief}[:0]...)"),
			one("and no watched call is late", "xds/ads TestWatchedCallsAreNotLate", extprocFile,
				"if err := stream.Send(lasting.GoOn(m, extauthz.HoldHeader)); err != nil {", "if err := error(nil); m == nil {"),
		}},
		{280, "an administrator of one node", "A token of an ADMIN that is good for single nodes is shown to the identity " +
			"service, to mint one that is good for all.", []guard{
			one("the policies decide there as well", "auth/server TestRightsAtTheService", "auth/service/caller.go",
				"\tcase !d.Allow:", "\tcase !d.Allow && c.Principal != token.Admin:"),
		}},
		{281, "an order is refused", "Somebody may not do what he orders, and asks his operator why.", []guard{
			one("the refusal is kept under the id that it names", "cmd/internal/judge TestRefusedOrdersAreExplained",
				"policy/record.go", "\tif r.Order != nil {\n\t\treturn r.Order.Request()\n\t}\n", ""),
		}},
		{282, "a route that policy forbids", "A peer announces what the policies forbid it, or would be told what they " +
			"keep from it; the policies change while sessions are up.", []guard{
			one("what rules accept the policies are asked about", "cmd/internal/judge TestPoliciesDecideOnRoutes",
				"bgp/filter/guard.go", "if why := c.guard.Refuses(svc, a); why != \"\" {",
				"if why := c.guard.Refuses(svc, a); false {"),
			one("another set is another chain", "bgp/filter TestAGuardMakesAnotherChain", "bgp/filter/filter.go",
				"return c.guard == d.guard && c.Default", "return c.Default"),
			one("a recording has the policies in it", "cmd/internal/judge TestGuardsAreReplayed",
				"cmd/internal/judge/routes.go", "\t\t\tsnap = made\n", "\t\t\t_ = made\n"),
		}},
	}
}
