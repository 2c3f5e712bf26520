package peering

import (
	"context"
	"net"
	"sync/atomic"

	"google.golang.org/grpc/credentials"
)

// A flow counts what a connection's streams were given and what of it has left, so that a message can be given to a stream with the certainty
// that gRPC takes it at once: it holds a caller up only while 64 KiB of the stream wait for the peer's window or its socket. gRPC does not tell how
// much waits, but below it, between HTTP/2 and TLS, every DATA frame comes by (RFC 9113 §6.1).
type flow struct {
	net.Conn
	given, left atomic.Int64 // bytes of messages with their prefixes
	scan        frameScan    // owned by gRPC's one writer of the connection
}

// idle tells that nothing waits on any stream of the connection. After a stream has ended with something waiting that is never so again.
func (f *flow) idle() bool { return f.given.Load() == f.left.Load() }

// Write implements net.Conn.
func (f *flow) Write(b []byte) (int, error) {
	n, err := f.Conn.Write(b)
	f.left.Add(f.scan.data(b[:n]))
	return n, err
}

// frameScan finds the DATA frames in one direction of an HTTP/2 connection, however it is cut into pieces.
type frameScan struct {
	skip   int // bytes of the current frame that are still to come; of the client's preface at first
	isData bool
	header [9]byte
	have   int // bytes of the next header
}

const clientPreface = len("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")

// data returns how many bytes of b are payload of DATA frames.
func (s *frameScan) data(b []byte) (n int64) {
	for len(b) > 0 {
		if s.skip > 0 {
			k := min(s.skip, len(b))
			if s.isData {
				n += int64(k)
			}
			s.skip -= k
			b = b[k:]
			continue
		}
		k := copy(s.header[s.have:], b)
		s.have += k
		b = b[k:]
		if s.have == len(s.header) {
			s.have = 0
			s.skip = int(s.header[0])<<16 | int(s.header[1])<<8 | int(s.header[2])
			s.isData = s.header[3] == 0
		}
	}
	return n
}

// flowInfo is what gRPC knows of a connection with a flow.
type flowInfo struct {
	credentials.TLSInfo
	flow *flow
}

// flows puts a flow on top of each connection that its credentials have secured.
type flows struct {
	credentials.TransportCredentials
}

// ServerHandshake implements credentials.TransportCredentials.
func (f flows) ServerHandshake(raw net.Conn) (net.Conn, credentials.AuthInfo, error) {
	return withFlow(f.TransportCredentials.ServerHandshake(raw))(0)
}

// ClientHandshake implements credentials.TransportCredentials.
func (f flows) ClientHandshake(ctx context.Context, authority string, raw net.Conn) (net.Conn, credentials.AuthInfo, error) {
	return withFlow(f.TransportCredentials.ClientHandshake(ctx, authority, raw))(clientPreface)
}

// Clone implements credentials.TransportCredentials.
func (f flows) Clone() credentials.TransportCredentials { return flows{f.TransportCredentials.Clone()} }

func withFlow(conn net.Conn, info credentials.AuthInfo, err error) func(preface int) (net.Conn, credentials.AuthInfo, error) {
	return func(preface int) (net.Conn, credentials.AuthInfo, error) {
		tls, ok := info.(credentials.TLSInfo)
		if err != nil || !ok {
			return conn, info, err
		}
		f := &flow{Conn: conn, scan: frameScan{skip: preface}}
		return f, flowInfo{tls, f}, nil
	}
}
