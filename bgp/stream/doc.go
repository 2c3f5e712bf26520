// Package stream is one gRPC bidirectional stream on a connection of its own (the gRPC over HTTP/2 protocol, RFC
// 9113, TLS 1.3), made for a caller that must never wait: a message is read by the goroutine that wants it, and
// written by the goroutine that has it whenever the peer has room.
//
//	s, err := stream.Dial(ctx, "b.example:7471", cfg)   // or stream.Accept(ctx, conn, cfg)
//	m, err := s.Receive()                               // one reader
//	ok := s.TrySend(m)                                  // never waits; false if it would have to
//	err = s.Send(m)                                     // waits for the peer's windows, which a Receive elsewhere has to hear of, and the socket
//	s.End(codes.OK, "")                                 // nothing more from here
//	s.Close()
//
// Other gRPC clients and servers are understood: the frames on the wire are theirs. What the caller does not read
// stays with the peer: HTTP/2 windows and TCP push back. What this end owes by itself (answers to pings and settings,
// windows) is bounded, and a peer that asks for more loses its stream.
package stream
