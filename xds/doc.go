// Package xds compiles forwarding state into Envoy's resources. It is pure: the same states give the same bytes,
// whatever came before, and a change costs what the changed services cost, never what the table does.
//
//	c := xds.NewCompiler(cfg)
//	delta := c.Start(identity)                // listeners and secrets: constant
//	delta, problems := c.Apply(change)        // clusters, scoped routes and TCP listeners of what changed
//
// Envoy is used like a router's forwarding table (docs/data-plane.md). A cluster stands for a distinct list of next
// hops and is never edited; all services that go there share it. A service is a scope of routes, the same at egress
// and ingress, so that a node in the middle forwards by the same table. TCP rides in HTTP/2 CONNECT streams over the
// same pooled connections.
package xds
