// Package gateway serves a supergraph to clients: GraphQL over HTTP, WebSocket and server-sent events, with the
// limits, rules and figures that a front needs. Planning and execution are graphql/plan and graphql/exec.
//
//	g := gateway.New(gateway.Config{Log: log})
//	snap, err := gateway.NewSnapshot(supergraphSDL, gateway.SnapshotOptions{Why: "start"})
//	g.Swap(snap)
//	http.Handle("/graphql", g)
//	…
//	g.Swap(next)   // at any time: what runs ends on the snapshot on which it began
//	g.Close()
//
// It does not know where supergraphs come from: graphql/live and cmd do.
package gateway
