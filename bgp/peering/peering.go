// Package peering is the shell around bgp/speaker: gRPC streams over mutual TLS at one side, consumers of the Loc-RIB at the other, and
// one goroutine between them that owns the speaker.
//
//	r, err := peering.New(cfg)
//	go r.Run(ctx)                               // blocks; returns when all it started has stopped
//	err = r.Do(ctx, speaker.PeerSet{…})         // an operator's event
//	feed := r.Subscribe()                       // dump, marker, changes
//	err = r.Query(ctx, func(s *speaker.Speaker) { … })
//
// Each stream has one reader and one writer. A reader stops reading when the loop is behind, so that TCP pushes back; a writer is given no
// more than a few UPDATEs at a time. Nothing waits for a peer: a dial that hangs, a peer that reads nothing and a consumer that
// falls behind hold up themselves alone.
package peering

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"math/rand/v2"
	"net"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/keepalive"

	"github.com/catalyst-router/catalyst/auth/identity"
	"github.com/catalyst-router/catalyst/bgp"
	"github.com/catalyst-router/catalyst/bgp/speaker"
	"github.com/catalyst-router/catalyst/bgp/wire"
)

// Config is what a router needs.
type Config struct {
	Speaker  speaker.Config   // required
	Identity *identity.Source // required
	Log      *slog.Logger     // required
	// Observe is told of every step and how long it took; nil for nobody. It is called from the loop and must not block.
	Observe func(ev speaker.Event, took time.Duration, waiting int)
	// Answer answers the traces of peers, each in a goroutine of its own; nil to decline them all.
	Answer Answer
	// Recorder keeps every event for replay; nil for nobody.
	Recorder Recorder
}

// Recorder is told, from the loop, of all that the speaker takes and does, as bgp/record is. It must not block.
type Recorder interface {
	Begin(now time.Time, cfg speaker.Config, chance *rand.PCG)
	Event(now time.Time, ev speaker.Event) // before it is taken
	Done(now time.Time, sp *speaker.Speaker, effects []speaker.Effect)
	FeedAdded(id uint64)
	FeedTook(id uint64, n int)
	FeedGone(id uint64)
}

const (
	inbox       = 256 // messages read and not yet taken, of all streams together
	dialTimeout = 10 * time.Second
	closeGrace  = time.Second // for the last messages of a session that ends
	window      = 1 << 20     // bytes under way on a stream
	maxStreams  = 4           // of one connection
)

// Router is a running node's peering.
type Router struct {
	cfg Config
	sp  *speaker.Speaker
	// chance is what sp draws from; owned by the loop, as sp is.
	chance *rand.PCG
	in     chan speaker.Event
	ops    chan op
	wake   chan struct{}
	ready  chan struct{} // closed when the data plane may be published
	done   chan struct{} // closed when the loop has ended
	walks  *walks

	ctx   context.Context // of Run
	tasks sync.WaitGroup

	mu       sync.Mutex
	nextConn speaker.ConnID           // guarded by mu
	conns    map[speaker.ConnID]*conn // guarded by mu
	feeds    []*Feed                  // owned by the loop
	nextFeed uint64                   // owned by the loop
	watchers []*Watch                 // owned by the loop
}

// op is something to be done in the loop.
type op struct {
	ev   speaker.Event // nil for a query
	do   func(*speaker.Speaker)
	done chan struct{}
}

// New returns a router that does nothing until Run.
func New(cfg Config) *Router {
	cfg.Speaker.Walk = cfg.Answer != nil
	chance := rand.NewPCG(rand.Uint64(), rand.Uint64())
	return &Router{
		cfg: cfg, chance: chance, sp: speaker.New(cfg.Speaker, rand.New(chance)), //nolint:gosec // jitter, not secrets
		in: make(chan speaker.Event, inbox), ops: make(chan op), wake: make(chan struct{}, 1), ready: make(chan struct{}), done: make(chan struct{}),
		conns: map[speaker.ConnID]*conn{}, walks: newWalks(),
	}
}

// Published is closed when the data plane may be given what the tables say: at once, or after a restart when they are complete.
func (r *Router) Published() <-chan struct{} { return r.ready }

// ErrStopped is returned by calls on a router that has stopped.
var ErrStopped = errors.New("the router has stopped") //nolint:gochecknoglobals // a sentinel

// Do gives the speaker an event and returns when it has been taken.
func (r *Router) Do(ctx context.Context, ev speaker.Event) error { return r.submit(ctx, op{ev: ev}) }

// Query calls f in the loop, between steps; f must be short, and keep nothing of what it sees.
func (r *Router) Query(ctx context.Context, f func(*speaker.Speaker)) error {
	return r.submit(ctx, op{do: f})
}

func (r *Router) submit(ctx context.Context, o op) error {
	o.done = make(chan struct{})
	select {
	case r.ops <- o:
	case <-r.done:
		return ErrStopped
	case <-ctx.Done():
		return fmt.Errorf("wait for the router: %w", ctx.Err())
	}
	select {
	case <-o.done:
		return nil
	case <-r.done:
		return ErrStopped
	case <-ctx.Done():
		return fmt.Errorf("wait for the router: %w", ctx.Err())
	}
}

// Run serves peers on lis, which may be nil for a node that only dials, until ctx ends; then streams end without a word, so that peers keep
// the routes (RFC 4724). Do a speaker.Shutdown before for a farewell.
func (r *Router) Run(ctx context.Context, lis net.Listener) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	r.ctx = ctx
	var srv *grpc.Server
	served := make(chan error, 1)
	if lis != nil {
		srv = r.server()
		go func() { served <- srv.Serve(lis) }()
	}
	go func() { defer close(r.done); r.loop(ctx) }()
	var err error
	select {
	case <-ctx.Done():
	case err = <-served:
		err = fmt.Errorf("serve peers: %w", err)
	}
	cancel()
	<-r.done
	r.mu.Lock()
	for _, c := range r.conns {
		c.cancel()
	}
	r.mu.Unlock()
	if srv != nil {
		srv.Stop()
	}
	r.tasks.Wait()
	return err
}

// loop owns the speaker.
func (r *Router) loop(ctx context.Context) {
	now := time.Now()
	r.sp.Start(now)
	if r.cfg.Recorder != nil {
		r.cfg.Recorder.Begin(now, r.cfg.Speaker, r.chance)
	}
	if r.sp.Publishing() {
		close(r.ready)
	}
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		r.arm(timer)
		select {
		case <-ctx.Done():
			r.closeFeeds()
			return
		case ev := <-r.in:
			r.step(ev)
			for range len(r.in) { // what came meanwhile, before consumers and the timer
				r.step(<-r.in)
			}
		case o := <-r.ops:
			if o.ev != nil {
				r.step(o.ev)
			} else {
				o.do(r.sp)
			}
			close(o.done)
		case <-timer.C:
			for range len(r.in) { // a peer is judged by all that was read of it
				r.step(<-r.in)
			}
			r.step(speaker.Tick{})
		case <-r.wake:
		}
		r.feed()
	}
}

func (r *Router) arm(timer *time.Timer) {
	now := time.Now()
	wait := time.Hour
	if d := r.sp.NextDeadline(now); !d.IsZero() {
		wait = max(0, d.Sub(now))
	}
	timer.Reset(wait)
}

// step takes an event, and then that streams took at once what they were to be sent of it. What they are sent of that goes to their writers, so
// that one event is never followed by more than it deserves.
func (r *Router) step(ev speaker.Event) {
	for _, id := range r.stepOnce(ev, true) {
		r.stepOnce(speaker.Writable{Conn: id}, false)
	}
}

func (r *Router) stepOnce(ev speaker.Event, atOnce bool) []speaker.ConnID {
	now := time.Now()
	if r.cfg.Recorder != nil {
		r.cfg.Recorder.Event(now, ev)
	}
	effects := r.sp.Step(now, ev)
	if r.cfg.Recorder != nil {
		r.cfg.Recorder.Done(now, r.sp, effects)
	}
	var taken []speaker.ConnID // streams that have one credit more
	for _, eff := range effects {
		s, ok := eff.(speaker.Send)
		if ok && atOnce && r.sendNow(s) {
			if bulk(s.Msg) {
				taken = append(taken, s.Conn)
			}
			continue
		}
		r.carryOut(eff)
	}
	if r.cfg.Observe != nil {
		r.cfg.Observe(ev, time.Since(now), len(r.in))
	}
	return taken
}

// sendNow sends a message if that holds nobody up.
func (r *Router) sendNow(s speaker.Send) bool {
	c := r.conn(s.Conn)
	return c != nil && c.sendNow(s.Msg)
}

func (r *Router) carryOut(eff speaker.Effect) {
	log := r.cfg.Log
	switch eff := eff.(type) {
	case speaker.Send:
		if c := r.conn(eff.Conn); c != nil {
			c.send(eff.Msg)
		}
	case speaker.CloseConn:
		if c := r.conn(eff.Conn); c != nil {
			c.finish()
		}
	case speaker.Dial:
		r.tasks.Go(func() { r.dial(eff) })
	case speaker.SessionChanged:
		log.Log(r.ctx, levelOf(eff), "session", "peer", eff.Peer.String(), "from", eff.From.String(), "to", eff.To.String(), "reason", eff.Reason, "by_peer", eff.Remote)
	case speaker.LimitReached:
		log.Warn("peer announces more routes than it may", "peer", eff.Peer.String(), "limit", eff.Limit, "closed", eff.Closed)
	case speaker.Rejected:
		if len(eff.Malformed) > 0 {
			m := eff.Malformed[0]
			log.Warn("malformed routes", "peer", eff.Peer.String(), "count", len(eff.Malformed), "service", string(m.Service), "attribute", m.Attribute, "reason", m.Reason)
			break
		}
		log.Debug("routes rejected", "peer", eff.Peer.String(), "count", eff.Count, "reason", eff.Reason.String())
	case speaker.Heard:
		r.heard(eff)
	case speaker.PublishReady:
		log.Info("tables complete", "why", eff.Why)
		close(r.ready)
	}
	for _, w := range r.watchers {
		w.offer(eff)
	}
}

func levelOf(s speaker.SessionChanged) slog.Level {
	if s.Reason == "" && s.To.String() != "Established" {
		return slog.LevelDebug
	}
	return slog.LevelInfo
}

func (r *Router) conn(id speaker.ConnID) *conn {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.conns[id]
}

// post gives the loop an event; false if the router has stopped.
func (r *Router) post(ev speaker.Event) bool {
	select {
	case r.in <- ev:
		return true
	case <-r.ctx.Done():
		return false
	}
}

// server answers peers that dial.
func (r *Router) server() *grpc.Server {
	srv := grpc.NewServer(
		grpc.Creds(flows{credentials.NewTLS(r.cfg.Identity.ServerTLS())}),
		grpc.ForceServerCodecV2(rawCodec{}),
		grpc.MaxRecvMsgSize(bgp.MaxMessageSize), grpc.MaxConcurrentStreams(maxStreams), grpc.ConnectionTimeout(dialTimeout),
		grpc.InitialWindowSize(window), grpc.InitialConnWindowSize(window), grpc.ReadBufferSize(64<<10), grpc.WriteBufferSize(64<<10),
		// The protocol's own timers judge a peer, and no others: the transport's would end a session after five seconds in which a peer reads nothing.
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: math.MaxInt64}),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 5 * time.Second, PermitWithoutStream: true}),
	)
	srv.RegisterService(&grpc.ServiceDesc{
		ServiceName: serviceName, HandlerType: (*any)(nil),
		Streams: []grpc.StreamDesc{{StreamName: "Session", Handler: r.accept, ServerStreams: true, ClientStreams: true}},
	}, r)
	return srv
}

// accept serves one stream that a peer opened.
func (r *Router) accept(_ any, stream grpc.ServerStream) error {
	node, err := peerOf(stream.Context())
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(stream.Context())
	defer cancel()
	r.serve(ctx, cancel, stream, node, false)
	return nil
}

// dial opens a stream to a peer and serves it.
func (r *Router) dial(eff speaker.Dial) {
	ctx, cancel := context.WithCancel(r.ctx)
	defer cancel()
	timeout := time.AfterFunc(dialTimeout, cancel)
	cc, err := grpc.NewClient("passthrough:///"+eff.Address,
		grpc.WithTransportCredentials(flows{credentials.NewTLS(r.cfg.Identity.ClientTLS(eff.Peer))}),
		grpc.WithDefaultCallOptions(grpc.ForceCodecV2(rawCodec{}), grpc.MaxCallRecvMsgSize(bgp.MaxMessageSize)),
		grpc.WithInitialWindowSize(window), grpc.WithInitialConnWindowSize(window), grpc.WithReadBufferSize(64<<10), grpc.WithWriteBufferSize(64<<10),
		grpc.WithDisableServiceConfig(), grpc.WithDisableRetry(), grpc.WithNoProxy(),
	)
	var stream grpc.ClientStream
	if err == nil {
		defer func() { _ = cc.Close() }()
		stream, err = cc.NewStream(ctx, &grpc.StreamDesc{StreamName: "Session", ServerStreams: true, ClientStreams: true}, "/"+serviceName+"/Session")
	}
	if timedOut := !timeout.Stop(); err != nil || timedOut {
		r.post(speaker.DialFailed{Peer: eff.Peer, Err: dialError(eff.Address, err, timedOut)})
		return
	}
	r.serve(ctx, cancel, stream, eff.Peer, true)
}

// serve runs one stream until it is over: a reader and a writer, which end with the stream, once the caller gives that up.
func (r *Router) serve(ctx context.Context, cancel context.CancelFunc, stream rawStream, remote bgp.NodeID, dialled bool) {
	c := &conn{stream: stream, flow: flowOf(stream.Context()), cancel: cancel, signal: make(chan struct{}, 1)}
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
	r.tasks.Go(func() { read <- r.read(ctx, c) })
	r.tasks.Go(func() {
		defer close(written)
		c.write(ctx, func() { r.post(speaker.Writable{Conn: c.id}) })
	})
	var err error
	select {
	case err = <-read:
		if c.finishing() { // this side's last word may still be on its way out
			grace := time.NewTimer(closeGrace)
			defer grace.Stop()
			select {
			case <-written:
			case <-grace.C:
			case <-ctx.Done():
			}
		}
	case <-written: // the last word is said; the other side has a moment to take it
		grace := time.NewTimer(closeGrace)
		defer grace.Stop()
		select {
		case err = <-read:
		case <-grace.C:
		case <-ctx.Done():
		}
	case <-ctx.Done():
	}
	cancel()
	r.post(speaker.ConnDown{Conn: c.id, Err: streamError(err)})
}

// read hands every message of a stream to the loop, which holds it up when it is behind.
func (r *Router) read(ctx context.Context, c *conn) error {
	for {
		var f rawFrame
		if err := c.stream.RecvMsg(&f); err != nil {
			return err
		}
		m, n := wire.Decode(f.b)
		var ev speaker.Event = speaker.Received{Conn: c.id, Msg: m}
		if n != nil {
			ev = speaker.Undecodable{Conn: c.id, Notification: n, Frame: f.b[:min(len(f.b), bgp.MaxFaultBytes)]}
		}
		if !r.post(ev) {
			return ctx.Err()
		}
	}
}
