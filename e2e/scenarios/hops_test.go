package scenarios

// hopScenarios are about next hops: who is left, and who is let go on.
func hopScenarios() []scenario {
	return []scenario{
		{236, "resets of one service", "A workload resets all its streams, again and again, or takes no connections. " +
			"The other services of its node are answered, and by it.", []guard{
			one("resets in a row count nothing", "xds/ads TestResetsOfAServiceEjectNoNextHop", clusterFile,
				"EnforcingConsecutiveLocalOriginFailure: never,",
				"ConsecutiveLocalOriginFailure: wrapperspb.UInt32(2),"),
			one("the only target is not left", "xds/ads TestADeadTCPWorkloadEjectsNoNextHop", clusterFile,
				"return len(tiers) > 1 || len(tiers) == 1 && len(tiers[0]) > 1", "return true"),
			one("a dead target is left all the same", "xds/ads TestADeadNextHopCostsNoCall", clusterFile,
				"EnforcingFailurePercentageLocalOrigin: wrapperspb.UInt32(100)",
				"EnforcingFailurePercentageLocalOrigin: never"),
			one("a request that did not reach it goes to the next tier", "xds/ads TestADeadNextHopCostsNoCall",
				"xds/compile.go", "retryNextTier(rc, parts[0])", "_ = parts"),
		}},
	}
}
