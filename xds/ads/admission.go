package ads

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/status"

	"github.com/catalyst-router/catalyst/xds"
)

// This file decides how an Envoy gets in: which connections are accepted, how large a request may be, how often it
// may ping, and what is said of an Envoy that is turned away.
//
// The first request on a stream names everything that the Envoy has, with versions. At 200,000 services that is 11
// MiB, and gRPC's own limit is 4 MiB: an Envoy above it would be refused each time that it reconnects, for ever. So
// the limit of a connection follows from how much this server has to give.

const (
	// An Envoy that is told everything by this server can name as much as the server holds. It may be named twice: what
	// the Envoy has from an earlier process of this node, and what it has from this one.
	requestShare = 2
	requestBase  = 4 << 20
	// leastRemote bounds a request that comes by TLS, where this server holds less: the Envoy may have more services
	// than the table has left.
	leastRemote = 16 << 20 // some 280,000 services
	// leastLocal is the same for the Unix socket. Whoever can open that owns the node, so nobody else has to be
	// protected from it.
	leastLocal = 256 << 20
	// perName is what one resource costs in a request beside its name and version: the tags and lengths of a map entry
	// (protobuf encoding, "Maps").
	perName = 12

	// maxCalls is how many calls one connection carries at a time: one stream of configuration, and what Envoy asks of
	// services that are called for the first time.
	maxCalls = 1024

	handshakePatience = 10 * time.Second // for TLS and the HTTP/2 preface
	acceptPause       = 50 * time.Millisecond
	cutOffAfter       = 30 * time.Second // an Envoy that has not tried again for so long has gone
	cutOffLogEvery    = time.Minute
	maxCutOff         = 2 * maxStreams // Envoys of which it is remembered
)

// CutOff is an Envoy that this server turns away each time that it connects. It goes on with what it has, and learns
// nothing new.
type CutOff struct {
	Envoy string    // who it is: what its certificate names, its node id, or the Unix socket
	Why   string    // in words for an operator
	Since time.Time // first turned away
	Last  time.Time
	Times int
	// Expected tells that it is an Envoy that should have been served, so that the node is not ready without it. It is
	// false for one that shows a certificate of somebody else.
	Expected bool

	logged time.Time
}

// String says it in one line.
func (c CutOff) String() string {
	return fmt.Sprintf("%s is cut off since %s: %s", c.Envoy, c.Since.Format(time.RFC3339), c.Why)
}

const unixSocket = "an Envoy at the node's Unix socket"

// CutOffs returns the Envoys that are turned away at present, by name: those that tried within the last 30 seconds
// and have not been served since.
func (s *Server) CutOffs() []CutOff {
	s.mu.Lock()
	defer s.unlock()
	var all []CutOff
	for _, c := range s.places.cutOff {
		if time.Since(c.Last) < cutOffAfter {
			all = append(all, *c)
		}
	}
	slices.SortFunc(all, func(a, b CutOff) int { return cmp.Or(strings.Compare(a.Envoy, b.Envoy)) })
	return all
}

// places says who is let in, and keeps who was turned away.
type places struct {
	*books
	first  chan struct{}      // closed when an Envoy has come
	met    bool               // first is closed; guarded by mu
	cutOff map[string]*CutOff // by Envoy; guarded by mu
}

// turnAway books that an Envoy was refused, and returns the error that it is given.
func (p *places) turnAway(st *stream, expected bool, err error) error {
	p.mu.Lock()
	who := st.name()
	p.unlock()
	return p.turnAwayAs(who, expected, err)
}

// turnAwayAs is turnAway for somebody who got no stream.
func (p *places) turnAwayAs(who string, expected bool, err error) error {
	p.mu.Lock()
	now := time.Now()
	c := p.cutOff[who]
	if c == nil || now.Sub(c.Last) >= cutOffAfter {
		c = &CutOff{Envoy: who, Since: now}
		p.keepCutOff(c)
	}
	c.Why, c.Last, c.Expected = status.Convert(err).Message(), now, expected
	c.Times++
	tell := now.Sub(c.logged) >= cutOffLogEvery
	if tell {
		c.logged = now
	}
	said := *c
	p.unlock()
	if tell {
		p.cfg.Log.Error("Envoy is cut off: its stream is refused, and it goes on with what it has", "envoy", said.Envoy,
			"why", said.Why,
			"times", said.Times, "since", said.Since)
	}
	return err
}

// keepCutOff makes room for one more. The caller holds mu.
func (p *places) keepCutOff(c *CutOff) {
	for who, old := range p.cutOff {
		if len(p.cutOff) < maxCutOff {
			break
		}
		if time.Since(old.Last) >= cutOffAfter || !old.Expected {
			delete(p.cutOff, who)
		}
	}
	if len(p.cutOff) < maxCutOff {
		p.cutOff[c.Envoy] = c
	}
}

// served books that an Envoy is let in after all. The caller holds mu.
func (p *places) served(st *stream) {
	key := st.certified
	if key == "" {
		key = unixSocket // before its first request it had no other name
	}
	for _, who := range []string{key, st.node} {
		if c := p.cutOff[who]; c != nil {
			delete(p.cutOff, who)
			p.tell(func() {
				p.cfg.Log.Info("Envoy is served again", "envoy", who, "cut off for", time.Since(c.Since).Round(time.Millisecond))
			})
		}
	}
}

// name is who an Envoy is, as far as that is known.
func (st *stream) name() string {
	switch {
	case st.certified != "":
		return st.certified
	case st.node != "":
		return st.node
	}
	return unixSocket
}

// requestLimit is how many bytes one request may have on a connection that begins now.
func (s *Server) requestLimit(local bool) int {
	s.mu.Lock()
	defer s.unlock()
	least := leastRemote
	if local {
		least = leastLocal
	}
	return max(least, requestBase+requestShare*s.view.mostNamed)
}

// tooLarge is a request that is over the limit of its connection. gRPC has said so to the Envoy already, in its own
// words.
type tooLarge struct{ cause error }

// Error says it in words that help.
func (e tooLarge) Error() string {
	return fmt.Sprintf("the request is larger than this node takes: it names more resources than the node could have "+
		"sent (%s). "+
		"Restart that Envoy, so that it begins with nothing", status.Convert(e.cause).Message())
}

// Serve answers Envoys on lis until ctx ends, and returns when everything that it began has ended. The listener
// decides who may connect: a Unix socket of mode 0600, or TLS.
//
// Each connection has a gRPC server of its own, because gRPC fixes the largest request when a server is made, and
// that follows from what there is to send when the Envoy connects.
func (s *Server) Serve(ctx context.Context, lis net.Listener, opts ...grpc.ServerOption) error {
	ctx, cancel := context.WithCancel(ctx)
	var conns sync.WaitGroup
	defer conns.Wait()
	defer cancel()
	stop := context.AfterFunc(ctx, func() { _ = lis.Close() })
	defer stop()
	for {
		conn, err := lis.Accept()
		switch {
		case ctx.Err() != nil:
			if err == nil {
				_ = conn.Close()
			}
			return nil
		case errors.Is(err, net.ErrClosed):
			return fmt.Errorf("serve Envoy: %w", err)
		case err != nil: // such as too many open files: it may be over in a moment
			s.cfg.Log.Error("accept an Envoy's connection", "error", err)
			if !pause(ctx, acceptPause) {
				return nil
			}
		default:
			conns.Go(func() { s.serveConn(ctx, conn, opts) })
		}
	}
}

func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// serveConn serves one connection until it is closed or ctx ends.
func (s *Server) serveConn(ctx context.Context, conn net.Conn, opts []grpc.ServerOption) {
	local := conn.LocalAddr().Network() == "unix"
	srv := grpc.NewServer(append(slices.Clip(opts), grpc.MaxRecvMsgSize(s.requestLimit(local)),
		grpc.MaxConcurrentStreams(maxCalls),
		grpc.InitialWindowSize(1<<20), grpc.InitialConnWindowSize(1<<20), grpc.ConnectionTimeout(handshakePatience),
		grpc.WaitForHandlers(true),
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: s.cfg.Pings, Timeout: xds.KeepaliveTimeout}),
		// gRPC allows a client one ping in 5 minutes and ends the connection of one that pings more. Envoy pings at the
		// same interval as this server.
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{
			MinTime:             s.cfg.Pings / 2,
			PermitWithoutStream: true,
		}))...)
	v := &visit{Server: s, leave: make(chan struct{}, 1), shown: make(chan time.Time, 1)}
	discovery.RegisterAggregatedDiscoveryServiceServer(srv, v)
	if s.cfg.Register != nil {
		s.cfg.Register(srv)
	}
	stop := context.AfterFunc(ctx, func() {
		_ = conn.Close() // one that has not said anything yet would be waited for
		srv.Stop()
	})
	defer stop()
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = srv.Serve(newSingle(conn)) // its error is that of the single listener: there is no second connection
	}()
	if v.wait(done) { // the next connection has the limit of its own time
		srv.GracefulStop()
	}
	srv.Stop()
	<-done
}

// wait returns when a connection is to end: true when its streams may end by themselves, false when it is over or the
// certificate that was shown on it is. An Envoy that has another by then connects again and is sent nothing twice; one
// that has not goes on with what it was given.
func (v *visit) wait(done <-chan struct{}) bool {
	var over <-chan time.Time
	for {
		select {
		case <-done:
			return false
		case <-v.leave:
			return true
		case until := <-v.shown:
			t := time.NewTimer(time.Until(until))
			defer t.Stop() // there is one certificate a connection
			over = t.C
		case <-over:
			v.cfg.Log.Info("an Envoy's certificate has ended, and with it its connection")
			return false
		}
	}
}

// visit is the discovery service on one connection.
type visit struct {
	*Server
	leave chan struct{}  // asked for when a stream was refused for its size
	shown chan time.Time // when the certificate ends that was shown on the connection; none on a Unix socket
	told  sync.Once
}

// certificate has the connection end with the certificate that was shown on it.
func (v *visit) certificate(ctx context.Context) {
	if state, ok := overTLS(ctx); ok && len(state.PeerCertificates) > 0 {
		v.told.Do(func() { v.shown <- state.PeerCertificates[0].NotAfter })
	}
}

// hangUp ends the connection when its streams have ended.
func (v *visit) hangUp() {
	select {
	case v.leave <- struct{}{}:
	default:
	}
}

// DeltaAggregatedResources serves one Envoy.
func (v *visit) DeltaAggregatedResources(rpc discovery.AggregatedDiscoveryService_DeltaAggregatedResourcesServer) error {
	v.certificate(rpc.Context())
	return v.ended(v.Server.DeltaAggregatedResources(rpc))
}

// StreamAggregatedResources serves one Envoy that asks for the state of the world.
func (v *visit) StreamAggregatedResources(rpc discovery.AggregatedDiscoveryService_StreamAggregatedResourcesServer) error {
	v.certificate(rpc.Context())
	return v.ended(v.Server.StreamAggregatedResources(rpc))
}

func (v *visit) ended(err error) error {
	if large := (tooLarge{}); errors.As(err, &large) {
		v.hangUp()
	}
	return err
}

// single is a listener that has one connection, and ends with it.
type single struct {
	conn   net.Conn
	accept chan net.Conn
	closed chan struct{}
	once   *sync.Once
}

func newSingle(conn net.Conn) *single {
	l := &single{conn: conn, accept: make(chan net.Conn, 1), closed: make(chan struct{}), once: &sync.Once{}}
	l.accept <- &watched{conn, l}
	return l
}

// Accept returns the connection, and then waits until that is closed.
func (l *single) Accept() (net.Conn, error) {
	select {
	case conn := <-l.accept:
		return conn, nil
	case <-l.closed:
		return nil, io.EOF
	}
}

// Close implements net.Listener.
func (l *single) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

// Addr implements net.Listener.
func (l *single) Addr() net.Addr { return l.conn.LocalAddr() }

// watched tells its listener when it is closed.
type watched struct {
	net.Conn
	l *single
}

// Close implements net.Conn.
func (c *watched) Close() error {
	_ = c.l.Close()
	return c.Conn.Close()
}
