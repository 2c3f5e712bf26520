package scenarios

// askedWhy is what operators of neighbouring organisations can find out of each other's decisions.
func askedWhy() []scenario {
	const (
		listFile   = "bgp/rib/peerroutes.go"
		whyFile    = "bgp/speaker/why.go"
		hopFile    = "bgp/attest/hop.go"
		hopsFile   = "bgp/speaker/hops.go"
		pathTest   = "bgp/sim TestPathsAreSigned"
		pathLies   = "bgp/sim TestPathsThatLie"
		pathSplice = "bgp/sim TestNoSpliceIsTaken"
		pinTest    = "bgp/rib TestNamesArePinned"
		askTest    = "bgp/sim TestPeersAreAskedWhy"
		tableTest  = "bgp/rib TestRoutesOfAPeerAreListed"
	)
	return []scenario{
		{291, "why is it not used?", "A partner's routes are rejected for many reasons, some before they are " +
			"entered.", []guard{
			one("the list begins with what the rules saw", tableTest, "bgp/rib/try.go",
				"\ta, _, ok := t.corrected(p, set, t.corrects(p, set))\n\tif !ok {",
				"\ta, _, ok := t.corrected(p, set, 0)\n\tif !ok {"),
			one("what a limit left out is named", tableTest, inputFile, "\t\tp.noteLeftOut(n, RejectLimit)\n", ""),
			one("and no more than a bound of it", tableTest, listFile, "!known && len(p.leftOut) >= maxLeftOut",
				"!known && false"),
		}},
		{292, "a partner asks why", "A partner asks why it is not told of a name, and why its own is not " +
			"taken; another asks without end, or without the operator's consent.", []guard{
			one("who does not explain himself says the same of every name", askTest, whyFile,
				"\tcase !s.explains(p):\n", "\tcase false:\n"),
			one("nor is he asked", askTest, sessionFile, "ask && !p.caps.Why {", "ask && false {"),
			one("answers have a budget", "bgp/sim TestQuestionsAreLimited", whyFile, "case !p.budget.free(now):",
				"case !p.budget.free(now) && false:"),
		}},
		{293, "signed paths", "A route goes over three organisations to one that asks for signed paths: lists and " +
			"keys change, time passes, a border restarts.", []guard{
			one("what is not signed is not used", pathTest, inputFile,
				"p.cfg.PathAttested && sum.Orgs > 1 && !t.pathSigned(b):", "false && !t.pathSigned(b):"),
			one("nor called, through the Envoys of three organisations", "e2e TestAServiceIsCarriedByASignedPath", inputFile,
				"p.cfg.PathAttested && sum.Orgs > 1 && !t.pathSigned(b):", "false && !t.pathSigned(b):"),
			one("a signature is for the list that counts", pathLies, hopFile, "h.active && h.digest == p.Set", "h.active"),
			one("one signature is enough for all names", pathTest, hopsFile,
				"if p.hops[string(key)] != nil || len(p.hops) >= maxHops {", "if len(p.hops) >= maxHops {"),
			one("hops are signed again in time", pathTest, hopsFile, "\ts.renewAt = time.Time{}\n\ts.hopsChanged()",
				"\ts.renewAt = time.Time{}"),
			one("a path over which nothing goes is not", pathTest, hopsFile, "return !told[path]",
				"return false && !told[path]"),
			one("another border of the organisation can add its hop", pathTest, hopsFile,
				"if o != p && !s.external(o) &&", "if false && o != p &&"),
			one("a key that is not trusted any more signs nothing", pathTest, hopFile, "delete(s.paths.by, key)\n\t\t\t\tany",
				"_ = key\n\t\t\t\tany"),
		}},
		{294, "paths that lie", "A neighbour shortens a path, leaves an organisation out, forges and splices hops, " +
			"shows those that were signed for another, or that are over.", []guard{
			one("hops are in a row", pathSplice, hopFile, "case h.Before != p.Last:", "case false:"),
			one("each is signed by whom the one before tells", pathSplice, hopFile, "case h.From != p.Orgs[0]:",
				"case false:"),
			one("the last tells the receiver", pathLies, hopFile, "to != reader {", "to == \"\" {"),
			one("signatures are verified", pathLies, hopFile, "if !key.signed(hopContext, body, sig) {",
				"if !key.signed(hopContext, body, sig) && false {"),
			one("a hop that is over does not count", pathLies, hopFile, "case !now.Before(h.Until):", "case false:"),
		}},
		{295, "a name arrives by the wrong neighbour", "A name is pinned to a neighbour, by its origin or by who takes " +
			"it, and another tells of it.", []guard{
			one("who takes it says through whom", pinTest, inputFile, "case p.cfg.External && t.pinnedAway(p, svc):",
				"case false:"),
			one("the closest pattern decides", pinTest, "bgp/rib/pins.go",
				"for key := string(svc); ; {", "for key := string(svc[strings.IndexByte(string(svc), '.'):]); ; {"),
			one("routes that are held are judged again", pinTest, "bgp/rib/pins.go", "\tt.Revalidate()\n", ""),
			one("its origin says whom it tells", "bgp/attest TestNeighboursAreThoseThatTheOriginTells",
				"bgp/attest/set.go", "case len(e.Neighbours) > 0 &&", "case false &&"),
		}},
	}
}
