package scenarios

const drainFile = "cmd/internal/drain/drain.go"

// maintenance is what happens to traffic while a node is taken out.
func maintenance() []scenario {
	return []scenario{
		{256, "a long call while draining", "A node is drained while a call is under way that takes long: drain --wait " +
			"says so, waits for its end, and for what peers send late.", []guard{
			one("what comes back within the calm is waited for again", "cmd/internal/drain TestWaitUntilNothingIsUnderWay",
				drainFile, "\t\t\tquiet = time.Now()\n", "\t\t\t_ = quiet\n"),
			one("who waits longer than he may is told", "cmd/internal/drain TestWaitEnds", drainFile,
				"\t\tcase <-ctx.Done():\n\t\t\treturn ctx.Err()\n", "\t\tcase <-ctx.Done():\n\t\t\treturn nil\n"),
		}},
		{325, "a request is being tried again", "A next hop dies; while a request waits to be tried at another, the " +
			"cluster by which it was sent goes out of use.", []guard{
			one("an Envoy keeps a cluster that nothing names for a while", "xds/ads TestAClusterLingers",
				"xds/ads/lingering.go", "case linger == 0, waits && !at.After(now):", "default:"),
			one("as one that is told the state of the world does", "xds/ads TestAClusterLingersInTheWorld", "xds/ads/sotw.go",
				"\t\t\tst.lingerWhole(w.sent, set, tl.cfg.Linger)\n", ""),
		}},
	}
}
