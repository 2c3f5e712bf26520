// Package fib keeps on disk what Envoy took last, as a router keeps its forwarding table while the routing process is
// away. A control plane that starts without a peer to ask hands that to its Envoy (docs/data-plane.md, "Restarts").
//
//	resources, err := fib.Load(path)       // before Envoy is answered; an error names what is wrong with the file, and costs nothing but its content
//	s := fib.New(fib.Config{Path: path, Log: log, All: server.Taken})
//	go s.Run(ctx)
//	s.Set(resource); s.Remove(ref)         // from anywhere, at any rate: they note the change and return
//
// The file is a log of changes with checksums, begun anew by each process and when half of it is out of date, so that
// a change costs its own bytes. Changes that come while the disk is busy are written together, and take effect
// together: a file that was cut off gives the state of the last complete group. What holds keys (secrets) is never
// written.
package fib
