// Package tap keeps the calls that Envoy tells of as they end (envoy.service.accesslog.v3), shows them as they come,
// and finds those of a while ago.
//
//	t, err := tap.New(tap.Config{Bytes: 64 << 20, Caller: ads.Caller, At: ports.At, Log: log, Meter: meter})
//	t.Register(grpcServer)
//	w := t.Watch(tap.Filter{Service: "books.acme.example"})
//	for { c, missed := w.Next(ctx); … }
//	calls := t.Find(tap.Filter{Outcome: tap.Denied}, 100) // newest first
//
// Half of the memory is for calls that failed or were denied, so that many good ones do not push them out: one in
// 100,000 is found a second later as well as an hour.
package tap

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"slices"
	"sync"
	"time"

	accesslog "github.com/envoyproxy/go-control-plane/envoy/service/accesslog/v3"
	"go.opentelemetry.io/otel/metric"
	"google.golang.org/grpc"

	"github.com/catalyst-router/catalyst/bgp"
	"github.com/catalyst-router/catalyst/xds"
)

// Config is what a tap needs.
type Config struct {
	Bytes int // of memory for calls, about; required
	// Share is how many of a hundred calls that went well Envoy tells of, and Slow from when on of all (xds.Tap).
	Share float64
	Slow  time.Duration
	// Caller says which Envoy has a connection, by its certificate, or "" for one on the node's own socket; an error
	// refuses it. Required.
	Caller func(context.Context) (string, error)
	// At says which TCP service an application reaches at a local address; "" for none. Required.
	At    func(netip.AddrPort) bgp.Service
	Log   *slog.Logger // required
	Meter metric.Meter // nil for no figures
}

// Tap keeps calls. It is safe for concurrent use.
type Tap struct {
	accesslog.UnimplementedAccessLogServiceServer
	cfg     Config
	metrics *metrics

	mu       sync.Mutex
	seq      uint64
	ordinary ring // guarded by mu
	others   ring // those that did not go well; guarded by mu
	watchers []*Watcher
}

// New returns a tap that has seen nothing.
func New(cfg Config) (*Tap, error) {
	t := &Tap{cfg: cfg, ordinary: ring{most: cfg.Bytes / 2}, others: ring{most: cfg.Bytes / 2}}
	var err error
	t.metrics, err = newMetrics(cfg.Meter, t)
	return t, err
}

// Register has a server take what Envoys tell.
func (t *Tap) Register(s grpc.ServiceRegistrar) { accesslog.RegisterAccessLogServiceServer(s, t) }

// StreamAccessLogs implements accesslog.AccessLogServiceServer.
func (t *Tap) StreamAccessLogs(s accesslog.AccessLogService_StreamAccessLogsServer) error {
	envoy, err := t.cfg.Caller(s.Context())
	if err != nil {
		return err
	}
	var log string
	for {
		m, err := s.Recv()
		if err != nil {
			return s.SendAndClose(&accesslog.StreamAccessLogsResponse{}) // Envoy has gone, or goes
		}
		if id := m.GetIdentifier(); id != nil { // the first message alone has it
			log = clip(id.GetLogName())
			if envoy == "" {
				envoy = clip(id.GetNode().GetId())
			}
		}
		var calls []*Call
		for _, e := range m.GetHttpLogs().GetLogEntry() {
			calls = append(calls, ofRequest(e))
		}
		for _, e := range m.GetTcpLogs().GetLogEntry() {
			calls = append(calls, ofConnection(e, t.cfg.At))
		}
		t.take(log, envoy, calls)
	}
}

func (t *Tap) take(log, envoy string, calls []*Call) {
	for _, c := range calls {
		c.Seen, c.Envoy = log, envoy
		t.metrics.ended(c)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, c := range calls {
		t.seq++
		c.Seq = t.seq
		if c.Outcome == OK {
			t.ordinary.add(c)
		} else {
			t.others.add(c)
		}
		for _, w := range t.watchers {
			w.offer(c)
		}
	}
}

// Find returns the newest calls that a filter takes, newest first, at most so many.
func (t *Tap) Find(f Filter, most int) []*Call {
	t.mu.Lock()
	defer t.mu.Unlock()
	var found []*Call
	for _, r := range []*ring{&t.ordinary, &t.others} {
		n := 0
		r.newest(func(c *Call) bool {
			if f.Takes(c) {
				found = append(found, c)
				n++
			}
			return n < most
		})
	}
	slices.SortFunc(found, func(a, b *Call) int { return int(int64(b.Seq - a.Seq)) }) //nolint:gosec // near each other
	return found[:min(most, len(found))]
}

// room is how many calls wait for a watcher.
const room = 1024

// Watcher gets calls as they end. One that falls behind misses some and is told how many.
type Watcher struct {
	t      *Tap
	filter Filter
	calls  chan *Call
	missed int // guarded by the tap's mu
}

// MaxWatchers bounds those who watch at a time.
const MaxWatchers = 64

// ErrBusy says that MaxWatchers watch already.
var ErrBusy = errors.New("too many watch calls already: end another catalyst tap") //nolint:gochecknoglobals // a sentinel

// Watch returns a watcher, which has to be closed.
func (t *Tap) Watch(f Filter) (*Watcher, error) {
	w := &Watcher{t: t, filter: f, calls: make(chan *Call, room)}
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.watchers) == MaxWatchers {
		return nil, ErrBusy
	}
	t.watchers = append(t.watchers, w)
	return w, nil
}

// offer is called with the tap's mu.
func (w *Watcher) offer(c *Call) {
	if !w.filter.Takes(c) {
		return
	}
	select {
	case w.calls <- c:
	default:
		w.missed++
	}
}

// Next waits for a call, and says how many were missed before it; an error when ctx ends.
func (w *Watcher) Next(ctx context.Context) (c *Call, missed int, err error) {
	select {
	case c = <-w.calls:
	case <-ctx.Done():
		return nil, 0, ctx.Err()
	}
	w.t.mu.Lock()
	defer w.t.mu.Unlock()
	missed, w.missed = w.missed, 0
	return c, missed, nil
}

// Close ends the watch.
func (w *Watcher) Close() {
	w.t.mu.Lock()
	defer w.t.mu.Unlock()
	w.t.watchers = slices.DeleteFunc(w.t.watchers, func(o *Watcher) bool { return o == w })
}

// Way is the nodes of a call, the caller's first: those that it crossed before it came to this node, this node, and
// those that it went on to, which ahead says.
func (c *Call) Way(self bgp.NodeID, ahead []bgp.NodeID) []bgp.NodeID {
	way := slices.Clone(c.Crossed)
	if i := slices.Index(way, self); i >= 0 { // this node's Envoy has put it there itself
		way = way[:i]
	}
	if sender := c.callerNode(); c.Seen == xds.TapIngress && !sender.IsZero() && !slices.Contains(way, sender) {
		way = append(way, sender) // a border hides what is behind it
	}
	way = append(way, self)
	for _, n := range ahead {
		if n != self {
			way = append(way, n)
		}
	}
	return way
}
