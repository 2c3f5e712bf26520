package scenarios

// proposals is what happens between organisations that find each other by the web.
func proposals() []scenario {
	const (
		discoveryFile = "auth/federation/discovery.go"
		foreignFile   = "auth/service/foreign.go"
	)
	return []scenario{
		{403, "found by the web", "An organisation says on its own web server how its bundle is read; another's operator " +
			"looks it up, and others answer in its place.", []guard{
			one("it is a proposal, and nothing without a yes", "e2e TestDiscoveryIsAProposal", "cmd/internal/cli/peers/proposal.go",
				"if ok, err := a.confirm(\"Keep this?\"); err != nil || !ok {",
				"if ok, err := a.confirm(\"Keep this?\"); (err != nil || !ok) && false {"),
			one("a document speaks for the name that was asked", "auth/federation TestWhatIsNoProposal", discoveryFile,
				"\tif said[0] != string(org) {", "\tif said[0] != string(org) && false {"),
			one("and is given under no other", "auth/federation TestWhoseDocumentIsServed", discoveryFile,
				"if host != string(org) || r.URL.RawQuery != \"\" {", "if host != string(org) && false {"),
		}},
		{404, "a token across the border", "A user shows another organisation's identity service his own organisation's " +
			"token, for one that its services believe; and tries for more than that.", []guard{
			one("of those who are named", "auth/server TestWhatIsNotExchanged", foreignFile,
				"!slices.Contains(f.Subjects, old.Subject) {", "false {"),
			one("it is a user of his organisation, whatever he is at home", "auth/server "+
				"TestATokenOfAnotherOrganisationIsExchanged", foreignFile, "Principal: token.User,", "Principal: old.Principal,"),
			one("the identity service knows no caller by it", "auth/server TestWhatIsNotExchanged", foreignFile,
				"if c.Organisation != \"\" {", "if c.Organisation != \"\" && false {"),
			one("it ends with the peering", "e2e TestATokenIsExchangedAcrossTheBorder", "cmd/internal/tokens/tokens.go",
				"err = t.over(c.Organisation)", "_ = t.over(c.Organisation)"),
		}},
		{405, "TLS that no border opens", "A client speaks TLS with a workload of a third organisation by its server " +
			"name; names lead nowhere, and the border in between takes the right away.", []guard{
			one("the server name chooses the service, of those over TCP", "e2e TestTLSPassesBordersUnopened",
				"xds/servername.go", "clusterBy(tcpPrefix + serverName)", "clusterBy(httpPrefix + serverName)"),
			one("what is no TLS is closed", "xds TestGolden", "xds/servername.go",
				"FilterChainMatch: &listener.FilterChainMatch{TransportProtocol: \"tls\"}, Filters: filters,",
				"Filters: filters,"),
		}},
		{406, "an older peer and a pattern", "A border that tells others of `*.eu.acme.example` has a peer of a version " +
			"that takes it for a name.", []guard{
			one("it is told of each service by name", "bgp/rib TestAPeerThatDoesNotKnowPatterns", "bgp/rib/aggregate.go",
				"p.cfg.External && !p.cfg.NoPatterns {", "p.cfg.External {"),
			one("and of no other's pattern", "bgp/rib TestAPeerThatDoesNotKnowPatterns", "bgp/rib/output.go",
				"p.cfg.NoPatterns && t.name(x.svc).IsWildcard(),", "false,"),
		}},
		{407, "asked for a name below a pattern", "An application looks up a name that a partner tells of in one with " +
			"others.", []guard{
			one("it is answered like a service's, by the closest pattern", "cmd/internal/nameserver TestNamesBelowAPattern",
				"cmd/internal/nameserver/zones.go", "n, exists = z.below(base, zone)", "_, _ = z.below(base, zone)"),
			one("policies hide no pattern", "cmd/internal/nameserver TestPatternsAreFollowed",
				"cmd/internal/nameserver/nameserver.go", "hidden && !svc.IsWildcard() {", "hidden {"),
			one("and a program that looks it up reaches the service", "e2e TestNamesBelowAPattern",
				"cmd/internal/nameserver/zones.go", `z.names["*."+above]; there {`, `z.names["*."+above]; there && false {`),
		}},
		{450, "a list that is dear to look at", "An organisation attests one name in a hundred thousand entries, each of " +
			"which whoever takes its list would look at for every route of that name.", []guard{
			one("of one name there are few", "bgp/attest TestEntriesOfOneNameAreFew", "bgp/attest/index.go",
				"if alike >= maxAlike {", "if alike >= maxAlike && false {"),
			one("those of others are none of it, wherever they stand", "bgp/attest TestIndexFindsWhatCovers",
				"bgp/attest/index.go", "k == key && w == wild && !yield(", "(k == key || true) && w == wild && !yield("),
		}},
	}
}
