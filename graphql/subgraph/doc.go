// Package subgraph asks a GraphQL service for its schema, in whichever of three ways the service knows: `_service {
// sdl }` (Apollo Federation), `_sdl`, or introspection, which is printed as SDL.
//
//	sdl, kind, err := subgraph.Fetch(ctx, client, "http://127.0.0.1:4001/graphql", nil)
//
// It does not judge the schema: graphql/supergraph does. What a service answers is bounded in size and time, and
// nothing it answers is followed or executed.
package subgraph
