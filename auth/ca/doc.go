// Package ca is an organisation's certificate authority as a value: it makes a root, signs X.509 SVIDs (SPIFFE
// X509-SVID) and returns them. It writes no file, keeps no list of what it issued, revokes nothing and serves nobody:
// package disk keeps a CA on files, and whoever signs online records what was signed.
//
//	root, err := ca.NewRoot("acme.example", ca.RootLife)
//	svid, err := root.Sign(csr, node, time.Hour)  // the key never leaves the node: it sends a signing request
//	send(svid.PEM(), root.Roots())
//
// An authority may also stand on an intermediate that the operator's own PKI signed: Parse takes its certificate,
// followed by those up to the root.
package ca
