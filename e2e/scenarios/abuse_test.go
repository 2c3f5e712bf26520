package scenarios

// abuse is what one node may try against the others of its organisation.
func abuse() []scenario {
	const (
		offerersFile = "bgp/rib/offerers.go"
		doorFile     = "bgp/peering/door.go"
		pendingFile  = "bgp/rib/pending.go"
		shrinkFile   = "bgp/rib/shrink.go"
		limitsFile   = "bgp/speaker/limits.go"
	)
	return []scenario{
		{116, "a name is taken over", "A node announces another's service with the highest local preference.", []guard{
			one("a node's own workload wins over learned paths", "bgp/rib TestNobodyTakesANameOver", decideFile,
				"x.peer != Local || t.yields[x.svc]", "true"),
			one("unless its operator says otherwise", "bgp/rib TestNobodyTakesANameOver", decideFile,
				"x.peer != Local || t.yields[x.svc]", "x.peer != Local"),
			one("local preference of a peer is capped", "bgp/rib TestNobodyTakesANameOver", inputFile,
				"if p.id != Local && s.LocalPref >", "if false && p.id != Local && s.LocalPref >"),
		}},
		{117, "a name has a second offerer", "A node begins to offer a name that was another's.", []guard{
			one("that is told of once", "bgp/rib TestANewOffererIsToldOf", offerersFile,
				"\t\tt.noteNewcomer(x.svc, origin, b.offerers[0].node)\n", ""),
			one("who was there from the start is no newcomer", "bgp/rib TestANewOffererIsToldOf", offerersFile,
				"t.books.learning && !b.kept", "false"),
			one("where names are held, it ranks after whoever was there before", "bgp/rib TestNamesAreHeld", decideFile,
				"\t\tt.standing(svc, list)\n", "\t\t_ = list\n"),
			one("and a restart does not change that", "bgp/rib TestNamesAreHeld", offerersFile, "\tb.kept = true\n", ""),
		}},
		{118, "path ids out of nowhere", "A peer numbers the paths of a service, and add-path was not asked for.", []guard{
			one("that is an error, and ends the session",
				"bgp/peering TestFloodsHoldNobodyUp/path_ids_that_were_not_asked_for", sessionFile,
				"p.cfg.AddPath < 2 && hasPathIDs(u)", "false"),
			one("and who was asked for some may not send more", "bgp/rib TestLimitsInBytesAndPaths", inputFile,
				"return n >= p.cfg.PathsIn", "return false"),
		}},
		{119, "too much of everything", "A peer sends routes that are large, or many.", []guard{
			one("the bytes of a route are limited", "bgp/rib TestLimitsInBytesAndPaths", inputFile,
				"large := p.cfg.MaxRouteBytes > 0 &&", "large := false && p.cfg.MaxRouteBytes > 0 &&"),
			one("and so are those of a peer", "bgp/rib TestLimitsInBytesAndPaths", inputFile,
				"if more > 0 && p.count.Bytes+more > most {", "if false {"),
			one("inside an organisation too, if nobody says anything", "bgp/peering TestFloodsHoldNobodyUp/large_routes",
				limitsFile,
				"cmp.Or(p.MaxRouteBytes, l.MaxRouteBytes)", "p.MaxRouteBytes"),
			one("what one node announces waits in a lane of its own", "bgp/rib TestAFloodHoldsNobodyUp", pendingFile,
				"*n < laneRoom {", "*n < 1<<15 {"),
			one("memory comes back", "bgp/rib TestMemoryGoesBackAfterAFlood", shrinkFile,
				"\tt.shrinkPaths()\n\tt.shrinkNames()\n", ""),
		}},
		{120, "one that always has something to say", "A peer sends without a pause.", []guard{
			one("streams take turns", "bgp/peering TestStreamsTakeTurns", "bgp/peering/inbox.go",
				"\t\tin.ready = append(in.ready, b)\n\t}\n\tin.n--",
				"\t\tin.ready = append([]*box{b}, in.ready...)\n\t}\n\tin.n--"),
			one("what it asks for has a budget", "bgp/speaker TestAsksHaveABudget", "bgp/speaker/budget.go",
				"return b.used < lookBurst", "return true"),
		}},
		{121, "nobody at the door", "Somebody opens connections to the peering port and says nothing.", []guard{
			one("one that has spoken is not turned out for them", "bgp/peering TestDoor", doorFile, "if !g.spoke {",
				"if true {"),
			one("and none of a source that has few", "bgp/peering TestDoor", doorFile, "if d.sources[g.from].here < most {",
				"if false {"),
			one("handshakes of a source that come to nothing are few", "bgp/peering TestHandshakesOfASource", doorFile,
				"return d.source(g.from).rate.AllowN(now, 1)", "return true"),
		}},
		{122, "given up", "An operator's command is given up while the node is busy.", []guard{
			one("what was given up is never done", "bgp/peering TestACallThatIsGivenUpIsNeverMade", peeringFile,
				"\tif !o.claimed.CompareAndSwap(false, true) {\n\t\treturn", "\tif o.claimed.Swap(true); false {\n\t\treturn"),
		}},
	}
}
