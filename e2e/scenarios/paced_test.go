package scenarios

// paced are what an Envoy with very many services is told, and how a node beside it starts.
func paced() []scenario {
	const paceFile = "xds/ads/pace.go"
	return []scenario{
		{362, "more services than Envoy takes in at once", "An Envoy is started anew beside 200,000 services, or " +
			"services change faster than it takes changes in.", []guard{
			one("responses grow with the table", "xds/ads TestResponsesGrowWithTheTable", paceFile,
				"max(leastBatch, st.scopes()/batchShare)", "leastBatch"),
			one("an Envoy that is at work is not told more", "xds/ads TestAnEnvoyIsToldAtItsOwnPace", paceFile,
				"if work < mostWork {", "if work >= 0 {"),
			one("one with few services is told each change at once", "xds/ads TestAnEnvoyWithFewServicesIsToldAtOnce",
				paceFile, "if work < mostWork {", "if work == 0 {"),
			one("one that does not answer is told in the end", "xds/ads TestAnEnvoyThatDoesNotAnswerIsTold", paceFile,
				"digestion - now.Sub(out.sent)", "digestion"),
			one("nothing is taken before what replaces it is sent", "xds/ads TestAnEnvoyThatDoesNotAnswerIsTold",
				"xds/ads/told.go", "resp == nil && later > 0 {", "resp == nil && later < 0 {"),
		}},
		{363, "a node and its Envoy are killed with 200,000 services", "The node reads what Envoy had, on the cores on " +
			"which Envoy starts.", []guard{
			one("what services share is read once", "xds/fib TestReadingCostsLittle", "xds/fib/format.go",
				"len(last) > 0 && bytes", "len(last) < 0 && bytes"),
			one("nothing is collected over and over meanwhile", "cmd/internal/cli/node TestANodeHurriesWhileItReads",
				"cmd/internal/cli/node/memory.go", "heap.KeepTight(heap.Starting)", "heap.KeepTight(m.slack)"),
			one("memory follows what is held once the tables are complete", "cmd/internal/cli/node TestANodeHurriesWhileItReads",
				"cmd/internal/cli/node/memory.go", "\t\t\tm.pace.Leave(m.slack)\n", ""),
		}},
	}
}
