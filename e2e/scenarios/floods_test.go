package scenarios

// floods are what one peer may send until others feel it, and what does not return to them.
func floods() []scenario {
	const (
		paceFile    = "bgp/peering/pace.go"
		dampingFile = "bgp/speaker/damping.go"
		sharesFile  = "bgp/rib/shares.go"
		servingFile = "envoy/serving.go"
	)
	return []scenario{
		{248, "a flood that others would feel", "A peer sends routes without end, while others announce services " +
			"and applications call, on a machine that has no core to spare.", []guard{
			one("it is read no faster than the others feel nothing", "bgp/peering TestWhoSendsMuchIsPutOffForOthers", paceFile,
				"due == 0 || !p.others(now)", "due == 0 || p.others(now) || !p.others(now)"),
			one("and at full speed while nobody is there", "bgp/peering TestWhoSendsMuchIsPutOffForOthers", paceFile,
				"due == 0 || !p.others(now)", "due == 0"),
			one("applications that are served count", "envoy TestServingIsWhatWorkersDo", servingFile,
				"strings.HasPrefix(string(name), workerPrefix)", "!strings.HasPrefix(string(name), workerPrefix)"),
			one("a restarted node hears its tables at full speed", "bgp/peering TestWhoSendsMuchIsPutOffForOthers", paceFile,
				"\tcase <-p.ready:\n\tdefault:\n\t\treturn nil\n", "\tcase <-p.ready:\n\tdefault:\n"),
			one("pauses grow while cores are wanting", "bgp/peering TestPausesFollowTheMachine", paceFile,
				"late > tooLate", "late > time.Hour"),
			one("what others say on the same stream is not put off", "bgp/peering TestWhatIsPassedOnIsNotPutOff", paceFile,
				"return sum.Hops <= 1", "return sum.Hops >= 0"),
		}},
		{249, "errors again and again", "A peer's session ends for what it sends, and it comes back at once.", []guard{
			one("each further time it is let in later", "bgp/speaker TestErrorsOfAPeerAreDamped", sessionFile,
				"if (kept || broken) && c == c.peer.session", "if kept && c == c.peer.session"),
			one("the first one costs nothing", "bgp/speaker TestErrorsOfAPeerAreDamped", dampingFile,
				"if d.losses > 1 {", "if d.losses > 0 {"),
		}},
		{250, "a flood behind a peer", "One of the nodes behind a peer announces more than that peer may.", []guard{
			one("the others' routes are taken", "bgp/peering TestANodeBehindAPeerCrowdsOutNobody", inputFile,
				"over && !t.makeRoom(p, svc, i, set, res)", "over"),
			one("nobody loses to one that has as many", "bgp/rib TestAFloodCrowdsOutNobodyElse", sharesFile,
				"most == mine || size <= measure(p.shares[mine])+one", "most == mine && size < 0"),
		}},
		{251, "the only way answers nothing", "The only next hop of a service takes connections and " +
			"never says a word, or is away.", []guard{
			one("a call waits for two attempts, and not for four", "xds/ads TestTheOnlyTargetIsTriedTwiceAndNotLeft",
				"xds/compile.go", "\t\tretryOnce(rc)\n", ""),
			one("the only target is not left", "xds/ads TestTheOnlyTargetIsTriedTwiceAndNotLeft", clusterFile,
				"return len(tiers) > 1 || len(tiers) == 1 && len(tiers[0]) > 1", "return len(tiers) > 0"),
		}},
		{490, "several dead targets", "All next hops and workloads of a service take connections and never say a word, " +
			"or all but the last one.", []guard{
			one("they share the time that an only one has", "xds/ads TestOneBudgetForDeadTargets", clusterFile,
				"return durationpb.New(c.cfg.Limits.Connect / 2)", "return durationpb.New(c.cfg.Limits.Connect)"),
			one("also before or behind a workload", "xds/ads TestOneBudgetForDeadTargets", clusterFile,
				"c.patience(others || several(tiers))", "c.patience(several(tiers))"),
		}},
		{492, "a flood of frames", "A peer sends PING, PRIORITY or empty DATA frames without end, or begins requests and " +
			"resets them: a worker of the ingress comes back to the other connections soon.", []guard{
			one("it reads little of one connection at a time", "xds TestGolden", "xds/listener.go",
				"PerConnectionBufferLimitBytes: wrapperspb.UInt32(ingressBuffer)",
				"PerConnectionBufferLimitBytes: wrapperspb.UInt32(meshBuffer)"),
			one("it begins few requests of one connection at a time", "envoy TestOneConnectionBeginsFewRequestsAtATime",
				"envoy/overload.go", "limits := map[string]any{\"http.max_requests_per_io_cycle\": requestsAtOnce}",
				"limits := map[string]any{}"),
		}},
		{252, "bounds between nodes", "A request of another node lasts for days, a connection is older than " +
			"the certificates it was made with.", []guard{
			one("a request ends with its time", "xds/ads TestWhatLastsBetweenNodesIsBounded", underwayFile,
				"\tset(&o.MaxStreamDuration, c.cfg.Limits.MeshStream)\n", ""),
			one("a connection takes no new requests after its time", "xds/ads TestWhatLastsBetweenNodesIsBounded", underwayFile,
				"\tset(&o.MaxConnectionDuration, c.cfg.Limits.MeshConnection)\n", ""),
		}},
		{360, "who sends little beside a flood", "A peer announces something 50 times a second on a machine without " +
			"a core to spare, where each step of the speaker takes long.", []guard{
			one("it is judged by what it sends, and never put off", "bgp/peering TestWhoSendsMuchIsPutOffForOthers", paceFile,
				" || a.little() {", " || a.little() && a.work < 0 {"),
			one("who is put off does not pass for one that sends little", "bgp/peering TestWhoIsPutOffIsNobodyElse", paceFile,
				"max(a.last, a.recent) <= littleWork", "a.work <= littleWork"),
			one("an UPDATE costs what is in it", "bgp/peering TestCostsGoByWhatIsSent", paceFile,
				"time.Duration(routesOf(m)) * costOfRoute", "costOfRoute"),
			one("a thousand routes are ten turns", "bgp/peering TestCostsGoByWhatIsSent", paceFile,
				"portions(u, portionRoutes, portionBytes)", "portions(u, 1000, portionBytes)"),
			one("portions say what the whole says", "bgp/peering TestPortionsSayTheSame", "bgp/peering/portions.go",
				"\tpart.Marker = u.Marker\n", "\tpart.Marker = bgp.NoMarker\n"),
		}},
		{361, "Envoy is told much while applications call", "A peer's million routes reach Envoy's main thread.", []guard{
			one("it goes behind the threads that carry traffic", "envoy TestEnvoysMainThreadYieldsToItsWorkers",
				"envoy/yield.go", "min(theirs+mainBehind, 19)", "min(theirs, 19)"),
			one("its supervisor sees to that, once the Envoy has had its time", "envoy TestEnvoysMainThreadYieldsToItsWorkers",
				"envoy/supervisor.go", "time.Since(began) >= s.yieldAfter &&", "time.Since(began) < 0 &&"),
			one("who has put it further back is left alone", "envoy TestEnvoysMainThreadYieldsToItsWorkers",
				"envoy/yield.go", "own > theirs {", "own > 19 {"),
		}},
	}
}
