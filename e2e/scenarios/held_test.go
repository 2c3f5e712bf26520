package scenarios

// held is what becomes of tokens and certificates after they were shown, wherever they were.
func held() []scenario {
	const (
		extauthzFile = "policy/extauthz/extauthz.go"
		extprocFile  = "policy/extproc/extproc.go"
		policyXDS    = "xds/policy.go"
		tokensFile   = "cmd/internal/tokens/tokens.go"
		remoteFile   = "cmd/internal/api/remote.go"
	)
	return []scenario{
		{263, "a stream outlives its token", "A token is revoked, or expires, while an answer to its request goes on.",
			[]guard{
				one("the request ends, by Envoy", "xds/ads TestOpenStreamEndsWithItsToken", policyXDS,
					"\t\tm.HttpFilters = append(m.HttpFilters, c.holdLong(), c.holdOpen())\n", ""),
				one("the token is looked at when something is revoked", "xds/ads TestOpenStreamEndsWithItsToken", extprocFile,
					"\t\tcase <-c.tokens:\n", ""),
				one("and a restart of the node ends no request", "xds/ads TestWatchedConnectionsOutliveARestart", "xds/hold.go",
					"FailureModeAllow: true", "FailureModeAllow: false"),
			}},
		{264, "a token on its way", "A call with a token crosses nodes in the middle.", []guard{
			one("the last node's policies have its claims", "xds/ads TestTokensOverTransit", extauthzFile,
				"r.keep || r.transit &&", "r.keep || false &&"),
			one("one that is bound to the certificate of the first connection stays there",
				"policy/extauthz TestTokensAtAWorkloadAndOnTheWay", extauthzFile, ` && bearer.Claims[BoundClaim] == ""`, ""),
		}},
		{265, "a token of another organisation", "An organisation believes another's tokens; names are the same in both.",
			[]guard{
				one("nobody there is taken for somebody here", "cmd/internal/tokens TestTokensOfAnotherOrganisation", tokensFile,
					`subject = string(org) + "/" + subject`, "subject = subject + \"\""),
				one("nor for an administrator", "cmd/internal/tokens TestTokensOfAnotherOrganisation", tokensFile,
					"\t\tf.Issuer().Principals = foreign\n", ""),
				one("who was not let in follows nothing", "auth/server TestWhoFollows", "auth/server/followers.go",
					"Roots: roots, Intermediates", "Roots: nil, Intermediates"),
			}},
		{266, "an order from elsewhere", "The operator API is used over the network.", []guard{
			one("what changes something wants a proof of a key", "cmd/internal/api TestOrdersFromElsewhere", remoteFile,
				"if err := c.CheckBound(); err != nil {", "if false {"),
			one("and revocations of now", "cmd/internal/api TestOrdersFromElsewhere", remoteFile,
				"return p.cfg.Tokens.CheckSensitive(c)", "return nil"),
		}},
		{267, "a token for somebody else is revoked", "A token for another audience is revoked by its text.", []guard{
			one("the service knows its own tokens, whomever they are meant for", "auth/server TestOAuth", mintFile,
				"old, err := s.issued.Inspect", "old, err := s.verifier.Inspect"),
		}},
	}
}
