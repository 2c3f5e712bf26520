package scenarios

// webScenarios are about the looking glass.
func webScenarios() []scenario {
	const file = "graphql/operator/web/web.go"
	return []scenario{
		{356, "page without token", "Somebody on the machine opens the looking glass without its token: " +
			"nothing of the node is told.", []guard{
			one("the operator API behind the page wants the token", "graphql/operator/web TestWhoIsAnswered", file,
				"[]byte(r.Header.Get(\"Authorization\")), want) != 1", "[]byte(r.Header.Get(\"Authorization\")), want) > 1"),
		}},
		{357, "rebound name", "A page of somebody else points its own name at the looking glass " +
			"(DNS rebinding): it is refused.", []guard{
			one("the page answers under its own names alone", "graphql/operator/web TestWhoIsAnswered", file,
				"if !slices.Contains(hosts, host) {", "if !slices.Contains(hosts, host) && false {"),
		}},
		{358, "flood of calls", "A hundred thousand good calls follow one that was denied: " +
			"memory stays bounded, and the denied one is found.", []guard{
			one("good calls have memory of their own", "cmd/internal/tap TestMemoryIsBoundedAndFailuresStay",
				"cmd/internal/tap/tap.go", "if c.Outcome == OK {", "if c.Outcome == OK || true {"),
			one("the oldest go when there is no room", "cmd/internal/tap TestMemoryIsBoundedAndFailuresStay",
				"cmd/internal/tap/ring.go", "r.bytes > r.most && r.head", "r.bytes > 4*r.most && r.head"),
		}},
		{359, "slow reader of calls", "Somebody watches calls and reads nothing: " +
			"calls, Envoys and other watchers do not wait.",
			[]guard{one("what does not fit is counted", "cmd/internal/tap TestASlowWatcherMissesSome",
				"cmd/internal/tap/tap.go",
				"\t\tw.missed++\n", "")}},
		{470, "calls over a border", "An organisation asks for what a node remembers of calls, " +
			"and that node's operator has not agreed: it hears nothing.", []guard{
			one("another organisation is answered where tap.join names it",
				"cmd/internal/trace TestHalvesAreJoinedWithConsentAlone", "cmd/internal/trace/call.go",
				"&& !t.src.Joins(asker.Org) {", "&& !t.src.Joins(asker.Org) && false {"),
			one("another organisation is asked where tap.join names it",
				"cmd/internal/trace TestHalvesAreJoinedWithConsentAlone", "cmd/internal/trace/call.go",
				"case node.Org != self.Org && !t.src.Joins(node.Org):", "case false:"),
		}},
		{471, "somebody else's call", "A neighbour guesses the id of a call, or gives its own call that id: " +
			"it hears of what it carried alone.", []guard{
			one("a peer is told of calls that it sent or was sent", "cmd/internal/trace TestCallsOfOthersAreNotTold",
				"cmd/internal/trace/call.go", "case s.From == asker:", "case true:"),
		}},
		{472, "secrets in the audit", "An operator redeems an invitation: the audit of the node says so, " +
			"without the secret.", []guard{
			one("arguments that are not known to be harmless are left out", "graphql/operator TestOrdersAreTold",
				"graphql/operator/order.go", "for _, name := range arguments {", "for name := range o.given {"),
		}},
		{473, "flood of refusals", "Somebody is refused again and again: " +
			"the disk does not fill, and how often it was is known.",
			[]guard{
				one("refusals are written down so often and no more", "cmd/internal/audit TestRefusalsAreBounded",
					"cmd/internal/audit/audit.go", "&& !l.refusals.Allow()", "&& !l.refusals.Allow() && false"),
				one("what is left out is counted", "cmd/internal/audit TestRefusalsAreBounded", "cmd/internal/audit/audit.go",
					"\t\tl.leftOut++\n", ""),
				one("the file is moved when it is full", "cmd/internal/audit TestFilesAreBounded", "cmd/internal/audit/audit.go",
					"if l.size > fileBytes {", "if l.size > 100*fileBytes {"),
			}},
		{474, "silent collector", "A node ends while whoever takes its traces, metrics and logs answers nothing: " +
			"it ends within seconds.", []guard{
			one("what is left to send has its time", "cmd/internal/telemetry TestACollectorThatIsSilentHoldsNobodyUp",
				"cmd/internal/telemetry/telemetry.go", "context.WithTimeout(ctx, lastWords)",
				"context.WithTimeout(ctx, 8*lastWords)"),
		}},
	}
}
