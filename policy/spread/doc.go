// Package spread gives the nodes of an organisation one set of policies. The node where an operator applies one signs
// it and says so to its neighbours, they fetch it, verify it, put it in force and say so to theirs. Whoever has it
// keeps it on disk, and goes on with it while it hears of no other; how long ago its signer last confirmed it is told.
//
// What nodes say is small and said again (soft state, RFC 2205 §2.3), so that anything may be lost:
//
//	head    a signer: this is my set, and it was still so at this time; every few seconds, passed on by all
//	want    give me the bytes of that set from here on; to whoever said a head that is newer
//	part    here they are
//	holder  a node: this is the set that I have in force, and how much of Cedar's vocabulary I know
//
// A set is newer if its serial is higher, or its hash, with equal serials: all nodes come to the same.
package spread
