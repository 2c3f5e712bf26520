package scenarios

const (
	workloadFile  = "xds/workload.go"
	underwayFile  = "xds/underway.go"
	admittedFile  = "cmd/internal/forwarding/refused.go"
	watchServer   = "xds/underway/underway.go"
	underwayTests = "xds/ads TestWhatIsUnderWayEndsWithItsRight"
)

// hopScenarios are about next hops: who is left, and who is let go on.
func hopScenarios() []scenario {
	return []scenario{
		{236, "resets of one service", "A workload resets all its streams, again and again, or takes no connections. " +
			"The other services of its node are answered, and by it.", []guard{
			one("resets in a row count nothing", "xds/ads TestResetsOfAServiceEjectNoNextHop", clusterFile,
				"EnforcingConsecutiveLocalOriginFailure: never,",
				"ConsecutiveLocalOriginFailure: wrapperspb.UInt32(2),"),
			one("a dead target is left all the same", "xds/ads TestADeadNextHopCostsNoCall", clusterFile,
				"EnforcingFailurePercentageLocalOrigin: wrapperspb.UInt32(100)",
				"EnforcingFailurePercentageLocalOrigin: never"),
			one("a request that did not reach it goes to the next tier", "xds/ads TestADeadNextHopCostsNoCall",
				"xds/compile.go", "retryNextTier(rc, parts[0])", "_ = parts"),
		}},
		{237, "idle times", "Each workload keeps idle connections for a time of its own.", []guard{
			one("a service has an idle time of its own, HTTP/1", "xds/ads TestIdleTimeIsTheServices", clusterFile,
				"c.http1Upstream(cmp.Or(f.Idle, c.before(f.Kept)))",
				"c.http1Upstream(cmp.Or(max(f.Idle, time.Minute), c.before(f.Kept)))"),
			one("and HTTP/2", "xds/ads TestIdleTimeIsTheServices", clusterFile, "if f.Idle > 0 {", "if f.Idle < 0 {"),
		}},
		{491, "what workloads say of idle connections", "A workload says in its answers that it keeps idle connections " +
			"for a shorter time than Envoy would, and closes them then.", []guard{
			one("Envoy closes them before", "e2e TestKeepAliveOfWorkloadsIsHonoured", clusterFile,
				"return min(kept*4/5, c.cfg.Limits.WorkloadIdle)", "return c.cfg.Limits.WorkloadIdle"),
			one("the node's checks hear it", "cmd/internal/offer/probe TestKeepAliveIsRead", "cmd/internal/offer/probe/ask.go",
				"if resp.ProtoMajor == 1 && !resp.Close {", "if resp.ProtoMajor > 1 {"),
			one("the shortest time counts", "cmd/internal/offer/probe TestTheShortestKeepAliveCounts",
				"cmd/internal/offer/probe/machine.go", "was != 0 && said >= was {", "said == was {"),
		}},
		{238, "workloads over TLS", "A workload speaks TLS; somebody else answers at its address.", []guard{
			one("it is known by its name", "xds/ads TestWorkloadsOverTLS", workloadFile,
				"MatchTypedSubjectAltNames: []*tls.SubjectAltNameMatcher{namedAs(f.TLS)}", ""),
			one("it is shown the node's certificate where it is known by its id", "xds/ads TestWorkloadsOverTLS", workloadFile,
				"common.TlsCertificateSdsSecretConfigs = []*tls.SdsSecretConfig{sds(secretNode)}", "_ = secretNode"),
			one("checks go over TLS", "cmd/internal/offer/probe TestAskOverTLS", "cmd/internal/offer/probe/tls.go",
				"if err != nil || !t.TLS.On() {", "if err != nil || t.TLS.Insecure || !t.TLS.On() {"),
		}},
		{239, "the wrong protocol", "A service is ordered as http, its workload speaks gRPC or TLS. A trace says what it " +
			"speaks and what to order.", []guard{
			one("what was found fails the trace", "e2e TestWorkloadsOverTLSAndTheWrongProtocol", "cmd/internal/trace/steps.go",
				"if found.Wrong {", "if found.Wrong && found.Text == \"\" {"),
			one("a server of TLS that answers 400 in clear is one", "cmd/internal/offer/probe TestSpeaks",
				"cmd/internal/offer/probe/speaks.go", "should.heard(first) && !bytes.HasSuffix(first, []byte(\" 400\"))",
				"should.heard(first) && !bytes.HasSuffix(first, []byte(\" 499\"))"),
		}},
		{247, "memory of a stalled stream", "Streams are begun and never read, whatever their workload has to say.", []guard{
			one("a stream has a window", "xds/ads TestAStalledStreamIsBounded", limitsFile,
				"InitialStreamWindowSize: wrapperspb.UInt32(window)", "InitialStreamWindowSize: wrapperspb.UInt32(8 << 20)"),
		}},
		{240, "a right ends while a stream lasts", "A peer is removed, a node revoked, a service taken from another " +
			"organisation, while connections, WebSockets and streams are open. These end at once, others stay.", []guard{
			one("what is watched ends when the list changes", underwayTests, watchServer,
				"if may, changed = s.judge(caller, leaf, svc); !may {",
				"if may, changed = s.judge(caller, leaf, svc); !may && caller == \"\" {"),
			one("connections and upgrades are watched from their beginning", underwayTests, underwayFile,
				"not(either(connection, upgrade, both(grpc, not(over))))", "not(both(grpc, not(over)))"),
			one("answers that last are watched", underwayTests, underwayFile,
				"late.ProcessingMode.ResponseHeaderMode = extproc.ProcessingMode_SEND", "_ = late.ProcessingMode"),
			one("short calls are not told of", "xds/ads TestShortCallsAreNotWatched", underwayFile,
				"both(grpc, not(over))", "both(grpc, either(over, not(over)))"),
			one("revocations come to the list", "e2e TestConnectionsEndWithTheirRight", admittedFile, "a.refused = now\n",
				"_ = a.refused\n"),
		}},
	}
}
