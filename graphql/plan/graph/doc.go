// Package graph reads a supergraph schema (the join specification's SDL, which is what composition produces) into an
// immutable model that a planner can ask: which subgraph resolves a field, with which key an entity can be entered,
// which object types a position can hold in which subgraph.
//
// It does not compose, plan or execute.
package graph
