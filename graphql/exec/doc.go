// Package exec carries out federation plans: it asks subgraphs over HTTP, joins their answers and writes the
// response.
//
//	ex, err := exec.New(exec.Config{Subgraphs: map[string]exec.Subgraph{"books": {URL: "http://127.0.0.1:10080/graphql", Host: "books.acme.example"}}})
//	defer ex.Close()
//	res := ex.Execute(ctx, &exec.Request{Plan: p, Variables: vars, Caller: subject})
//	w.Write(res.Body)
//	res.Release()
//
// Plans with @defer and subscriptions are streams:
//
//	s, err := ex.Stream(ctx, req)
//	defer s.Close()
//	for res, err := s.Next(ctx); err == nil; res, err = s.Next(ctx) { … }   // io.EOF is the regular end
//
// # What happens to an answer
//
// A subgraph's body is kept as it came and scanned once, into a slab of nodes that hold offsets and no pointers.
// Merging links nodes; it copies no text. One pass over the plan's Response then writes the client's answer: strings
// and numbers are copied from the bodies as they stand, null propagates to the nearest nullable ancestor, and what
// has the wrong type becomes null with an error.
//
// # Errors
//
// Errors of subgraphs keep message and extensions; their path is the client's, their locations are dropped (they
// belong to a document the client never saw). Each error names `extensions.serviceName` and has an `extensions.code`:
// the subgraph's own, or one of the Code constants. A request that fails as a whole is reported once for each root
// field it was to fetch, or, for entities, once for each place of the operation, with the longest path that all
// positions there share.
package exec
