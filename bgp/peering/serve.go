package peering

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"slices"
	"sync"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/catalyst-router/catalyst/bgp"
	"github.com/catalyst-router/catalyst/bgp/filter"
	"github.com/catalyst-router/catalyst/bgp/speaker"
	"github.com/catalyst-router/catalyst/bgp/stream"
	"github.com/catalyst-router/catalyst/bgp/wire"
)

// accept takes connections until lis is closed or fails for good.
func (r *Router) accept(ctx context.Context, lis net.Listener) error {
	at := &door{limit: newcomers}
	for {
		raw, err := lis.Accept()
		if err != nil {
			if ctx.Err() != nil || errors.Is(err, net.ErrClosed) {
				return err
			}
			r.cfg.Log.Error("a connection of a peer could not be taken", "err", err) // out of files, most likely
			select {
			case <-time.After(acceptPause):
				continue
			case <-ctx.Done():
				return err
			}
		}
		opening, cancel := context.WithTimeout(ctx, dialTimeout)
		g := at.enter(raw, cancel)
		r.tasks.Go(func() { r.welcome(ctx, opening, at, g) })
	}
}

// transport is what both ends of a stream speak.
func transport(identity *tls.Config) stream.Config {
	return stream.Config{Method: method, Others: []string{proveMethod}, MaxMessage: bgp.MaxMessageSize, TLS: identity}
}

// welcome serves the stream that a peer opens on a connection, within the context of its opening.
func (r *Router) welcome(ctx, opening context.Context, at *door, g *guest) {
	s, err := r.open(opening, at, g)
	at.leave(time.Now(), g, err == nil)
	if other, ok := errors.AsType[stream.OtherProtocol](err); ok {
		r.cfg.Endpoint.Take(ctx, other.Conn)
		return
	}
	if err != nil {
		r.cfg.Log.Debug("a connection came to nothing", "address", g.RemoteAddr().String(), "err", err)
		return
	}
	node, err := r.cfg.Identity.NodeOf(s.TLS())
	if err != nil {
		s.End(codes.Unauthenticated, err.Error())
		s.Close()
		return
	}
	if s.Method() == proveMethod {
		r.proven(ctx, s, node)
		return
	}
	r.serve(ctx, s, node, nil)
}

// errTooMany is why a connection is closed before TLS.
var errTooMany = errors.New("too many handshakes of its source came to nothing") //nolint:gochecknoglobals // a sentinel

// open waits for the first word of a connection and then for its stream, and closes it if that fails.
func (r *Router) open(opening context.Context, at *door, g *guest) (*stream.Stream, error) {
	stop := context.AfterFunc(opening, func() { _ = g.Close() })
	err := g.await()
	if err == nil && !at.speaks(time.Now(), g) {
		err = errTooMany
	}
	if !stop() {
		err = errors.Join(err, opening.Err())
	}
	if err != nil {
		_ = g.Close()
		return nil, err
	}
	cfg := transport(r.cfg.Identity.ServerTLS())
	if r.cfg.Endpoint != nil {
		cfg.Other = r.cfg.Endpoint.TLS()
	}
	return stream.Accept(opening, g, cfg)
}

// dial opens a stream to a peer and serves it.
func (r *Router) dial(eff speaker.Dial) {
	opening, cancel := context.WithTimeout(r.ctx, dialTimeout)
	identity, own := showing(r.cfg.Identity.ClientTLS(eff.Peer))
	s, err := stream.Dial(opening, eff.Address, transport(identity))
	timedOut := errors.Is(opening.Err(), context.DeadlineExceeded)
	cancel()
	if err != nil {
		r.own.put(r.ctx, speaker.DialFailed{Peer: eff.Peer, Err: dialError(eff.Address, err, timedOut)})
		return
	}
	r.serve(r.ctx, s, eff.Peer, &dialled{address: eff.Address, own: own()})
}

// Review ends the sessions whose other side showed a certificate that is refused now, and returns whose they were.
// Such a peer may dial again, and has to show another certificate. A session that begins meanwhile is reviewed when
// it begins.
func (r *Router) Review(ctx context.Context, refuse func(leaf *x509.Certificate) error) []bgp.NodeID {
	var ended []bgp.NodeID
	r.mu.Lock()
	r.refuse = refuse
	for _, c := range r.conns {
		if len(c.shown) > 0 && refuse(c.shown[0]) != nil && !slices.Contains(ended, c.remote) {
			ended = append(ended, c.remote)
		}
	}
	r.mu.Unlock()
	slices.SortFunc(ended, bgp.NodeID.Compare)
	for _, n := range ended {
		// An error says that there is no session any more, or that the router is stopping.
		_ = r.Do(ctx, speaker.PeerReset{Node: n, Text: "the certificate is revoked"})
	}
	return ended
}

// serve runs one stream until it is over, with a reader and a writer, and returns when they have ended. By is nil where
// the peer dialled.
func (r *Router) serve(ctx context.Context, s *stream.Stream, remote bgp.NodeID, by *dialled) {
	if by == nil {
		r.admit(ctx, remote)
	}
	ctx, cancel := context.WithCancel(ctx)
	var both sync.WaitGroup
	defer func() { cancel(); s.Close(); both.Wait() }()
	c := newConn(s)
	c.remote, c.shown, c.name = remote, s.TLS().PeerCertificates, nameOf(s.TLS())
	mail := r.in.newBox()
	r.mu.Lock()
	r.nextConn++
	c.id = r.nextConn
	r.conns[c.id] = c
	refuse := r.refuse
	r.mu.Unlock()
	defer func() {
		r.mu.Lock()
		delete(r.conns, c.id)
		r.mu.Unlock()
	}()
	if refuse != nil && len(c.shown) > 0 {
		if err := refuse(c.shown[0]); err != nil { // since the handshake
			s.End(codes.Unauthenticated, err.Error())
			return
		}
	}
	if !mail.put(r.ctx, speaker.ConnUp{Conn: c.id, Remote: remote, Dialled: by != nil}) {
		return
	}
	read, written := make(chan error, 1), make(chan struct{})
	both.Go(func() { read <- r.read(ctx, s, c.id, mail) })
	both.Go(func() {
		defer close(written)
		c.write(ctx, func() { mail.put(r.ctx, speaker.Writable{Conn: c.id}) })
	})
	if len(c.name) > 0 {
		both.Go(func() { r.vouch(ctx, c, by) })
	}
	err := c.outlast(ctx, read, written)
	mail.put(r.ctx, speaker.ConnDown{Conn: c.id, Err: streamError(err)})
}

// read hands every message of a stream to the speaker, and reads no further while too many wait to be taken.
func (r *Router) read(ctx context.Context, s *stream.Stream, id speaker.ConnID, mail *box) error {
	for {
		b, err := s.Receive()
		ev, err := received(id, b, err)
		if err != nil {
			return err
		}
		own, parts := isOwn(ev), []speaker.Event{ev}
		if own {
			parts = r.pace.portions(ev)
		}
		for _, ev := range parts {
			if len(parts) > 1 { // of what a peer says of its own and what it passes on, a portion may be the latter alone
				own = isOwn(ev)
			}
			r.pace.charge(&mail.cost, ev, len(b)/len(parts), own)
			if (len(b) > sizeOfOne || !r.takeNow(ev)) && !mail.put(ctx, ev) {
				return ctx.Err()
			}
			if err := r.pace.await(ctx, &mail.cost); err != nil {
				return err
			}
		}
	}
}

// received is what a stream's next frame, or its error, means to the speaker; an error ends the stream.
func received(id speaker.ConnID, b []byte, err error) (speaker.Event, error) {
	if long, ok := errors.AsType[stream.TooLong](err); ok {
		return speaker.Undecodable{
			Conn:         id,
			Notification: bgp.Notify(bgp.MessageHeaderError, bgp.BadMessageLength, "%v", long),
		}, nil
	}
	if err != nil {
		return nil, err
	}
	m, wrong := wire.Decode(b)
	if wrong != nil {
		frame := b[:min(len(b), bgp.MaxFaultBytes)]
		return speaker.Undecodable{Conn: id, Notification: wrong, Frame: frame}, nil //nolint:nilerr // the peer is told
	}
	got := speaker.Received{Conn: id, Msg: m}
	if sub, ok := m.(*bgp.Subscribe); ok {
		got.Names = filter.NewNames(sub.Services)
	}
	return got, nil
}
