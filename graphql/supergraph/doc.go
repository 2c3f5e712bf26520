// Package supergraph composes the schemas of subgraphs into one supergraph schema, as the Apollo Federation
// specification says: versions 1 and 2 mixed, and plain schemas that know nothing of federation.
//
//	r := supergraph.Compose([]supergraph.Subgraph{{Name: "books", URL: "http://books/graphql", SDL: sdl}}, supergraph.Options{})
//	if len(r.Errors) > 0 { … }
//	g, err := graph.ReadDocument(r.Document) // or graph.Read(r.SDL)
//
// Composition goes through five stages, and stops after the first that finds errors: every schema is loaded and
// validated by itself, older ones are upgraded, all are merged type by type, the whole is validated, and at last
// every field that a client can ask for is checked to be reachable over the subgraphs.
//
// A Composer does so again and again, and keeps what it knows of subgraphs that do not change.
//
// The package is pure: no I/O, clock or goroutine, and equal input gives equal output. It neither fetches schemas nor
// plans.
package supergraph
