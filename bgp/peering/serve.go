package peering

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"slices"
	"sync"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/catalyst-router/catalyst/bgp"
	"github.com/catalyst-router/catalyst/bgp/speaker"
	"github.com/catalyst-router/catalyst/bgp/stream"
	"github.com/catalyst-router/catalyst/bgp/wire"
)

// accept takes connections until lis is closed or fails for good.
func (r *Router) accept(ctx context.Context, lis net.Listener) error {
	at := door{limit: newcomers}
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
		leave := at.enter(cancel)
		r.tasks.Go(func() { r.welcome(ctx, opening, raw, leave) })
	}
}

// A door holds those that have not shown yet whose they are. When there are too many, the one that has stood there longest has to go: who floods it
// holds up himself, since a handshake takes milliseconds.
type door struct {
	limit int

	mu   sync.Mutex
	here []*context.CancelFunc // guarded by mu; the oldest first
}

// enter lets one in, whom cancel turns out; leave has to be called when it is known who it is, or that nobody will know.
func (d *door) enter(cancel context.CancelFunc) (leave func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.here) == d.limit {
		(*d.here[0])()
		d.here = d.here[1:]
	}
	d.here = append(d.here, &cancel)
	return func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.here = slices.DeleteFunc(d.here, func(c *context.CancelFunc) bool { return c == &cancel })
		cancel()
	}
}

// transport is what both ends of a stream speak.
func transport(identity *tls.Config) stream.Config {
	return stream.Config{Method: method, MaxMessage: bgp.MaxMessageSize, TLS: identity}
}

// welcome serves the stream that a peer opens on a connection, within the context of its opening; known is called when that is over.
func (r *Router) welcome(ctx, opening context.Context, raw net.Conn, known func()) {
	s, err := stream.Accept(opening, raw, transport(r.cfg.Identity.ServerTLS()))
	known()
	if err != nil {
		r.cfg.Log.Debug("a connection came to nothing", "address", raw.RemoteAddr().String(), "err", err)
		return
	}
	node, err := r.cfg.Identity.NodeOf(s.TLS())
	if err != nil {
		s.End(codes.Unauthenticated, err.Error())
		s.Close()
		return
	}
	r.serve(ctx, s, node, false)
}

// dial opens a stream to a peer and serves it.
func (r *Router) dial(eff speaker.Dial) {
	opening, cancel := context.WithTimeout(r.ctx, dialTimeout)
	s, err := stream.Dial(opening, eff.Address, transport(r.cfg.Identity.ClientTLS(eff.Peer)))
	timedOut := errors.Is(opening.Err(), context.DeadlineExceeded)
	cancel()
	if err != nil {
		r.post(speaker.DialFailed{Peer: eff.Peer, Err: dialError(eff.Address, err, timedOut)})
		return
	}
	r.serve(r.ctx, s, eff.Peer, true)
}

// serve runs one stream until it is over, with a reader and a writer, and returns when they have ended.
func (r *Router) serve(ctx context.Context, s *stream.Stream, remote bgp.NodeID, dialled bool) {
	if !dialled {
		r.admit(ctx, remote)
	}
	ctx, cancel := context.WithCancel(ctx)
	var both sync.WaitGroup
	defer func() { cancel(); s.Close(); both.Wait() }()
	c := newConn(s)
	r.mu.Lock()
	r.nextConn++
	c.id = r.nextConn
	r.conns[c.id] = c
	r.mu.Unlock()
	defer func() {
		r.mu.Lock()
		delete(r.conns, c.id)
		r.mu.Unlock()
	}()
	if !r.post(speaker.ConnUp{Conn: c.id, Remote: remote, Dialled: dialled}) {
		return
	}
	read, written := make(chan error, 1), make(chan struct{})
	both.Go(func() { read <- r.read(ctx, s, c.id) })
	both.Go(func() {
		defer close(written)
		c.write(ctx, func() { r.post(speaker.Writable{Conn: c.id}) })
	})
	err := c.outlast(ctx, read, written)
	r.post(speaker.ConnDown{Conn: c.id, Err: streamError(err)})
}

// read hands every message of a stream to the loop, which holds it up when it is behind.
func (r *Router) read(ctx context.Context, s *stream.Stream, id speaker.ConnID) error {
	for {
		b, err := s.Receive()
		var ev speaker.Event
		if long, ok := errors.AsType[stream.TooLong](err); ok {
			ev = speaker.Undecodable{Conn: id, Notification: bgp.Notify(bgp.MessageHeaderError, bgp.BadMessageLength, "%v", long)}
		} else if err != nil {
			return err
		} else if m, n := wire.Decode(b); n != nil {
			ev = speaker.Undecodable{Conn: id, Notification: n, Frame: b[:min(len(b), bgp.MaxFaultBytes)]}
		} else {
			ev = speaker.Received{Conn: id, Msg: m}
		}
		give := r.take
		if len(b) > sizeOfOne {
			give = r.post
		}
		if !give(ev) {
			return ctx.Err()
		}
	}
}
