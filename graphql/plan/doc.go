// Package plan compiles GraphQL operations against a supergraph into plans: trees of subgraph requests with
// everything an executor needs worked out in advance.
//
//	g, err := graph.Read(supergraphSDL)
//	planner := plan.New(g, plan.Options{})
//	op, errs := planner.Prepare(query, operationName)   // parse, validate, normalise; cached
//	p, err := planner.Plan(op, plan.Facts{…})           // cached per operation and facts
//
// A plan has the least number of dependent rounds the planner can find, then the fewest requests, then the fewest
// fields. The package performs no I/O, reads no clock and starts no goroutine; equal input gives equal plans.
package plan
