package scenarios

// betweenOrganisations is what organisations that peer may do to each other, and what stops it.
func betweenOrganisations() []scenario {
	const (
		attestFile   = "bgp/attest/store.go"
		askFile      = "bgp/speaker/attest.go"
		attestedFile = "bgp/rib/attested.go"
		explainFile  = "bgp/rib/explain.go"
		filterFile   = "bgp/filter/explain.go"
	)
	return []scenario{
		{306, "two organisations", "Two organisations tell each other of a service: what is meant for the inside stays " +
			"there.", []guard{
			one("nodes behind the border are not told of", "bgp/sim TestScenarios/orgs-basic", outputFile,
				"a.NodePath = a.NodePath[inside:]; len", "inside >= 0; len"),
			one("nor is local preference", "bgp/sim TestScenarios/orgs-basic", outputFile,
				"\t\ta.LocalPref = 0\n\t\t// Nobody", "\t\t// Nobody"),
		}},
		{307, "transit by accident", "An organisation with two partners takes and tells all that it has.", []guard{
			one("a route goes on to a third only by a term that says so", "bgp/sim TestScenarios/orgs-transit", outputFile,
				"!v.Accepted || t.needsTransit(p, b) && !v.Transit", "!v.Accepted"),
			one("and the reason is named", "bgp/sim TestScenarios/orgs-transit", explainFile,
				"case v.Accepted && !v.Transit && t.needsTransit(p, b):", "case false:"),
			one("a partner's MED goes no further", "bgp/sim TestScenarios/orgs-med", outputFile,
				"\t\t\ta.MED = 0 // another", "\t\t\t_ = 0 // another"),
		}},
		{308, "a ring of organisations", "Four organisations in a ring carry each other's routes: none comes back, and a " +
			"withdrawal leaves nothing.", []guard{
			one("a route is not told to an organisation on its path", "bgp/sim TestScenarios/orgs-ring", outputFile,
				"p.cfg.External && (attr.EntersOrg(b, p.cfg.Node.Org) || t.onlyDown(p, s))", "p.cfg.External && t.onlyDown(p, s)"),
		}},
		{309, "no rules", "A peering has no rules at one end or both: the operators of both read it.", []guard{
			one("without an export rule nothing is told", "bgp/sim TestScenarios/orgs-default-deny", outputFile,
				"(s.Has(attr.HasNoExport) || p.cfg.Export == nil)", "s.Has(attr.HasNoExport)"),
			one("the other side is told that there are none", "bgp/sim TestScenarios/orgs-default-deny", sessionFile,
				"\ts.sayRules(p)\n", ""),
			one("and when that changes", "bgp/sim TestScenarios/orgs-default-deny", peersFile, "\t\t\ts.sayRules(p)\n", ""),
		}},
		{310, "roles", "Each pair of roles; routes that would leak from one provider or peer to another, through a node " +
			"that keeps to its role and one that does not.", []guard{
			one("what a lateral peer is told is marked", "bgp/sim TestRoutesDoNotLeak", outputFile,
				"|| p.cfg.Role == bgp.RolePeer // RFC", "// RFC"),
			one("a marked route of a customer is a leak", "bgp/sim TestRoutesDoNotLeak", inputFile,
				"\tcase bgp.RoleCustomer:\n\t\treturn true\n", ""),
			one("roles that do not fit refuse each other", "bgp/sim TestRolesThatMeet", fsmFile,
				"case !rolesFit(s.cfg.Open.Role, o.Role):", "case false:"),
			one("what was received is shown beside what was made of it", "bgp/sim TestWhatWasReceivedIsShown",
				"bgp/rib/cursor.go", "set := t.paths[i].raw\n", "set := t.paths[i].attrs\n"),
		}},
		{311, "others' names", "A peer announces names of a third organisation, or communities that are others' to set.",
			[]guard{
				one("it may announce its own names, unless more are listed", "bgp/sim TestScenarios/orgs-names", inputFile,
					"case p.cfg.External && !p.mayAnnounce(svc):", "case false:"),
				one("communities that it cannot have got are dropped", "bgp/sim TestScenarios/orgs-names", inputFile,
					"changed = t.dropForeign(&a) || changed", "changed = true"),
				one("and none of another organisation is set here", "bgp/filter TestCommunitiesBelongToSomebody", filterFile,
					"if c.Org == \"\" || c.Org == org {", "if c.Org != \"\" || c.Org == org {"),
			}},
		{312, "several borders", "Two borders to one partner: preference, MED, and the second when the first dies.", []guard{
			one("a border's preference counts as far as it may", "bgp/sim TestScenarios/orgs-borders", inputFile,
				"if p.id != Local && s.LocalPref >", "if false && p.id != Local && s.LocalPref >"),
		}},
		{313, "rules edited between organisations", "Rules change at either end of a peering: exactly the difference is " +
			"sent.",
			[]guard{
				one("other names are judged again", "bgp/sim TestScenarios/orgs-names", tableFile,
					"!slices.Equal(old.Namespaces, cfg.Namespaces)", "false"),
				one("the path as a whole can be asked for", "bgp/sim TestScenarios/orgs-rules-live", "bgp/filter/path.go",
					"mark++", "return false"),
			}},
		{314, "origins", "An organisation signs what it offers; the list changes, its key rotates, it ends, a node has the " +
			"key late.", []guard{
			one("what is not on the list is never used", "bgp/sim TestOriginsAreAttested", inputFile,
				"case state == bgp.OriginInvalid:", "case false:"),
			one("what is not attested is not taken where that is asked for", "bgp/sim TestOriginsAreAttested", inputFile,
				"p.cfg.External && p.cfg.Attested:", "false:"),
			one("carriers are those that the origin lets", "bgp/sim TestOriginsAreAttested", attestedFile,
				"if sum.Orgs > 1 {", "if sum.Orgs > 99 {"),
			one("a list ends", "bgp/sim TestOriginsAreAttested", askFile, "if len(store.Expire(now)) > 0 {", "if false {"),
			one("who has the key late asks again", "bgp/sim TestOriginsAreAttested", askFile,
				"s.emit(Send{p.session.id, &bgp.Refresh{}})", "_ = p"),
		}},
		{315, "sets that lie", "A neighbour replays an older set, forges one, sends garbage, or many.", []guard{
			one("an older serial never counts again", "bgp/sim TestSetsThatLie", attestFile,
				"case h.manifest != nil && m.serial <= h.manifest.serial:\n\t\treturn nil",
				"case false:\n\t\treturn nil"),
			one("the signature is verified", "bgp/attest TestWhatIsRefused", "bgp/attest/sign.go",
				"if !k.signed(context, body, signature) {", "if k.signed(context, body, signature); false {"),
			one("chunks are those of the manifest", "bgp/attest TestWhatIsRefused", attestFile, "\tif i < 0 {\n",
				"\tif false {\n"),
			one("signatures to verify have a budget", "bgp/sim TestSetsThatLie", askFile, "if !p.budget.free(now) {",
				"if false {"),
		}},
		{316, "a peer that lies", "A neighbour announces others' names, paths that leave somebody out, leaks, hubs' marks, " +
			"attributes and names without end.", []guard{
			one("a path begins with who tells of it", "bgp/sim TestAPeerThatLies", inputFile,
				"attr.FirstHop(b) != p.short:", "attr.FirstHop(b) == \"\":"),
			one("a name is announced by its own organisation", "bgp/sim TestAPeerThatLies", inputFile,
				"case !originates(t.sums[set].Origin(t.attrs.bytes(set)), svc):", "case false:"),
		}},
	}
}
