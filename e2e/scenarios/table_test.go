package scenarios

import "slices"

// scenario is something that happens to a routing daemon.
type scenario struct {
	number int    // of the list that the tests follow
	name   string // in a word
	story  string
	guards []guard
}

// guard is a piece of code that a test depends on.
type guard struct {
	what string // the rule, in words
	test string // that fails without it: package below the module, and name
	// edits remove the guard.
	edits []edit
}

// edit replaces a text that occurs once in a file.
type edit struct{ file, old, new string }

const (
	peeringFile = "bgp/peering/peering.go"
	connFile    = "bgp/peering/conn.go"
	inputFile   = "bgp/rib/input.go"
	outputFile  = "bgp/rib/output.go"
	decideFile  = "bgp/rib/decide.go"
	tableFile   = "bgp/rib/table.go"
	walkFile    = "bgp/rib/walk.go"
	messageFile = "bgp/rib/message.go"
	sessionFile = "bgp/speaker/session.go"
	speakerFile = "bgp/speaker/speaker.go"
	peersFile   = "bgp/speaker/peers.go"
	dampingFile = "bgp/speaker/damping.go"
	fsmFile     = "bgp/fsm/fsm.go"
	decodeFile  = "bgp/wire/decode.go"
	feedFile    = "bgp/peering/feed.go"
	replayFile  = "bgp/record/replay.go"
)

// one is a guard that a single edit removes.
func one(what, test, file, old, replacement string) guard {
	return guard{what: what, test: test, edits: []edit{{file, old, replacement}}}
}

// scenarios is the whole table, in parts of several files.
func scenarios() []scenario {
	return slices.Concat(
		routingScenarios(),
		fileScenarios(),
		webScenarios(),
		addressScenarios(),
		nameScenarios(),
		identityScenarios(), atRest(), rotation(), leaves(),
		discoveries(), clusters(),
		deliveries(), maintenance(), strangers(),
		ingressScenarios(),
		abuse(), floods(), paced(), held(), betweenOrganisations(), acrossTheBorder(), inOne(), proposals(),
		dataPlaneScenarios(), machineScenarios(),
		gatewayScenarios(),
		orderScenarios(),
		hopScenarios(),
		policyScenarios(),
		faultScenarios(),
		askedWhy(),
		onDemand(),
	)
}

func routingScenarios() []scenario {
	return []scenario{
		{1, "two nodes", "A route crosses a session, is replaced, and goes.", []guard{
			one("an announcement replaces: nothing is withdrawn before it", "bgp/sim TestScenarios/two-nodes", outputFile,
				"\tt.draft.announce(t, svc, 0, want)",
				"\tif held != 0 {\n\t\tt.draft.withdraw(t, svc, 0)\n\t}\n\tt.draft.announce(t, svc, 0, want)"),
		}},
		{2, "transit", "A route crosses a node in the middle; the path grows and the next hop is always the neighbour.",
			[]guard{
				one("each announcer puts itself in front of the path", "bgp/sim TestScenarios/transit", messageFile,
					"return attr.PrependHop(dst, t.self, b)", "return append(dst, b...)"),
				one("a next hop that a hub named goes no further than its clients", "bgp/sim TestStormsHeal", outputFile,
					"a.Originator, a.ClusterList, a.NextHop = bgp.NodeID{}, nil, bgp.NextHop{}",
					"a.Originator, a.NextHop = bgp.NodeID{}, bgp.NextHop{}"),
			}},
		{3, "ring", "A withdrawn route leaves no ghost that nodes in a ring hand to each other.", []guard{
			{
				what: "a path through this node is neither taken nor sent to whom it leads through",
				test: "bgp/sim TestScenarios/ring",
				edits: []edit{
					{inputFile, "case attr.ContainsNode(b, t.self), sum", "case sum"},
					{outputFile, "if attr.ContainsNode(b, p.short) || p.cfg", "if p.cfg"}},
			},
			one("nobody is told of a path through himself, so that hunting stays polynomial", "bgp/sim TestHuntingIsBounded",
				outputFile,
				"if attr.ContainsNode(b, p.short) || p.cfg", "if p.cfg"),
		}},
		{6, "stuck path", "The new best path cannot be sent to a peer that holds the old one.", []guard{
			one("what cannot be replaced is withdrawn in words", "bgp/sim TestScenarios/stuck-path", outputFile,
				"\tvar held uint32\n", "\tvar held uint32\n\tif s := &t.svcs[svc]; s.ties > 0 && t.paths[s.head].peer == p.id "+
					"{\n\t\treturn\n\t}\n"),
		}},
		{7, "rules edited live", "A tightened or loosened filter costs exactly the difference, and no session.", []guard{
			one("import rules are applied again to what is held", "bgp/sim TestScenarios/filters-live", tableFile,
				"t.walk(p, refilter)", "_ = refilter"),
			one("export rules are applied again to what was sent", "bgp/sim TestScenarios/filters-live", tableFile,
				"old.NoPatterns != cfg.NoPatterns) {\n\t\tp.dirty.rescan()",
				"old.NoPatterns != cfg.NoPatterns) {"),
			one("only what differs is sent", "bgp/rib TestFilterEditSendsTheDifference", outputFile,
				"case held == want+1 && !again:", "case false:"),
		}},
		{8, "refresh", "A table is asked for again while it changes.", []guard{
			one("the end marker comes after all routes", "bgp/sim TestScenarios/refresh", outputFile,
				"if !p.dirty.scanning && p.marker != bgp.NoMarker && p.dirty.left(0) == 0 {", "if p.marker != bgp.NoMarker {"),
			one("what is not repeated goes", "bgp/rib TestRefreshOfTheSameIsSilent", walkFile,
				"\tif t.peers[id].refreshing {\n\t\tt.Sweep(id)", "\tif t.peers[id].refreshing {"),
			one("what is repeated unchanged costs nothing", "bgp/rib TestRefreshOfTheSameIsSilent", inputFile,
				"(old.gen == p.gen || p.refreshing) && old.raw == set", "old.gen == p.gen && old.raw == set"),
			one("an end without a beginning sweeps nothing", "bgp/rib TestEndOfRefreshWithoutBegin", walkFile,
				"\tif t.peers[id].refreshing {\n", "\tif true {\n"),
		}},
		{9, "graceful restart", "A control plane goes and comes back while its Envoy runs.", []guard{
			one("a lost peer's routes stay as stale", "bgp/sim TestScenarios/restart", sessionFile,
				"if keepRoutes && p.caps.GracefulRestart > 0 {", "if false {"),
			one("a restarted node tells nobody of a best path before its tables are complete",
				"bgp/sim TestScenarios/restart-best-path", speakerFile,
				"!p.session.waiting && (s.deferUntil.IsZero() || p.caps.GracefulRestart == 0)", "!p.session.waiting"),
			{what: "nor that its table is complete", test: "bgp/sim TestRestartInTheMiddleIsNotNoticed", edits: []edit{
				{speakerFile, "!p.session.waiting && (s.deferUntil.IsZero() || p.caps.GracefulRestart == 0)", "!p.session.waiting"},
				{speakerFile, "if !s.deferUntil.IsZero() && u.Marker == bgp.EndOfRIB {", "if false {"}}},
			one("it publishes nothing before End-of-RIB of every peer", "bgp/sim TestGracefulRestartSweepsAtEndOfRIB",
				speakerFile,
				"if !p.eor && !p.cfg.Disabled && !waits {", "if false && !waits {"),
			one("peers that restart together do not wait for each other", "bgp/sim TestAllRestartAtOnce", speakerFile,
				"waits := p.session != nil && p.caps.Restarting", "waits := false"),
			one("a data plane that did not survive is not called", "bgp/sim TestScenarios/restart-without-data-plane",
				sessionFile,
				"\t\ts.forgetStale(p) // its data plane", "\t\t// its data plane"),
			one("so that no request is lost while any control plane on the way is killed and started",
				"e2e TestControlPlaneIsKilledUnderLoad", sessionFile,
				"if keepRoutes && p.caps.GracefulRestart > 0 {", "if false {"),
		}},
		{10, "restart goes wrong", "The peer never comes back, fails again, or has no graceful restart.", []guard{
			one("a second failure before the table is there gives no more time", "bgp/sim TestScenarios/restart-expiry",
				sessionFile,
				"case p.staleUntil.IsZero():\n", "default:\n"),
			one("stale routes go when the time is over", "bgp/sim TestGracefulRestartExpires", speakerFile,
				"\t\t\ts.restartExpired(now, p)\n", "\t\t\tp.staleUntil = time.Time{}\n"),
			one("a time-out of the first failure does not outlive it", "bgp/sim TestScenarios/restart-second-failure",
				sessionFile,
				"\tp.staleUntil, p.lastUntil = time.Time{}, time.Time{}\n\ts.table.Sweep(p.id)", "\ts.table.Sweep(p.id)"),
			one("a peer without graceful restart is told at once", "bgp/sim TestScenarios/peer-without-restart", speakerFile,
				"(s.deferUntil.IsZero() || p.caps.GracefulRestart == 0)", "s.deferUntil.IsZero()"),
		}},
		{11, "End-of-RIB last", "End-of-RIB never overtakes a route.", []guard{
			one("the marker goes out when nothing waits", "bgp/sim TestScenarios/end-of-rib-last", outputFile,
				"if !p.dirty.scanning && p.marker != bgp.NoMarker && p.dirty.left(0) == 0 {", "if p.marker != bgp.NoMarker {"),
		}},
		{12, "long-lived stale", "A site is away for hours; its routes serve as last resort.", []guard{
			one("any fresh path wins", "bgp/sim TestScenarios/long-lived", decideFile, "\t\tk.staleness = 2\n",
				"\t\tk.staleness = 0\n"),
			one("others are told what it is", "bgp/sim TestScenarios/long-lived", outputFile, "\tif longLived {\n",
				"\tif false {\n"),
			one("a route that forbids it goes", "bgp/rib TestNoLongLived", walkFile, "t.sums[set].Has(attr.HasNoLongLived)",
				"t.sums[set].Has(attr.HasNoLongLived) && false"),
			one("the operator may allow less", "bgp/sim TestScenarios/long-lived", sessionFile,
				"return min(p.cfg.LongLivedStale, p.caps.LongLivedStale)", "return p.caps.LongLivedStale"),
		}},
		{13, "add-path", "The best two are sent; the third fills in.", []guard{
			one("they have different next hops", "bgp/rib TestAddPathFillsIn", outputFile, "if slices.Contains(hops, hop) {",
				"if false {"),
			one("what stays is not sent again", "bgp/sim TestScenarios/add-path", outputFile,
				"if again || !slices.Contains(held, s) {", "if true {"),
		}},
		{14, "reflection", "Hubs pass routes on between clients and others, and do not loop.", []guard{
			one("a non-client's route goes to clients alone", "bgp/sim TestScenarios/reflection", outputFile,
				"internal && t.hub && !from.cfg.Client && !p.cfg.Client,", "false,"),
			one("who is a client counts at once", "bgp/rib TestClientsChange", tableFile,
				"if old.Client != cfg.Client {\n\t\tt.rescanAll()", "if old.Client != cfg.Client {"),
			{what: "a cluster list with this hub in it is a loop", test: "bgp/sim TestScenarios/hub-loop", edits: []edit{
				{inputFile, "sum.Has(attr.HasClusterList) && attr.ContainsHub(b, t.self):", "false:"}}},
			one("hubs tell each other what clients say, and not what another hub said", "bgp/sim TestScenarios/two-hubs",
				outputFile,
				"\t\tinternal && from.cfg.Hub && p.cfg.Hub,\n", ""),
			one("fewer hubs on the way win before the lower id does", "bgp/sim TestScenarios/two-hubs", decideFile,
				"cmp.Compare(t.hubs(x), t.hubs(y)); c != 0", "0; c != 0"),
		}},
		{15, "malformed", "One bad route costs itself alone: its attribute is dropped, or it is withdrawn.", []guard{
			one("a set that cannot be mended withdraws its routes, and no others", "bgp/wire TestMalformedByDegree", decodeFile,
				"d.u.Withdrawn = append(d.u.Withdrawn, g.Routes...)\n\t\treturn false", "return false"),
			one("an optional attribute out of range is dropped and the route kept", "bgp/wire TestMalformedByDegree", decodeFile,
				"\tg.Attributes = fixed\n\treturn true", "\tg.Attributes = fixed\n\treturn len(dropped) == 0"),
			one("the session stands, and its other routes", "bgp/peering TestMalformedByDegreeInASession", decodeFile,
				"if _, ok := attr.Check(g.Attributes); !ok && !d.repair(&g) {\n\t\treturn nil",
				"if _, ok := attr.Check(g.Attributes); !ok && !d.repair(&g) {\n\t\treturn errors.New(\"bad\")"),
		}},
		{16, "fuzzing", "Whatever arrives, in whatever order: no panic, no growth, a legal outcome.", []guard{
			one("what is read can be written and read again", "bgp/wire FuzzDecode/span-without-trace", decodeFile,
				"d.u.Trace.SpanID = [8]byte{} // a span", "// a span"),
			one("a session that two timers end at once ends once", "bgp/speaker FuzzStep/one-end-for-two-timers", speakerFile,
				"\t\tif s.conns[c.id] == nil {\n\t\t\tcontinue // it is over", "\t\tif false {\n\t\t\tcontinue // it is over"),
			one("a stream is never given more than its credits", "bgp/speaker FuzzStep", speakerFile,
				"p.session.credits == 0 || s.table.Pending(p.id) == 0", "s.table.Pending(p.id) == 0"),
		}},
		{17, "maximum routes", "A peer announces too much: warn, block or close; raising the limit recovers.", []guard{
			one("what is beyond is not taken", "bgp/sim TestScenarios/maximum-routes", inputFile,
				"p.cfg.MaxRoutes > 0 && p.count.Received >= p.cfg.MaxRoutes", "false"),
			one("a raised limit asks again", "bgp/sim TestScenarios/maximum-routes", peersFile,
				"\t\tif raised {\n\t\t\ts.askAgain(p)\n", "\t\tif raised {\n"),
			one("a closed peer is let in again after a pause, not at once", "bgp/sim TestScenarios/maximum-routes-close",
				sessionFile,
				"\t\tp.damping.until, p.damping.why = now.Add(limitPause), fmt", "\t\t_, p.damping.why = now.Add(limitPause), fmt"),
			one("a warning takes all", "bgp/sim TestScenarios/maximum-routes-warn", "bgp/speaker/limits.go",
				"\tcase OverLimitWarn:\n\t\treturn 0, 0\n", ""),
		}},
		{18, "collision and identity", "Two streams at once, two nodes with one id, the wrong name.", []guard{
			one("of two streams one survives", "bgp/sim TestCollision", sessionFile, "\t\ts.collide(now, c)\n", ""),
			one("a clone is refused by name", "bgp/sim TestSameNodeIDIsNamed", sessionFile,
				"if hold > 0 && now.Sub(heard) < hold/2 {", "if false && now.Sub(heard) < hold/2 {"),
			one("OPEN names whom the certificate names", "bgp/fsm TestOpenIsRefused", fsmFile, "case o.Node != s.cfg.Remote:",
				"case false:"),
			one("a stranger is told to be added first", "bgp/peering TestStrangersAreTurnedAwayByName", sessionFile,
				"is not a peer of %s: add it there first\"", "is unknown to %s\""),
		}},
		{19, "farewell and drain", "A node leaves on purpose, and says so.", []guard{
			one("the other operator reads why", "bgp/sim TestScenarios/farewell", sessionFile,
				"\tif !remote {\n\t\ts.emit(Send{c.id, n})\n\t}\n", ""),
			one("what is said on purpose keeps no routes", "bgp/sim TestScenarios/farewell", sessionFile, "kept := n.Code",
				"kept := true || n.Code"),
			one("a draining node is the last choice", "bgp/sim TestScenarios/drain", decideFile,
				"\tif s.Has(attr.HasGracefulShutdown) {\n\t\tk.localPref, k.learned = 0, true\n\t}\n", ""),
			one("all traffic moves before the node goes, and not a request fails", "e2e TestDrainLosesNothing", speakerFile,
				"\t\t\ts.table.SetDraining(ev.On)\n", ""),
			one("called off, the mark goes from every route", "bgp/sim TestScenarios/drain-undone", walkFile,
				"\tt.draining = on\n\tt.rescanAll()", "\tt.draining = t.draining || on\n\tt.rescanAll()"),
		}},
		{20, "liveness", "A link that swallows everything is noticed within a second; a flapping one is held down.", []guard{
			one("three intervals of silence end the session", "bgp/sim TestScenarios/liveness", fsmFile,
				"if s.live > 0 && s.state == Established {", "if false {"),
			one("traffic leaves a node that hangs", "e2e TestLiveness", fsmFile, "if s.live > 0 && s.state == Established {",
				"if false {"),
			one("it needs both sides", "bgp/sim TestScenarios/liveness-one-side", fsmFile, "own > 0 && other > 0 {",
				"own > 0 || other > 0 {"),
			one("a session that is lost again is held down", "bgp/sim TestScenarios/damping", dampingFile,
				"\tif d.losses > 1 {\n", "\tif false {\n"),
			one("whoever slept is no judge of others' silence", "bgp/fsm TestSleeperJudgesNobody", fsmFile,
				"if late < s.live {", "if true {"),
		}},
		{21, "slow reader", "One peer stops reading; the others do not notice, and it resynchronises exactly.", []guard{
			one("only the newest state of each service waits", "bgp/sim TestStuckReader", "bgp/rib/pending.go",
				"\tif s.bits[word]&bit != 0 {\n\t\treturn false\n\t}\n", ""),
			one("a peer that takes nothing for two hold times is dropped", "bgp/sim TestStuckReader", speakerFile,
				"\t\tif s.isStuck(now, c) {", "\t\tif false {"),
			one("and its stream with it, although nothing ends it from the other side", "bgp/peering TestAStuckStreamEnds",
				connFile,
				"\tcase <-c.over:\n", "\tcase <-make(chan struct{}):\n"),
			one("a node that hangs for a while ends with exactly the newest, and so do the others meanwhile",
				"e2e TestSlowReader", tableFile,
				"p.dirty.mark(svc, p.follows(svc), &by) {", "!p.holds(svc) && p.dirty.mark(svc, false, &by) {"),
			one("what is under way is bounded by credits", "bgp/speaker TestStuckReaderAmongTwenty", speakerFile,
				"p.session.credits == 0 || s.table.Pending(p.id) == 0", "s.table.Pending(p.id) == 0"),
			one("a peer that sends faster than this node works is pushed back", "bgp/peering TestFloodIsPushedBack",
				"bgp/peering/serve.go",
				"(len(b) > sizeOfOne || !r.takeNow(ev)) && !mail.put(ctx, ev) {",
				"!r.takeNow(ev) {\n\t\t\t\tgo mail.put(ctx, ev)\n\t\t\t}\n\t\t\tif false {"),
			one("keepalives go ahead of UPDATEs", "bgp/peering TestKeepalivesGoAheadOfBulk", connFile,
				"\tif !bgp.Bulk(m) {\n\t\tfor", "\tif false {\n\t\tfor"),
			one("nothing is delayed to be sent together with more", "bgp/peering TestNothingIsDebounced", peeringFile,
				"\tif o.ev != nil {\n", "\ttime.Sleep(time.Millisecond)\n\tif o.ev != nil {\n"),
			one("nor kept from the last of many peers until the first have all of it", "bgp/speaker TestFirstMessagesGoFirst",
				speakerFile,
				"again = s.tell(now, p) || again", "for p.session.credits > 0 && s.tell(now, p) {\n\t\t\t\t}"),
			one("a message is given to a stream at once only if its peer has room for all of it",
				"bgp/stream TestTrySendNeverWaits", "bgp/stream/stream.go",
				" || int64(prefix+len(m)) > min(s.whole, s.window) {", " {"),
			{
				what: "what a reader gives the speaker itself overtakes nothing that it left for the loop",
				test: "bgp/peering TestNothingIsOvertaken",
				edits: []edit{
					{peeringFile, "n > 0 || !r.turn.TryLock() {", "n < 0 || !r.turn.TryLock() {"},
					{peeringFile, "n > 0 || !r.running {", "n < 0 || !r.running {"}},
			},
			one("what waits is told from the newest table", "bgp/sim TestScenarios/slow-reader", outputFile,
				"\tp.up, p.ingress = true, ingress\n\tp.dirty.rescan()", "\tp.up, p.ingress = true, ingress"),
		}},
		{22, "flap within a batch", "Announced, withdrawn, announced, faster than it is sent.", []guard{
			one("a change of what a peer holds is always entered", "bgp/sim TestScenarios/flap-within-a-batch", tableFile,
				"p.dirty.mark(svc, p.follows(svc), &by) {", "!p.holds(svc) && p.dirty.mark(svc, false, &by) {"),
		}},
		{24, "best path and failover", "One case a rung, every order of arrival, and a next hop that dies.", []guard{
			one("higher local preference", "bgp/rib TestEachRungDecides", decideFile, "cmp.Compare(b.localPref, a.localPref)",
				"cmp.Compare(a.localPref, b.localPref)"),
			{
				what: "when the next hop dies, its calls go to the next best at once",
				test: "e2e TestFailoverUnderLoad",
				edits: []edit{
					{"xds/retry.go", "const unsent = \"connect-failure,refused-stream,reset-before-request\"",
						"const unsent = \"refused-stream\""},
					{"xds/cluster.go", "EnforcingFailurePercentageLocalOrigin: wrapperspb.UInt32(100)",
						"EnforcingFailurePercentageLocalOrigin: never"},
					{"xds/compile.go", "retryNextTier(rc, parts[0])", "_ = parts"},
					{sessionFile, "\ts.table.MarkStale(p.id)\n", ""}},
			},
			one("MED compares within one organisation, as a rank", "bgp/rib TestEachRungDecides", decideFile,
				"if org[m] == org[n] && v < own", "if org[m] == org[n] && v > own"),
			one("there is always one winner", "bgp/rib TestOrderOfArrivalDoesNotMatter", decideFile,
				"return t.peers[x.peer].cfg.Node.Compare(t.peers[y.peer].cfg.Node), ReasonPeer", "return 0, ReasonPeer"),
		}},
		{25, "equal paths", "Paths that are equal share the traffic and do not take turns.", []guard{
			{what: "what says nothing new is not passed on", test: "bgp/sim TestScenarios/equal-paths", edits: []edit{
				{inputFile, "(old.gen == p.gen || p.refreshing) && old.raw == set", "false && old.raw == set"},
				{outputFile, "case held == want+1 && !again:", "case false:"}}},
		}},
		{26, "watching", "A dump, a marker, every change; a slow watcher holds nobody up.", []guard{
			one("the marker comes when the dump is complete", "bgp/peering TestFeed", feedFile,
				"b.Synced = f.cursor.Synced() && len(b.Changed) < feedBatch", "b.Synced = true"),
			one("a watch that is full counts what it loses", "bgp/peering TestSlowWatchOfSessions", feedFile,
				"\t\tw.lost.Add(1)\n", ""),
			one("a feed that is full is passed over", "bgp/peering TestWatchersUnderChurn", feedFile,
				"if len(f.next) > 0 || !f.cursor", "if !f.cursor"),
		}},
		{27, "replay", "The same events give the same tables and messages.", []guard{
			one("chance is recorded", "bgp/record TestReplayIsExact", replayFile,
				"p.chance = new(rand.PCG)\n\tif err := p.chance.UnmarshalBinary(s.Chance); err != nil {",
				"p.chance = rand.NewPCG(1, 2)\n\tif err := error(nil); err != nil {"),
		}},
		{28, "soak", "Memory comes back after churn.", []guard{
			one("what nobody refers to is let go", "bgp/rib TestSparseChunksAreMerged", tableFile,
				"\tt.names.compact()\n\tt.attrs.compact()\n", ""),
		}},
		{29, "storms", "A third of the peers come and go; partitions heal; 200 speakers agree with an onlooker.", []guard{
			one("a new session hears everything", "bgp/sim TestScenarios/flap-storm", outputFile,
				"\tp.up, p.ingress = true, ingress\n\tp.dirty.rescan()", "\tp.up, p.ingress = true, ingress"),
			one("bulk work goes in slices, so that a reload of rules holds up no session", "bgp/speaker TestStepsAreBounded",
				speakerFile, "s.table.Work(bulkSlice)", "s.table.Work(1 << 30)"),
			one("so does telling many peers at once", "bgp/speaker TestStepsAreBounded", speakerFile,
				"if s.table.Effort()-began <= flushSlice {", "if s.table.Effort()-began <= 1<<40 {"),
			one("paths of a session that ended are swept", "bgp/sim TestStormsHeal", walkFile,
				"\tif p.count.Stale > 0 {\n\t\tt.walk(p, sweep)\n\t}\n", ""),
		}},
	}
}
