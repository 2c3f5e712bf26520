// Package rib holds the routing tables of one node: what each peer said (Adj-RIB-In), what is used of it and why
// (Loc-RIB), and what each peer was told (Adj-RIB-Out). It is a pure data structure: no clock, goroutine or lock; one
// owner calls it.
//
//	t := rib.New(rib.Config{Self: self})
//	t.AddPeer(7, rib.PeerConfig{Node: node})
//	t.Established(7, ingress)            // the table goes out, then End-of-RIB
//	res := t.Apply(7, update)            // what the peer said
//	for t.Work(1000) {}                  // bulk consequences, in slices
//	for u := t.Update(8); u != nil; …    // what another peer has to hear, newest state only
//	for _, s := range cursor.Next(100) { compile(s) }
//
// Cost is proportional to the change: a route costs the same in a table of ten and of a million. Services and
// attribute sets are numbers into pointer-free arrays, a path is 36 bytes, and what a peer was told is 4 bytes a
// service, so that memory follows the number of routes and the garbage collector has nothing to scan.
package rib
