package scenarios

// acrossTheBorder is what happens to calls and trust between organisations, at real nodes and Envoys.
func acrossTheBorder() []scenario {
	const (
		applyFile  = "cmd/internal/api/applypeering.go"
		borderFile = "xds/border.go"
		ledgerFile = "cmd/internal/ledger/ledger.go"
		tokensFile = "cmd/internal/tokens/tokens.go"
	)
	return []scenario{
		{317, "a caller that lies", "A node of another organisation calls as somebody else: it sends the headers by which " +
			"workloads know who calls, twice, and paths of its own making.", []guard{
			one("what it says of the caller is removed", "e2e TestTheBorderSaysWhoCalls", borderFile,
				"for _, name in ipairs({%s}) do headers:remove(name) end\n  local id",
				"for _, name in ipairs({%s}) do _ = name end\n  local id"),
			one("its organisation is that of its certificate", "e2e TestTheBorderSaysWhoCalls", "xds/listener.go",
				"guardFilter(), c.comingIn()}", "guardFilter()}"),
			one("nodes behind its border are not named", "e2e TestTheBorderSaysWhoCalls", borderFile,
				"slices.ContainsFunc(tiers, func(tier []Target) bool { return slices.ContainsFunc(tier, abroad) })",
				"slices.ContainsFunc(tiers, func(tier []Target) bool { return slices.ContainsFunc(tier, abroad) && false })"),
			one("a request crosses so many nodes and no more", "e2e TestTheBorderSaysWhoCalls", "xds/listener.go",
				"append(guards, c.hopLimit())", "guards"),
		}},
		{318, "transit by name", "A peering names another organisation's service: that one is carried and taken, and no " +
			"other.", []guard{
			one("what is not below this organisation is carried by a term of its own", "cmd/internal/api "+
				"TestTermsOfAPeeringAsRules", "cmd/internal/api/trust.go", "yes := true", "yes := false"),
			one("a neighbour announces its own names, and those that are named", "cmd/internal/api "+
				"TestTermsOfAPeeringAsRules", "cmd/internal/api/trust.go", "all := append([]string{\"*.\" + string(org)}, take...)",
				"all := []string{\"*\"}"),
		}},
		{319, "tokens after the end", "A peering ends: its users' tokens are valid still, one of them holds a stream " +
			"open, and the node is started again.", []guard{
			one("an issuer is believed while the peering says so", "e2e TestTokensEndWithThePeering", tokensFile,
				"if t.honours(name, \"\") != nil {", "if false {"),
			one("for the services that it names", "e2e TestTokensEndWithThePeering", tokensFile,
				"err = t.honours(c.Issuer, s.Service)", "err = t.honours(c.Issuer, \"\")"),
			one("who holds a request by a token is told of the end", "e2e TestTokensEndWithThePeering", tokensFile,
				"peerings = t.cfg.Peerings.Changed()", "peerings = nil"),
			one("the end outlives the process", "auth/federation TestWhoseTokensAreHonoured", "auth/federation/book.go",
				"\t\t\tb.ended[e.Org] = e\n", ""),
		}},
		{320, "who uses it", "Two organisations use what is exported; the exporting node is killed while they do, and a " +
			"service is to be withdrawn.", []guard{
			one("what was seen of Envoy's counters is kept with what was made of it", "cmd/internal/ledger "+
				"TestNothingIsCountedTwice", ledgerFile, "l.seen[key{x.Node, x.Service}] = x.Calls", "_ = x"),
			one("another Envoy's counters begin at 0", "cmd/internal/ledger TestNothingIsCountedTwice", ledgerFile,
				"if process != l.process {", "if false {"),
			one("calls over the border are counted by node", "e2e TestTheLedgerIsWhatTheyDid", borderFile,
				"dynamicMetadata():set(\"%s\", \"%s\", node)", "dynamicMetadata():set(\"%s\", \"no-%s\", node)"),
			one("it holds so many lines", "cmd/internal/ledger TestItDoesNotGrow", ledgerFile,
				"if len(l.lines) >= MaxLines {", "if false {"),
		}},
		{321, "a refused handshake", "One side shows a certificate that the other does not believe: both read which, by " +
			"what and why.", []guard{
			one("who refuses tells the other", "cmd/internal/trust TestARefusedHandshakeIsOneStory",
				"auth/federation/exchange.go", "problem{m.Kind, m.Text, m.Handshake}", "problem{m.Kind, m.Text, nil}"),
			one("a neighbour tells of its own refusals alone", "auth/federation TestWhatIsToldOfHandshakes",
				"auth/federation/handshake.go", "h.By != neighbour || h.Of != self || h.check() != nil", "h.check() != nil"),
		}},
		{322, "peerings in files", "Both sides stand in files: they are applied twice, exported and applied, and one is " +
			"taken out.", []guard{
			one("an older bundle in a file takes nothing back", "e2e TestPeeringsFromFiles", applyFile,
				"g.bundle.Sequence <= held {", "false {"),
			one("a peering's peers are its own", "e2e TestPeeringsFromFiles", "cmd/internal/api/apply.go",
				"&& p.Label == in.Label && !apart[p.Node] {", "&& p.Label == in.Label {"),
		}},
		{323, "paths through other organisations", "Two organisations carry the calls of a third: the one in use is " +
			"drained, is restarted, and dies with its Envoy.", []guard{
			one("what a peering names is let in under its name", "e2e TestPathsThroughOtherOrganisations",
				"cmd/internal/api/trust.go", "slices.Sort(all)\n\treturn slices.Compact(all)", "slices.Sort(all)\n\treturn nil"),
		}},
		{324, "a forged certificate", "Somebody with a CA of the same name shows a certificate of a partner's node.", []guard{
			one("a certificate is judged by the roots that are held of its organisation",
				"e2e TestAnotherOrganisationsCertificate", "xds/listener.go", "ValidationContextType: &tls."+
					"CommonTlsContext_ValidationContextSdsSecretConfig{ValidationContextSdsSecretConfig: sds(secretTrust)},", ""),
		}},
	}
}
