package scenarios

const admissionFile = "xds/ads/admission.go"

// deliveries are what happens between a node and the Envoys that it configures.
func deliveries() []scenario {
	return []scenario{
		{136, "many services", "An Envoy with 200,000 services connects again; node and Envoy are killed in any order; " +
			"one that is refused is said to be cut off.", []guard{
			one("a request may be as large as what was sent", "xds/ads TestAnEnvoyWithManyServicesConnectsAgain", admissionFile,
				"grpc.MaxRecvMsgSize(s.requestLimit(local)), ", "grpc.MaxRecvMsgSize(4<<20 + 0*s.requestLimit(local)), "),
			one("and no larger, over TLS", "xds/ads TestARequestBeyondWhatWasSentIsRefusedAndSaid", admissionFile,
				"max(least, requestBase+requestShare*s.view.mostNamed)", "max(least, 1<<30)"),
			one("a refused request ends its connection: the next one has another limit",
				"xds/ads TestARequestBeyondWhatWasSentIsRefusedAndSaid", admissionFile,
				"\t\tv.hangUp()\n", ""),
			one("an Envoy that is refused is remembered", "xds/ads TestThePlacesAreBounded", admissionFile,
				"\t\tp.cutOff[c.Envoy] = c\n", ""),
		}},
		{137, "silence", "Nothing happens for minutes: no stream is lost, neither of an Envoy nor of a call to a " +
			"gRPC workload.", []guard{
			one("Envoy may ping as often as it does", "xds/ads TestIdleStreamsLast", admissionFile,
				"MinTime: s.cfg.Pings / 2", "MinTime: time.Hour"),
			one("workloads are not pinged", "xds/ads TestIdleStreamsLast", "xds/cluster.go", "c.http2Options(hopStreams, nil)",
				"c.http2Options(hopStreams, c.pings())"),
		}},
		{138, "a site behind NAT", "A node that can only dial out offers services: they are reached by tunnels that its " +
			"Envoy holds, with backups as any other.", []guard{
			one("a site's tunnels are those of its own certificate", "xds/ads TestNobodyElseHoldsASitesTunnels", "xds/tunnel.go",
				"CombinedValidationContext: onlyNode(site)}",
				"CombinedValidationContext: onlyNode(bgp.NodeID{Org: site.Org, Name: \"eve\"})}"),
			one("a request that finds no tunnel is tried elsewhere", "xds/ads TestTunnelsAndNextHopsBackEachOtherUp",
				"xds/tunnel.go",
				"\t\t\t\tp.RetryOn += \",retriable-headers\"\n", ""),
			one("all clusters share the tunnels", "xds/ads TestManyClustersShareTheTunnels", "xds/tunnel.go",
				"\ttunnelCount = 16\n", "\ttunnelCount = 1\n"),
		}},
		{139, "a flood of services ends", "100,000s of services come and go: the node's memory of them goes with them.",
			[]guard{
				one("maps that were large are copied", "xds/ads TestMemoryComesBackAfterAFlood", "xds/shrink/shrink.go",
					"if *most < least ||", "if *most >= 0 ||"),
			}},
		{140, "many names", "A client subscribes to thousands of names: each costs its own resource.", []guard{
			one("a name does not have the table looked through", "xds/ads TestASubscriptionCostsItsOwnNames",
				"xds/ads/server.go",
				"if sub.subscribe(name); name == \"*\" {", "if sub.subscribe(name); name != \"\" {"),
		}},
		{141, "observers", "Whoever is told what an Envoy took or refused asks the server, or is slow.", []guard{
			one("observers are told when the lock is released", "xds/ads TestObserversMayAskTheServer", "xds/ads/news.go",
				"b.news = append(b.news, what)", "what()"),
		}},
	}
}
