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
	}
}
