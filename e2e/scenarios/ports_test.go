package scenarios

// addressScenarios are what may go wrong with the local ports of TCP services and with the addresses of workloads.
func addressScenarios() []scenario {
	const table, book = "envoy/ports/table.go", "cmd/internal/localports/book.go"
	return []scenario{
		{166, "ports under restarts", "Services leave and come back in another order, sessions are reset, nodes and " +
			"Envoys restart: applications reach what they were told.", []guard{
			one("a port stays with its name while no route leads to it", "envoy/ports TestAPortBelongsToAName", table,
				"\th.Away = now\n\tt.reclaimable(h)\n", "\tt.remove(h)\n\tt.release(h.Port)\n"),
			one("ports are written down before Envoy listens there", "cmd/internal/localports TestPortsAreKeptOverARestart",
				book,
				"\t\tif err := b.keep(ctx); err != nil {\n\t\t\tb.log.Error(\"local ports are not",
				"\t\tif err := error(nil); err != nil {\n\t\t\tb.log.Error(\"local ports are not"),
		}},
		{167, "ports of the kept state",
			"What Envoy is given again after a restart, and what the node says, are the same.", []guard{
				one("a port at which Envoy listens already is taken over, or Envoy is told otherwise",
					"cmd/internal/localports TestEnvoysLastStateAndTheNodesWord", book,
					"return !ok || b.table.Adopt(svc, port, now())", "return !ok || port > 0 && svc != \"\""),
			}},
		{168, "no port is left", "More TCP services than ports: who has been away longest loses its own, never one that " +
			"is here, and it is said.", []guard{
			one("nobody loses its port in the first minute", "envoy/ports TestAnExhaustedPool", table,
				"if now.Sub(old.Away) < Grace {", "if false {"),
			one("the longest away goes first", "envoy/ports TestRandomOrder", table, "first := t.away.Front()",
				"first := t.away.Back()"),
			one("an operator's choice is nobody else's", "envoy/ports TestOperatorsPinAndFree", table,
				"if !h.Pinned && t.pool[h.Port] {", "if t.pool[h.Port] {"),
		}},
		{169, "ports and a full disk", "The port is given, and written down as soon as there is room.", []guard{
			one("what could not be written is written with the next", "cmd/internal/localports TestAFullDisk", book,
				"\tif err := b.store.SavePorts(ctx, rows, drop); err != nil {\n\t\treturn err\n\t}\n\tb.table.Kept(put, drop)\n",
				"\tb.table.Kept(put, drop)\n\tif err := b.store.SavePorts(ctx, rows, drop); err != nil {\n\t\treturn err\n\t}\n"),
		}},
		{170, "a host in both families", "A name with A and AAAA records, whose workload listens on one: calls, checks " +
			"and traces reach it all the same.", []guard{
			one("Envoy has both addresses of a workload", "e2e TestAHostInBothFamilies", "xds/cluster.go",
				"\t\tif err := alternative(ep, t.Backend.Other); err != nil {\n",
				"\t\tif err := alternative(ep, \"\"); err != nil {\n"),
			one("the node tries both as well", "cmd/internal/offer/probe TestDial", "cmd/internal/offer/probe/ask.go",
				"if other == \"\" {", "if true {"),
		}},
		{171, "a host that moves or is lost",
			"Its new address is taken; one without records, or without a DNS server, keeps its last address for a stated " +
				"time, and the operator sees it.", []guard{
				one("the last addresses are kept", "cmd/internal/offer/names TestNext", "cmd/internal/offer/names/names.go",
					"if len(was.Addresses) > 0 && now.Sub(out.Lost) < keep {", "if false {"),
				one("and not for ever", "cmd/internal/offer/names TestNext", "cmd/internal/offer/names/names.go",
					"if len(was.Addresses) > 0 && now.Sub(out.Lost) < keep {", "if len(was.Addresses) > 0 {"),
				one("the same records in another order are no change", "cmd/internal/offer/names TestNamesAreFollowed",
					"cmd/internal/offer/names/names.go",
					"\tslices.SortFunc(out, netip.Addr.Compare) // of addresses of both families, the shorter is less\n", ""),
			}},
		{172, "replicas", "One of several workloads goes down, or takes no connections: no call is lost, and the " +
			"service stays up.", []guard{
			one("a service is up while one of its workloads is", "cmd/internal/offer/probe TestMerge",
				"cmd/internal/offer/probe/machine.go",
				"if down == len(all) && down > 0 {", "if down > 0 {"),
			one("one that is down gets nothing", "e2e TestReplicas", "cmd/internal/forwarding/forwarder.go",
				"if all = append(all, t); w.Status.Health != bgp.HealthDown {", "if all = append(all, t); true {"),
		}},
	}
}
