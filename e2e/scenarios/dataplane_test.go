package scenarios

const (
	limitsFile    = "xds/limits.go"
	retryFile     = "xds/retry.go"
	egressFile    = "xds/egress.go"
	overloadFile  = "envoy/overload.go"
	statsFile     = "xds/stats.go"
	clusterFile   = "xds/cluster.go"
	listenersFile = "xds/listener.go"
)

// dataPlaneScenarios are about ordinary traffic, and about callers that mean no good.
func dataPlaneScenarios() []scenario {
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
					"retry.RetryOn = unsent + \",reset\"", "retry.RetryOn = unsent"),
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
