package scenarios

const (
	limitsFile    = "xds/limits.go"
	retryFile     = "xds/retry.go"
	egressFile    = "xds/egress.go"
	overloadFile  = "envoy/overload.go"
	statsFile     = "xds/stats.go"
	clusterFile   = "xds/cluster.go"
	listenersFile = "xds/listener.go"
	compileFile   = "xds/compile.go"
)

// dataPlaneScenarios are about ordinary traffic, about callers that mean no good, and about shared clusters.
func dataPlaneScenarios() []scenario { return append(ordinaryTraffic(), besideScenarios()...) }

// besideScenarios are about services that share a cluster because each is one workload beside the node.
func besideScenarios() []scenario {
	const besideFile = "xds/beside.go"
	return []scenario{
		{480, "a caller says where to", "Applications and other nodes send the header by which Envoy finds a workload, in " +
			"every spelling, twice and in lists: Envoy connects to nothing that they name.", []guard{
			{
				what: "it is removed from what comes in, and the routes overwrite it",
				test: "xds/ads TestCallersDoNotSayWhereEnvoyConnects",
				edits: []edit{
					{besideFile, "AppendAction: core.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD",
						"AppendAction: core.HeaderValueOption_ADD_IF_ABSENT"},
					{"xds/pattern.go", "Remove: destinationHeader", "Remove: patternHeader"},
				},
			},
			one("it goes no further", "xds/ads TestCallersDoNotSayWhereEnvoyConnects", "xds/pattern.go",
				"Remove: destinationHeader", "Remove: patternHeader"),
			one("a route that does not is found", "xds TestNothingLeadsBesideWithoutSayingWhereTo", besideFile,
				"AppendAction: core.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD",
				"AppendAction: core.HeaderValueOption_APPEND_IF_EXISTS_OR_ADD"),
			one("a resource that leaves it open is not encoded", "xds TestAnOpenRouteIsRefused", besideFile,
				"typeURL == TypeCluster || says || ", "true || says || "),
		}},
		{481, "a service gets a cluster, and loses it", "A service that is called all the time gets a second workload, an " +
			"idle time, another address, and loses them, under one node process and the next: no call is lost.", []guard{
			one("its scope waits for its cluster", "xds TestWhoSharesACluster", compileFile,
				"scope.GetName(), scope, target)\n", "scope.GetName(), scope)\n"),
			one("what wants a cluster has one", "xds TestWhoSharesACluster", besideFile, "!t.Draining && ", ""),
		}},
		{482, "one of many is stuck", "A workload takes connections and answers nothing, and calls pile up for it: other " +
			"services of the same cluster have their connections.", []guard{
			one("each workload has its own limit", "xds/ads TestAStuckWorkloadTakesNoConnectionsOfOthers", besideFile,
				"\tlimits.PerHostThresholds = []*cluster.CircuitBreakers_Thresholds{{MaxConnections: wrapperspb.UInt32(most)}}\n",
				"\t_ = most\n"),
			one("all together have more", "xds TestEachWorkloadHasItsLimit", besideFile,
				"breakers(c.cfg.Limits.Descriptors, ", "breakers(most, "),
		}},
	}
}

func ordinaryTraffic() []scenario {
	return []scenario{
		{146, "slow readers", "Forty callers stop reading, or their workloads do: HTTP, gRPC, TCP, WebSocket. Another " +
			"service on the same connections is as fast as without them.", []guard{
			one("the window of a connection is that of all its streams", "e2e TestStalledStreamsCostTheirOwnWindow", limitsFile,
				"InitialConnectionWindowSize: wrapperspb.UInt32(window * streams)",
				"InitialConnectionWindowSize: wrapperspb.UInt32(window + window/2)"),
		}},
		{147, "connections without TLS", "One source opens connections to the mesh ingress without end and never begins " +
			"TLS. Applications and other nodes notice nothing.", []guard{
			{
				what: "a source has a share of the ingress, and some seconds for the handshake",
				test: "e2e TestConnectionsThatNeverBeginTLS",
				edits: []edit{
					{limitsFile, "group.Filters = append([]*listener.Filter{limit}, group.Filters...)", "_ = limit"},
					{limitsFile, "\tchain.TransportSocketConnectTimeout = durationpb.New(handshakeTimeout)\n", ""}},
			},
		}},
		{148, "too few files", "More connections and calls come than Envoy may have files for. It refuses what is too " +
			"much and lives.", []guard{
			{
				what: "what takes a file is refused before there are none",
				test: "e2e TestEnvoyOutlivesItsLimitOfFiles",
				edits: []edit{
					{overloadFile, "scaled(\"envoy.load_shed_points.\"+point, filesMonitor, 0.6, 0.85)",
						"scaled(\"envoy.load_shed_points.\"+point, filesMonitor, 0.998, 0.999)"},
					{limitsFile, "return max(l.Descriptors/8, 1) }", "return l.Descriptors }"}},
			},
		}},
		{149, "names as clients write them", "A host in upper case, with a dot, HTTP/1.0, an offer to upgrade to TLS: " +
			"served like any other.", []guard{
			one("the name is looked up in lower case", "e2e TestRequestsAsClientsWriteThem", egressFile,
				"  request:clearRouteCache()\n", ""),
			one("an offer to go on over TLS is ignored", "e2e TestRequestsAsClientsWriteThem", egressFile, "Prefix: \"TLS/\"",
				"Prefix: \"SSL/\""),
		}},
		{150, "a connection that is being closed",
			"A request meets a connection that its workload is closing. A GET is sent once more and answered, a POST never " +
				"is sent twice.", []guard{
				one("what may be sent twice is", "e2e TestRequestMeetsAClosingConnection", retryFile,
					"retry.RetryOn = unanswered", "retry.RetryOn = unsent"),
				one("a POST is not", "e2e TestRequestMeetsAClosingConnection", retryFile, "Regex: \"GET|HEAD",
					"Regex: \"POST|GET|HEAD"),
				one("idle connections are closed before the workload does it", "e2e TestIdleConnectionsToWorkloads", clusterFile,
					"IdleTimeout: durationpb.New(idle)", "IdleTimeout: durationpb.New(time.Hour + idle)"),
			}},
		{151, "large headers", "Headers up to the limit pass; beyond, the answer names the limit and the node.", []guard{
			one("responses have the limit of the setting", "e2e TestLargeHeaders", clusterFile,
				"options.MaxResponseHeadersKb, options.MaxHeadersCount =", "_, options.MaxHeadersCount ="),
			one("so have requests", "e2e TestLargeHeaders", listenersFile,
				"wrapperspb.UInt32(c.cfg.Limits.HeaderKiB),\n\t\tCommonHttp", "nil,\n\t\tCommonHttp"),
		}},
		{152, "names that nobody announces", "Callers ask for names at random. They are in no statistics.", []guard{
			one("a request without a route is not counted", "e2e TestServicesInMetrics", statsFile,
				"PresentMatch{PresentMatch: false}", "PresentMatch{PresentMatch: true}"),
		}},
	}
}
