package scenarios

// held is what becomes of tokens and certificates after they were shown, wherever they were.
func held() []scenario {
	const (
		extauthzFile = "policy/extauthz/extauthz.go"
		extprocFile  = "policy/extproc/extproc.go"
		policyXDS    = "xds/policy.go"
	)
	return []scenario{
		{263, "a stream outlives its token", "A token is revoked, or expires, while an answer to its request goes on.",
			[]guard{
				one("the request ends, by Envoy", "xds/ads TestOpenStreamEndsWithItsToken", policyXDS,
					"\t\tm.HttpFilters = append(m.HttpFilters, c.holdTokens())\n", ""),
				one("the token is looked at when something is revoked", "xds/ads TestOpenStreamEndsWithItsToken", extprocFile,
					"\t\tcase <-changed:\n", ""),
				one("and a restart of the node ends no request", "xds/ads TestOpenStreamEndsWithItsToken", "xds/hold.go",
					"FailureModeAllow: true", "FailureModeAllow: false"),
			}},
		{264, "a token on its way", "A call with a token crosses nodes in the middle.", []guard{
			one("the last node's policies have its claims", "xds/ads TestTokensOverTransit", extauthzFile,
				"r.keep || r.transit &&", "r.keep || false &&"),
			one("one that is bound to the certificate of the first connection stays there",
				"policy/extauthz TestTokensAtAWorkloadAndOnTheWay", extauthzFile, ` && bearer.Claims[BoundClaim] == ""`, ""),
		}},
	}
}
