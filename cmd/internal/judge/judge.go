// Package judge is the room of a node that decides by policy: it keeps the policies in force, answers Envoy's checks
// by them, and logs what was decided so that an operator can ask why, and what another set would do.
package judge

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"
	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"

	"github.com/catalyst-router/catalyst/bgp"
	"github.com/catalyst-router/catalyst/policy"
	"github.com/catalyst-router/catalyst/policy/extauthz"
	"github.com/catalyst-router/catalyst/policy/extproc"
	"github.com/catalyst-router/catalyst/policy/spread"
	"github.com/catalyst-router/catalyst/policy/store"
)

// Config is what a judge needs.
type Config struct {
	Data  string       // directory of policy.db; required
	Log   *slog.Logger // required
	Meter metric.Meter // required
	// Tracer has each check traced; nil for none.
	Tracer trace.Tracer
	// ServiceHeader, Headers, Shadow and Tokens are those of extauthz.Config.
	ServiceHeader string
	Headers       []string
	Shadow        bool
	Tokens        Tokens
	// Egress tells that this node's own applications are asked about as well.
	Egress bool
	// Routes tells that policies decide on routes as well.
	Routes bool
	// Sample is how many of a hundred allowances are kept, 0 to 100. Every denial is.
	Sample int
	// Sharing has the node share its policies with those of its organisation; nil for policies of its own.
	Sharing *Sharing
}

// Tokens verifies tokens. tokens.Tokens is one.
type Tokens interface {
	extauthz.Tokens
	// Changed returns a channel that is closed when something is revoked.
	Changed() <-chan struct{}
}

// Judge decides. It is safe for concurrent use.
type Judge struct {
	cfg     Config
	engine  policy.Engine
	store   *store.Store
	server  *extauthz.Server
	metrics *metrics
	changed chan struct{}
	// guarding: the speaker was told of policies that decide on routes.
	guarding atomic.Bool
	spread   *spread.Spread // nil if policies are not shared

	applying sync.Mutex // held from compiling to publishing: the newest version is the one in force
	version  int        // in force; 0 for the defaults; guarded by applying
}

const file = "policy.db"

// Open opens what is kept, and puts the newest version in force. If that cannot be compiled any more, nothing is in
// force: every check fails, and the log says why.
func Open(ctx context.Context, cfg Config) (*Judge, error) {
	s, err := store.Open(ctx, filepath.Join(cfg.Data, file))
	if err != nil {
		return nil, err
	}
	j := &Judge{cfg: cfg, store: s, changed: make(chan struct{}, 1)}
	if j.metrics, err = newMetrics(cfg.Meter, j); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	checks := extauthz.Config{
		Engine:        &j.engine,
		Log:           cfg.Log,
		ServiceHeader: cfg.ServiceHeader,
		Headers:       cfg.Headers,
		Shadow:        cfg.Shadow,
		Record:        j.record,
		Age:           j.Age,
		TimeMatters:   func() bool { snap := j.engine.Snapshot(); return snap != nil && snap.UsesTime() },
		Hold:          !cfg.Shadow,
		Tracer:        cfg.Tracer,
		Also:          func(srv *grpc.Server) { j.watching().Register(srv) },
	}
	if cfg.Tokens != nil {
		checks.Tokens = cfg.Tokens
	}
	j.server = extauthz.New(checks)
	v, err := s.Current(ctx)
	if err != nil && !errors.Is(err, store.ErrNone) {
		return nil, errors.Join(err, s.Close())
	}
	snap, err := policy.Compile(v.Source)
	if err != nil {
		cfg.Log.Error("the policies that were applied last are not valid any more: nothing is permitted until others "+
			"are applied", "version", v.Number, "error", err)
		return j, j.resume(ctx)
	}
	j.publish(snap, v.Number)
	return j, j.resume(ctx)
}

// watching ends the requests whose right ends.
func (j *Judge) watching() *extproc.Server {
	cfg := extproc.Config{Judge: j.server, Policies: j.engine.Changed, Log: j.cfg.Log}
	if j.cfg.Tokens != nil {
		cfg.Tokens = j.cfg.Tokens.Changed
	}
	return extproc.New(cfg)
}

func (j *Judge) publish(s *policy.Snapshot, version int) {
	j.version = version
	j.engine.Publish(s)
	select {
	case j.changed <- struct{}{}:
	default:
	}
	j.cfg.Log.Info("policies in force", "version", version, "hash", s.Hash(), "policies", len(s.Policies()), "entities",
		s.Entities())
}

// Run answers checks on a listener, which may be nil, and keeps decisions, until ctx ends.
func (j *Judge) Run(ctx context.Context, l net.Listener) error {
	tasks, ctx := errgroup.WithContext(ctx)
	tasks.Go(func() error { return j.store.Run(ctx) })
	if j.spread != nil {
		tasks.Go(func() error { return j.spread.Run(ctx) })
	}
	if l != nil {
		tasks.Go(func() error { return j.server.Serve(ctx, l) })
	}
	return tasks.Wait()
}

// Close closes the file.
func (j *Judge) Close() error { return j.store.Close() }

// Changed is readable after another set came into force. It has one reader.
func (j *Judge) Changed() <-chan struct{} { return j.changed }

// Decide answers a question by what is in force.
func (j *Judge) Decide(r policy.Request) policy.Decision { return j.engine.Decide(r) }

// Order decides on an order, and keeps the decision as those on calls are kept.
func (j *Judge) Order(o policy.Order) policy.Record {
	began := time.Now()
	r := policy.Record{ID: policy.NewID(), At: began, Order: &o, Decision: j.engine.Decide(o.Request())}
	r.Took = time.Since(began)
	j.record(r)
	return r
}

// Refuse keeps the refusal of an order that policies are not asked about.
func (j *Judge) Refuse(o policy.Order, why error) policy.Record {
	r := policy.Record{ID: policy.NewID(), At: time.Now(), Order: &o}
	r.Decision.Errors = []string{why.Error()}
	if snap := j.engine.Snapshot(); snap != nil {
		r.Decision.Snapshot = snap.Hash()
	}
	j.record(r)
	return r
}

// record takes a decision: figures of each, the log of denials, and the kept ones.
func (j *Judge) record(r policy.Record) {
	j.metrics.decided(r)
	allowed := r.Decision.Allow
	if !allowed {
		j.cfg.Log.Info("denied", "decision", r.ID, "principal", bgp.Printable(r.Principal()), "action", r.Action(),
			"resource", r.Resource(), "method", r.Call.Method, "policies", r.Decision.Policies, "errors", r.Decision.Errors,
			"shadow", r.Shadow)
	}
	if !allowed || rand.IntN(100) < j.cfg.Sample { //nolint:gosec // no secret
		j.store.Log(r)
	}
}

// Current returns what is in force, and its version: 0 before the first; nil if nothing is.
func (j *Judge) Current() (*policy.Snapshot, int) {
	j.applying.Lock()
	defer j.applying.Unlock()
	return j.engine.Snapshot(), j.version
}

// Apply puts a source in force, as a whole or not at all, and keeps it as the newest version. An error of type
// policy.Problems says what is wrong with it, one of type TooOldError which nodes of the organisation would not
// understand it; with anyway they are left behind.
func (j *Judge) Apply(ctx context.Context, src policy.Source, by, note string, anyway bool) (store.Version, error) {
	snap, err := policy.Compile(src)
	if err != nil {
		return store.Version{}, err
	}
	if j.spread != nil && !anyway {
		if err := j.understood(ctx, snap.Level()); err != nil {
			return store.Version{}, err
		}
	}
	j.applying.Lock()
	defer j.applying.Unlock()
	var head *spread.Head
	var shared *store.Shared
	if j.spread != nil {
		if head, shared, err = j.sign(src, by, note); err != nil {
			return store.Version{}, err
		}
	}
	v, err := j.store.Apply(ctx, src, snap.Hash(), by, note, time.Now(), shared)
	if err != nil {
		return v, err
	}
	j.publish(snap, v.Number)
	if head != nil {
		j.spread.Publish(ctx, head, shared.Packed, snap.Hash())
	}
	return v, nil
}

// Rollback puts an earlier version in force again, as the newest one; 0 stands for the defaults.
func (j *Judge) Rollback(ctx context.Context, number int, by, note string) (store.Version, error) {
	var old store.Version
	if number != 0 {
		var err error
		if old, err = j.Version(ctx, number); err != nil {
			return old, err
		}
	}
	if note == "" {
		note = fmt.Sprintf("back to version %d", number)
	}
	return j.Apply(ctx, old.Source, by, note, true)
}

// Version returns a version with its source.
func (j *Judge) Version(ctx context.Context, number int) (store.Version, error) {
	v, err := j.store.Version(ctx, number)
	if errors.Is(err, store.ErrNone) {
		return v, fmt.Errorf("version %d of the policies: %w: catalyst policy list has those that there are", number, err)
	}
	return v, err
}

// Versions returns the newest ones, newest first.
func (j *Judge) Versions(ctx context.Context, most int) ([]store.Version, error) {
	return j.store.Versions(ctx, most)
}

// Decisions returns the newest that were kept, newest first.
func (j *Judge) Decisions(ctx context.Context, most int, denied bool) ([]policy.Record, error) {
	return j.store.Newest(ctx, most, denied)
}

// Why explains a decision by the policies that made it, which may not be those in force.
func (j *Judge) Why(ctx context.Context, id string) (policy.Record, policy.Why, error) {
	r, err := j.store.Decision(ctx, id)
	if errors.Is(err, store.ErrNone) {
		return r, policy.Why{}, fmt.Errorf("decision %s: %w: allowances are kept by sample (policy.sample), and the "+
			"oldest go first", id, err)
	}
	if err != nil {
		return r, policy.Why{}, err
	}
	snap := j.engine.Snapshot()
	if snap == nil || snap.Hash() != r.Decision.Snapshot {
		if snap, err = j.former(ctx, r.Decision.Snapshot); err != nil {
			return r, policy.Why{Decision: r.Decision}, nil //nolint:nilerr // what is known is told
		}
	}
	return r, snap.Why(r), nil
}

// former compiles an earlier set again.
func (j *Judge) former(ctx context.Context, hash string) (*policy.Snapshot, error) {
	v, err := j.store.ByHash(ctx, hash)
	if errors.Is(err, store.ErrNone) {
		err = nil // the defaults have no version
	}
	if err != nil {
		return nil, err
	}
	return policy.Compile(v.Source)
}

// Simulate decides what was kept since a time by a candidate.
func (j *Judge) Simulate(ctx context.Context, src policy.Source, since time.Time) (policy.Simulation, error) {
	snap, err := policy.Compile(src)
	if err != nil {
		return policy.Simulation{}, err
	}
	sim := policy.NewSimulator(snap, runtime.GOMAXPROCS(0))
	err = j.store.Since(ctx, since, func(text []byte) error { sim.Add(text); return ctx.Err() })
	out := sim.Result()
	return out, err
}
