package scenarios

// onDemand is what may go wrong where Envoys have the services that are called through them (docs/on-demand.md).
func onDemand() []scenario {
	const (
		cold, room, file = "xds/cold.go", "cmd/internal/ondemand/room.go", "cmd/internal/ondemand/file.go"
		set, ads         = "xds/demand/set.go", "xds/ads/demand.go"
		envoys           = "cmd/internal/ondemand "
	)
	return []scenario{
		{346, "forgotten while it is called", "A service is called all the time, and nobody tells the node.", []guard{
			one("before it is forgotten it is watched, and a call tells", envoys+"TestForgottenAndCalledAgain", cold,
				"    request:httpCall(\"%[9]s\", ask, \"\\0\\0\\0\\0\\0\", 1000, true)\n", ""),
			one("a call that is told begins anew", "xds/demand TestACallWhileWatchedBeginsAnew", set,
				"\t\ts.unwatch(u, &c)\n", ""),
		}},
		{347, "used for ever", "What nobody calls any more is forgotten, and a service more than an Envoy may have " +
			"costs the one whose last call is longest ago.", []guard{
			one("what is watched and not called is forgotten", "xds/demand TestAUseIsWatchedAndThenForgotten", set,
				"\t\t\tcase now.Sub(u.watched) >= s.cfg.Idle:", "\t\t\tcase false:"),
			one("an Envoy has so many at most", "xds/demand TestOneMoreThanTheMostForgetsTheOldest", set,
				"\tif len(at.uses) >= s.cfg.Most {", "\tif false {"),
			one("what gives way is taken from Envoy", envoys+"TestWhatIsEvictedIsTaken", room,
				"\t\tr.lost[seat] = append(r.lost[seat], all...)\n", ""),
		}},
		{348, "the node restarts while it is asked", "A service that is not in use is called while the node is away: " +
			"the call waits for it, and those in use go on.", []guard{
			one("a question is asked again", envoys+"TestRestarts", cold, "\tcoldRetries  = 40 ", "\tcoldRetries  = 0 "),
		}},
		{349, "node and Envoy start anew", "What was in use is given to Envoy from the beginning, without a call. If the " +
			"list of it is damaged, all that Envoy had counts as in use.", []guard{
			one("what is in use is read at the start", envoys+"TestTheFile", room, "\tr.read(time.Now())\n", ""),
			one("and written at the end", envoys+"TestTheFile", room, "\t\t\treturn r.keep()\n", "\t\t\treturn nil\n"),
			one("what Envoy had is in use", envoys+"TestTheFile", file, "range r.cfg.Kept() {", "range r.cfg.Kept()[:0] {"),
		}},
		{350, "withdrawn between question and answer", "A service is withdrawn, or moves to another next hop, while " +
			"Envoy is given it: the call is answered at once, and the next goes where it should.", []guard{
			one("whoever waits hears that it is gone", "xds/ads TestEachEnvoyHasWhatItUses", ads,
				"\tif e == nil || e.now == nil {\n", "\tif e != nil && e.now == nil {\n"),
		}},
		{351, "two Envoys of one node", "One of them calls what the other does not: each has what it uses.", []guard{
			one("a service goes to those who use it", "xds/ads TestEachEnvoyHasWhatItUses", ads,
				"return !ok || st.s.cfg.Uses(st.certified, svc)", "return true || ok && st.s.cfg.Uses(st.certified, svc)"),
		}},
		{352, "a worker is behind its Envoy", "Envoy has acknowledged a service, and the worker with the call that " +
			"waits for it has it a moment later: the call is not lost.", []guard{
			one("the worker looks again, and asks once more", envoys+"TestAWorkerAsksUntilItHasTheService", cold,
				"    if ready then return end\n    why", "    if true then return end\n    why"),
		}},
		{353, "a cluster is behind its scope", "The routes of a service are there, and the next hop's cluster is still " +
			"being made ready.", []guard{
			one("the cluster is looked for as well", envoys+"TestAClusterIsWaitedFor", cold,
				"(cluster == nil or has(request, cluster))", "true"),
		}},
		{354, "many ask for one", "A thousand calls of services that were not in use come at once: each service is looked " +
			"up and given to Envoy once.", []guard{
			one("one look-up serves all who ask", envoys+"TestOneLookUpForAllWhoAsk", room,
				"\tf := r.asked[svc]\n\tswitch {", "\tvar f *flight\n\tswitch {"),
		}},
		{355, "names without end", "Somebody calls names that nobody announces, ever new ones: each is 404, and nothing of " +
			"them is left in node or Envoy.", []guard{
			one("a look-up ends with its answer", envoys+"TestUnknownNamesLeaveNothing", room,
				"\t\tdelete(r.asked, svc)\n", ""),
			one("what nobody announces is not in use", envoys+"TestOneLookUpForAllWhoAsk", room,
				"\tif f.granted {\n\t\tr.grant(f, seat, svc)", "\tif f != nil {\n\t\tr.grant(f, seat, svc)"),
		}},
	}
}
