// Package ports says which loopback port belongs to which TCP service. It holds no socket and no file: its caller
// keeps what changes.
//
// A port belongs to a name. The name has it until an operator frees it, however long no route leads to the service;
// so an application that was told "books is at 10000" never reaches another service there. The one exception is a
// pool in which every port belongs to some name: then a new service takes the port of the one that has been away
// longest, and the table remembers that it did (Reclaimed).
//
//	t := ports.New(pool, kept, time.Now())
//	port, err := t.Take(now, "books.acme.example") // a route leads to it
//	t.Leave(now, "books.acme.example")             // none does any more; the port stays its own
//	put, drop := t.Unkept()                        // to be written down before anybody is told of the port
//	if write(put, drop) == nil { t.Kept(put, drop) }
package ports
