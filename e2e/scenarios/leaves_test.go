package scenarios

// leaves is what becomes of connections whose certificates end.
func leaves() []scenario {
	const proofFile = "bgp/peering/proof.go"
	return []scenario{
		{380, "leaves end", "Certificates live for 60 s, and sessions and connections for longer.", []guard{
			one("a session is proved in time", "bgp/peering TestSessionsLiveOnShortLeaves", proofFile,
				"share < left {", "share < left && false {"),
			one("or ends", "bgp/peering TestSessionsLiveOnShortLeaves", proofFile, "			r.lapse(ctx, c)\n", ""),
			one("by its other side alone", "bgp/peering TestWhoProvesASession", proofFile, "if c.remote == node && ", "if "),
			one("which knows which session", "bgp/peering TestWhoProvesASession", proofFile,
				"subtle.ConstantTimeCompare(c.name, name) == 1", "subtle.ConstantTimeCompare(c.name, name) >= 0"),
			one("with a certificate that is not refused", "bgp/peering TestWhoProvesASession", proofFile,
				"		if err := r.refuse(chain[0]); err != nil {\n", "		if err := r.refuse(chain[0]); err != nil && false {\n"),
			one("whoever calls leaves old connections", "xds/ads TestACallerLeavesOldConnections", clusterFile,
				"		options.CommonHttpProtocolOptions.MaxConnectionDuration = durationpb.New(d)\n", ""),
			one("they are as young as certificates want", "xds TestConnectionsAreAsYoungAsLeavesWant", "xds/limits.go",
				"		l.MeshConnection = half\n", ""),
		}},
		{381, "a certificate is revoked, and its node is not", "A node's key was copied and its certificate is revoked by " +
			"number: the node hears of it, or its feed is not taken any more.", []guard{
			one("it gets another when it hears", "auth/server TestANodeComesBackFromARevokedCertificate",
				"auth/member/member.go", "			watch.Go(func() { m.untilRevoked(due, stop) })\n", ""),
			one("or when it is told at its renewal", "auth/server TestANodeComesBackFromARevokedCertificate",
				"auth/member/member.go", "ok || !no.Unknown {", "ok || no != nil {"),
			one("the number counts however it is written", "auth/server TestANodeComesBackFromARevokedCertificate",
				"auth/service/mint.go", "		value = serial\n", "		_ = serial\n"),
		}},
	}
}
