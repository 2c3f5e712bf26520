// Package live keeps one graph composed of subgraphs that come and go.
//
//	reg := live.New(live.Config{Fetch: …, Publish: …})
//	go reg.Run(ctx)
//	reg.Put(live.Source{Name: "books.acme.example", URL: …})   // a route came, or changed
//	reg.Gone("books.acme.example")                             // it was withdrawn
//
// Schemas are fetched and composed beside the requests, which go on with the graph that they have; what was composed
// is handed to Publish as a whole. A subgraph whose schema cannot be had, or does not compose with the others, is
// left out with its reason and stops nobody else. One whose route is gone stays in the graph for a while, so that
// operations get partial data instead of validation errors while a route flaps, and then leaves.
//
// The rules are in state.go, without clock or goroutine; Registry carries them out.
package live
