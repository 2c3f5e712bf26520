// Package peering is the shell around bgp/speaker: streams over mutual TLS at one side, consumers of the Loc-RIB at
// the other, and the speaker between them, which is stepped by one at a time: the loop, or the reader of a stream
// that finds nobody at it.
//
//	r, err := peering.New(cfg)
//	go r.Run(ctx)                               // blocks; returns when all it started has stopped
//	err = r.Do(ctx, speaker.PeerSet{…})         // an operator's event
//	feed, err := r.Subscribe(ctx)               // everything, then changes
//	err = r.Query(ctx, func(s *speaker.Speaker) { … })
//
// Each stream has one reader and one writer. A reader stops reading when the loop is behind, so that TCP pushes back;
// a writer is given no more than a few UPDATEs at a time. Nothing waits for a peer: a dial that hangs, a peer that
// reads nothing and a consumer that falls behind hold up themselves alone.
package peering

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/catalyst-router/catalyst/bgp"
	"github.com/catalyst-router/catalyst/bgp/speaker"
)

// Config is what a router needs.
type Config struct {
	Speaker  speaker.Config // required
	Identity Identity       // required
	Log      *slog.Logger   // required
	// Observe is told of every step and how long it took; nil for nobody. It is called between steps and must not block.
	Observe func(ev speaker.Event, took time.Duration, waiting int)
	// Answer answers the traces of peers, each in a goroutine of its own; nil to decline them all.
	Answer Answer
	// SignHop signs a hop of a path with the key that Speaker.PathKey names; nil where that is "".
	SignHop func(hop []byte) ([]byte, error)
	// Bulletin is told what nodes of this organisation say beside routes; nil reads none. It must not block.
	Bulletin func(from bgp.NodeID, body []byte)
	// Recorder keeps every event for replay; nil for nobody.
	Recorder Recorder
	// Admit is told of a verified node that dials and is no peer, and may make it one (speaker.PeerSet) before it
	// returns. Nil admits nobody. It may block.
	Admit func(ctx context.Context, remote bgp.NodeID)
	// Serving tells whether applications use this machine at the moment: while they do, a peer that sends much is
	// slowed down if the machine is busy (pace.go). Nil for unknown. It must not block.
	Serving func() bool
	// Endpoint takes the connections that come to the peering's address and speak HTTP/1.1; nil closes them.
	Endpoint Endpoint
}

// Endpoint is what else is served at the peering's address, as package federation does.
type Endpoint interface {
	// TLS is for connections that do not ask for a session. It need not verify who asks.
	TLS() *tls.Config
	// Take serves a connection, which is its own from then on. It must not block for long.
	Take(ctx context.Context, conn *tls.Conn)
}

// Identity is how a router proves itself and knows who its peers are, as the Source of auth/identity does.
type Identity interface {
	// ServerTLS takes nodes of every organisation whose roots are known.
	ServerTLS() *tls.Config
	// ClientTLS dials exactly that node.
	ClientTLS(peer bgp.NodeID) *tls.Config
	// NodeOf returns the node that a verified connection's certificate names.
	NodeOf(tls.ConnectionState) (bgp.NodeID, error)
}

// Recorder is told, between steps, of all that the speaker takes and does, as bgp/record is. It must not block.
type Recorder interface {
	Begin(now time.Time, cfg speaker.Config, chance *rand.PCG)
	Event(now time.Time, ev speaker.Event) // before it is taken
	Done(now time.Time, sp *speaker.Speaker, effects []speaker.Effect)
	FeedAdded(id uint64)
	FeedTook(id uint64, n int)
	FeedGone(id uint64)
}

const (
	// bytes of a message that its reader may give the speaker itself; larger ones are decoded while it works
	sizeOfOne   = 4 << 10
	dialTimeout = 10 * time.Second
	closeGrace  = time.Second // for the last messages of a session that ends
	acceptPause = 50 * time.Millisecond
)

// Router is a running node's peering.
type Router struct {
	cfg Config

	// turn is held by whoever steps the speaker: the loop, or a reader that finds nobody at it.
	turn     sync.Mutex
	sp       *speaker.Speaker // guarded by turn
	chance   *rand.PCG        // guarded by turn; what sp draws from
	feeds    []*Feed          // guarded by turn
	nextFeed uint64           // guarded by turn
	watchers []*Watch         // guarded by turn
	// conditions that others wait for; guarded by turn
	conditions []*condition
	armed      time.Time // guarded by turn; when the loop's timer is due
	running    bool      // guarded by turn

	pace     pace
	in       *inbox // what readers left for the loop
	own      *box   // the part of it that belongs to no stream
	ops      chan *op
	wake     chan struct{}
	offers   chan struct{} // books of who offers names have changed
	attested chan struct{} // what an organisation attests has changed
	ready    chan struct{} // closed when the data plane may be published
	done     chan struct{} // closed when the loop has ended
	traces   *traces
	whys     questions[*bgp.WhyReply]

	ctx   context.Context // of Run
	tasks sync.WaitGroup

	mu       sync.Mutex
	nextConn speaker.ConnID           // guarded by mu
	conns    map[speaker.ConnID]*conn // guarded by mu
	// refuse is what Review was called with last; nil before. Guarded by mu.
	refuse func(leaf *x509.Certificate) error
}

// op is something to be done in the loop.
type op struct {
	ev   speaker.Event // nil for a query
	do   func(*speaker.Speaker)
	done chan struct{}
	// claimed is set by the loop when it begins the op, or by the caller when it gives up, whichever is first: an op
	// that was given up is never begun, and one that has begun is waited for.
	claimed atomic.Bool
}

// New returns a router that does nothing until Run.
func New(cfg Config) *Router {
	cfg.Speaker.Trace, cfg.Speaker.Bulletins = cfg.Answer != nil, cfg.Bulletin != nil
	chance := rand.NewPCG(rand.Uint64(), rand.Uint64())
	in, ready := newInbox(), make(chan struct{})
	return &Router{
		cfg: cfg, pace: pace{serving: cfg.Serving, ready: ready},
		chance: chance, sp: speaker.New(cfg.Speaker, rand.New(chance)), //nolint:gosec // jitter, not secrets
		in: in, own: in.newBox(), ops: make(chan *op), wake: make(chan struct{}, 1), offers: make(chan struct{}, 1),
		attested: make(chan struct{}, 1),
		ready:    ready, done: make(chan struct{}), conns: map[speaker.ConnID]*conn{}, traces: newTraces(),
	}
}

// Published is closed when the data plane may be given what the tables say: at once, or after a restart when they are
// complete.
func (r *Router) Published() <-chan struct{} { return r.ready }

// ErrStopped is returned by calls on a router that has stopped.
var ErrStopped = errors.New("the router has stopped") //nolint:gochecknoglobals // a sentinel

// Do gives the speaker an event and returns when it has been taken. If ctx ends before its turn comes, it is never
// taken.
func (r *Router) Do(ctx context.Context, ev speaker.Event) error { return r.submit(ctx, &op{ev: ev}) }

// Query calls f in the loop, between steps, and returns when f has; f must be short, and keep nothing of what it
// sees. If ctx ends before its turn comes, f is never called.
func (r *Router) Query(ctx context.Context, f func(*speaker.Speaker)) error {
	return r.submit(ctx, &op{do: f})
}

func (r *Router) submit(ctx context.Context, o *op) error {
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
	case <-ctx.Done():
	}
	if o.claimed.CompareAndSwap(false, true) {
		return fmt.Errorf("wait for the router: %w", ctx.Err())
	}
	<-o.done // it is under way
	return nil
}

// Run serves peers on lis, which may be nil for a node that only dials, until ctx ends; then streams end without a
// word, so that peers keep the routes (RFC 4724). Do a speaker.Shutdown before for a farewell.
func (r *Router) Run(ctx context.Context, lis net.Listener) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	r.ctx = ctx
	served := make(chan error, 1)
	if lis != nil {
		r.tasks.Go(func() { served <- r.accept(ctx, lis) })
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
	if lis != nil {
		_ = lis.Close()
	}
	r.tasks.Wait()
	return err
}

// loop gives the speaker what others left for it, and its deadlines.
func (r *Router) loop(ctx context.Context) {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	r.begin(timer)
	defer r.end()
	for {
		var work func()
		select {
		case <-ctx.Done():
			return
		case <-r.in.signal:
			work = func() {}
		case o := <-r.ops:
			work = func() { r.operate(o) }
		case <-timer.C:
			work = func() { r.drain(); r.step(speaker.Tick{}) } // a peer is judged by all that was read of it
		case <-r.wake:
			work = func() {}
		}
		r.inTurn(func() {
			work()
			r.round() // before consumers and the timer
			r.feed()
			r.judge()
			r.arm(timer)
		})
	}
}

// inTurn calls f while nobody else is at the speaker.
func (r *Router) inTurn(f func()) {
	r.turn.Lock()
	defer r.turn.Unlock()
	f()
}

func (r *Router) begin(timer *time.Timer) {
	r.turn.Lock()
	defer r.turn.Unlock()
	now := time.Now()
	r.sp.Start(now)
	if r.cfg.Recorder != nil {
		r.cfg.Recorder.Begin(now, r.cfg.Speaker, r.chance)
	}
	if r.sp.Publishing() {
		close(r.ready)
	}
	r.arm(timer)
	r.running = true
}

func (r *Router) end() {
	r.turn.Lock()
	defer r.turn.Unlock()
	r.running = false
	r.closeFeeds()
}

// operate does what is to be done between steps.
func (r *Router) operate(o *op) {
	if !o.claimed.CompareAndSwap(false, true) {
		return // its caller has given up
	}
	if o.ev != nil {
		r.step(o.ev)
		r.pace.heard(time.Now())
	} else {
		o.do(r.sp)
	}
	close(o.done)
}

// round takes one event from each box that has some, and comes back if there are more.
func (r *Router) round() {
	_, boxes := r.in.waiting()
	if r.takePosted(boxes); boxes > 0 {
		if n, _ := r.in.waiting(); n > 0 {
			poke(r.in.signal)
		}
	}
}

// drain takes everything that was read by now.
func (r *Router) drain() {
	n, _ := r.in.waiting()
	r.takePosted(n)
}

func (r *Router) takePosted(n int) {
	for range n {
		ev := r.in.take()
		if ev == nil {
			return
		}
		r.step(ev)
	}
}

// arm sets the timer for the speaker's next deadline.
func (r *Router) arm(timer *time.Timer) {
	now := time.Now()
	wait := time.Hour
	if d := r.sp.NextDeadline(now); !d.IsZero() {
		wait = max(0, d.Sub(now))
	}
	r.armed = now.Add(wait)
	timer.Reset(wait)
}

// takeNow gives the speaker an event of a stream in the caller's goroutine if nothing waits and nobody is at the
// speaker, which spares the way over the loop. It returns false if the event has to wait its turn.
func (r *Router) takeNow(ev speaker.Event) bool {
	if n, _ := r.in.waiting(); n > 0 || !r.turn.TryLock() {
		return false
	}
	defer r.turn.Unlock()
	if n, _ := r.in.waiting(); n > 0 || !r.running {
		return false
	}
	r.step(ev)
	r.feed()
	r.judge()
	if d := r.sp.NextDeadline(time.Now()); !d.IsZero() && d.Before(r.armed) {
		r.poke()
	}
	return true
}

// step gives the speaker an event. A message that results is written at once where that is possible (sendNow), and
// the speaker hears that its stream has room again. What the speaker sends then goes to the writers: otherwise one
// event could keep the loop for as long as there is something to send.
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
	if r.sp.Table().OffersChanged() {
		poke(r.offers)
	}
	if r.cfg.Recorder != nil {
		r.cfg.Recorder.Done(now, r.sp, effects)
	}
	var taken []speaker.ConnID // streams that have one credit more
	for _, eff := range effects {
		s, ok := eff.(speaker.Send)
		if ok && atOnce && r.sendNow(s) {
			if bgp.Bulk(s.Msg) {
				taken = append(taken, s.Conn)
			}
			continue
		}
		r.carryOut(eff)
	}
	if r.cfg.Observe != nil {
		waiting, _ := r.in.waiting()
		r.cfg.Observe(ev, time.Since(now), waiting)
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
		log.Log(r.ctx, levelOf(eff), "session", "peer", eff.Peer.String(), "from", eff.From.String(), "to",
			eff.To.String(), "reason", eff.Reason, "by_peer", eff.Remote)
	case speaker.LimitReached:
		log.Warn("peer announces more than it may", "peer", eff.Peer.String(), "routes", eff.Limit, "bytes", eff.Bytes,
			"closed", eff.Closed, "most", eff.Most)
	case speaker.Rejected:
		if len(eff.Malformed) > 0 {
			m := eff.Malformed[0]
			log.Warn("malformed routes", "peer", eff.Peer.String(), "count", len(eff.Malformed), "service", string(m.Service),
				"attribute", m.Attribute, "reason", m.Reason)
			break
		}
		log.Debug("routes rejected", "peer", eff.Peer.String(), "count", eff.Count, "reason", eff.Reason.String())
	case speaker.Contested:
		first := eff.Newcomers[0]
		log.Warn("a node began to offer a name that another one offers; if it is meant to, agree with catalyst route agree",
			"service", string(first.Service), "node", first.Node.String(), "standing", first.Standing.String(),
			"names", eff.Count)
	case speaker.Attested:
		log.Info("an organisation's attestation counts", "org", string(eff.Org), "serial", eff.Serial, "from",
			eff.From.String())
		poke(r.attested)
	case speaker.AttestRefused:
		log.Warn("an attestation was refused", "from", eff.From.String(), "reason", eff.Err.Error())
	case speaker.SignHop:
		r.sign(eff)
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
