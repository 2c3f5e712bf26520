// Package policy decides who may do what, by Cedar policies: who may order what of a node, who may call which
// service, which routes may pass. Everything that is not permitted is denied, and so is what cannot be evaluated.
//
//	snap, problems := policy.Compile(policy.Source{Policies: documents, Entities: entities})   // parsed, validated strictly, indexed
//	engine.Publish(snap)                                                                      // at once for whoever asks from now on
//	d := engine.Decide(policy.Call{Peer: "spiffe://bravo.example/node/edge", Service: "books.acme.example", Method: "GET"}.Request())
//	d.Allow, d.Policies, d.Errors, d.Snapshot
//
// A snapshot never changes, so that no request is decided by half of a set. It finds the policies that can apply to a
// request by the entities that their scopes name, so that a decision costs the same with ten policies and ten
// thousand.
//
// The package reads no file, opens no connection and knows neither Envoy nor tokens: package extauthz and the node
// do.
package policy
