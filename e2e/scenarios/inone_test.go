package scenarios

// inOne is what happens to services that another organisation is told of in one.
func inOne() []scenario {
	const (
		aggregateFile = "bgp/rib/aggregate.go"
		aggregateSim  = "bgp/sim TestScenarios/orgs-aggregate"
		aggregateTwin = "bgp/rib TestAggregatesAgreeWithTwin"
		aggregateE2E  = "e2e TestServicesToldOfInOne"
	)
	return []scenario{
		{400, "told of in one", "An organisation tells a partner of `*.eu.acme.example` in the place of each service " +
			"below; services come, change and go, rules change, sessions end and nodes restart.", []guard{
			one("it is there while there is one service, and goes with the last", aggregateSim, aggregateFile,
				"\t\tif len(a.members) == 0 && p.holds(a.svc) {", "\t\tif len(a.members) == 0 && p.holds(a.svc) && false {"),
			one("it comes with the first of them, in the same message", aggregateTwin, aggregateFile,
				"\t\tif is != was {", "\t\tif is != was && false {"),
			one("one that the rules name no more goes after what takes its place", aggregateTwin, "bgp/rib/output.go",
				"\tif !p.dirty.scanning {\n\t\tt.endAggregates(p)", "\tif true {\n\t\tt.endAggregates(p)"),
			one("rules that do not accept the pattern have each told of by name", aggregateTwin, aggregateFile,
				"\tif !v.Accepted {\n\t\treturn v.Term, none", "\tif false {\n\t\treturn v.Term, none"),
			one("a message holds no more than it may", "bgp/rib TestAggregatesFitIntoAMessage", "bgp/rib/output.go",
				"most = max(1, most-2*apart)", "most = max(1, most-0*apart)"),
		}},
		{401, "called by a pattern", "Calls go by the pattern, over a second organisation too: of services that are there, " +
			"that are not, and that are not for the caller.", []guard{
			one("a name that no service has is answered 404, in words", aggregateE2E, "cmd/internal/forwarding/admission.go",
				"\t\t\t\tmay[pattern] = true\n", "\t\t\t\t_ = pattern\n"),
			one("a pattern does not get round a pin", "bgp/rib TestAPatternDoesNotGetRoundAPin", "bgp/rib/pins.go",
				"if svc.IsWildcard() {", "if svc.IsWildcard() && false {"),
			one("policies decide on the name that is called", "policy/extauthz TestCalledByAPattern",
				"policy/extauthz/read.go", "if host := strings.ToLower(names[0]); strings.HasSuffix(host, below) {",
				"if host := strings.ToLower(names[0]); false && strings.HasSuffix(host, below) {"),
		}},
		{402, "a border dies with a request", "Two borders and a third organisation lead to a service: a workload falls " +
			"sick, a border is drained, and one dies with its Envoy while calls go on.", []guard{
			one("what may be sent twice is tried at another next hop", "xds TestGolden", "xds/retry.go",
				"again.GetRoute().GetRetryPolicy().RetryOn = unsent + \",reset\"",
				"again.GetRoute().GetRetryPolicy().RetryOn = unsent"),
		}},
	}
}
