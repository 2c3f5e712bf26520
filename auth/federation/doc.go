// Package federation is whom a node trusts beyond its own organisation, and why: invitations to peer, the peerings
// that came of them, and the other organisations' bundles as they change. It decides and keeps; what follows for
// routes and for Envoy is its caller's.
//
// Two operators make a peering with one text that one of them sends to the other:
//
//	acme:   inv, err := book.Offer(ctx, …)             // inv.Text() goes to bravo by mail
//	bravo:  inv, err := federation.ParseInvitation(…)  // shown to the operator, who says yes
//	bravo:  answer, err := federation.Redeem(ctx, …)   // over TLS to acme's node, which inv's bundle proves
//	bravo:  err = book.Accepted(ctx, inv, answer, …)
//
// At acme's node the Handler of the book takes the redemption: the secret is spent, once, in the transaction that
// keeps the peering. From then on each side takes the other's newer bundles (Book.Take), each proved by the former.
package federation
