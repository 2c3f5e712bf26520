package scenarios

// askedWhy is what operators of neighbouring organisations can find out of each other's decisions.
func askedWhy() []scenario {
	const (
		listFile  = "bgp/rib/peerroutes.go"
		whyFile   = "bgp/speaker/why.go"
		askTest   = "bgp/sim TestPeersAreAskedWhy"
		tableTest = "bgp/rib TestRoutesOfAPeerAreListed"
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
	}
}
