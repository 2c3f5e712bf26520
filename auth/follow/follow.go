// Package follow keeps what an identity service says up to date: the keys of its tokens and what it revoked, for the
// nodes of its own organisation and for those of others that believe its tokens.
//
//	f := follow.New(follow.Config{Issuer: "https://auth.acme.example", Org: "acme.example", Connect: connect, Log: log})
//	go f.Run(ctx)
//	f.Issuer(), f.Revocations()   // for a token.Verifier
//
// The service tells changes at once and says every few seconds that it is alive. A feed that is silent is dialled
// again; how old what is known may be is for package revoke.
package follow

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/status"

	"github.com/catalyst-router/catalyst/auth/revoke"
	"github.com/catalyst-router/catalyst/auth/token"
	"github.com/catalyst-router/catalyst/auth/wire/authv1"
	"github.com/catalyst-router/catalyst/bgp"
)

// Waits between attempts, and how long a feed may be silent.
const (
	firstRetry = time.Second
	lastRetry  = 10 * time.Second
	steady     = time.Minute // a feed that held for as long is dialled again without a wait
	silence    = 15 * time.Second
)

// Config is what a Feed needs.
type Config struct {
	Issuer string  // iss of the tokens; required
	Org    bgp.Org // trust domain that they may speak for; required
	// Connect dials the identity service with the node's certificate as it is now; required. end is called in the end.
	Connect func(ctx context.Context) (client authv1.IdentityClient, end func(), err error)
	// Roots returns the PEM of the organisation's roots that are in use, and takes over others. nil for the roots of
	// another organisation, which are not this feed's business.
	Roots func() ([]byte, error)
	// KeepRoots takes over roots that differ from those of Roots.
	KeepRoots func(pem []byte) error
	// Again, if it is not nil, returns a channel whose closing ends a wait: something that kept the feed down changed.
	Again func() <-chan struct{}
	// Refused, if it is not nil, is called when the service does not take the certificate that was shown. It must not
	// block.
	Refused func()
	// Keep is a file, or "" for none, where what was revoked is kept for a restart: a node that is cut off then refuses
	// what it knew.
	Keep string
	Log  *slog.Logger // required
}

// Feed follows one identity service. It is safe for concurrent use.
type Feed struct {
	cfg    Config
	issuer *token.Issuer
	set    *revoke.Set
	keys   atomic.Pointer[token.KeySet]
	gate   atomic.Pointer[func(ctx context.Context, pem []byte) bool] // nil: open

	mu  sync.Mutex
	err error // why the feed is down; nil if it is up; guarded by mu
}

// errNotYet is what a feed says of itself before it was up for the first time.
var errNotYet = errors.New("the identity service has not answered yet") //nolint:gochecknoglobals // a sentinel

// New returns a feed that knows nothing yet: until Run has heard of the service, no token of it is believed.
func New(cfg Config) *Feed {
	f := &Feed{cfg: cfg, set: revoke.NewSet(cfg.Issuer), err: errNotYet}
	f.recall()
	f.keys.Store(&token.KeySet{})
	f.issuer = &token.Issuer{Name: cfg.Issuer, Keys: keys{f}, TrustDomain: string(cfg.Org)}
	return f
}

// keys are the token keys as the feed last told them.
type keys struct{ f *Feed }

// Key implements token.Keys.
func (k keys) Key(_ context.Context, kid string) (*token.Key, error) {
	known := *k.f.keys.Load()
	if len(known) == 0 {
		return nil, errors.New("the identity service's keys are not known yet")
	}
	return known[kid], nil
}

// Issuer is that of the tokens, for verifiers.
func (f *Feed) Issuer() *token.Issuer { return f.issuer }

// Keys are the keys of its tokens, as it last told them; empty before it has. They are not to be changed.
func (f *Feed) Keys() token.KeySet { return *f.keys.Load() }

// Gate has the feed ask, before it tells the service that roots are used here, whether others know them. As long as
// the answer is no the service hears of none, and goes on signing by the former. published may wait, a second or so.
func (f *Feed) Gate(published func(ctx context.Context, pem []byte) bool) { f.gate.Store(&published) }

// Org is whose identity service it is.
func (f *Feed) Org() bgp.Org { return f.cfg.Org }

// Revocations is what it revoked, as far as it told.
func (f *Feed) Revocations() *revoke.Set { return f.set }

// Err is why the feed is down; nil if it is up.
func (f *Feed) Err() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.err
}

func (f *Feed) note(err error) (before error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	before, f.err = f.err, err
	return before
}

// Dial prepares to call the identity service at HOST:PORT; end is called when that is over.
func Dial(address string, cfg *tls.Config) (client authv1.IdentityClient, end func(), err error) {
	conn, err := grpc.NewClient("passthrough:///"+address, grpc.WithTransportCredentials(credentials.NewTLS(cfg)),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(8<<20)))
	if err != nil {
		return nil, nil, fmt.Errorf("dial the identity service at %s: %w", address, err)
	}
	return authv1.NewIdentityClient(conn), func() { _ = conn.Close() }, nil
}

// Run keeps the feed open until ctx ends, and what it told on the disk.
func (f *Feed) Run(ctx context.Context) error {
	var keeping sync.WaitGroup
	defer keeping.Wait()
	if f.cfg.Keep != "" {
		keeping.Go(func() { f.keep(ctx) })
	}
	return f.follow(ctx)
}

func (f *Feed) follow(ctx context.Context) error {
	for wait := firstRetry; ; wait = min(2*wait, lastRetry) {
		begun := time.Now()
		err := f.once(ctx)
		if ctx.Err() != nil {
			return nil //nolint:nilerr // it was told to end
		}
		if errors.Is(err, errOver) && time.Since(begun) > firstRetry {
			wait = firstRetry
			continue // with the certificate of now; if there is none, that is told by what comes next
		}
		if before := f.note(err); before == nil || errors.Is(before, errNotYet) {
			f.cfg.Log.Warn("the feed of revocations is down, trying again", "organisation", f.cfg.Org, "error", err)
		}
		if time.Since(begun) > steady {
			wait = firstRetry
		}
		var again <-chan struct{}
		if f.cfg.Again != nil {
			again = f.cfg.Again()
		}
		select {
		case <-ctx.Done():
			return nil
		case <-again:
		case <-time.After(wait + rand.N(wait/2) - wait/4): //nolint:gosec // no secret
		}
	}
}

// once follows one stream to its end.
func (f *Feed) once(ctx context.Context) error {
	client, end, err := f.cfg.Connect(ctx)
	if err != nil {
		return err
	}
	defer end()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := client.Follow(ctx)
	if err != nil {
		return explain(err)
	}
	quiet := time.AfterFunc(silence, cancel) // a feed that says nothing is as good as none
	defer quiet.Stop()
	for first := true; ; first = false {
		in := &authv1.FollowRequest{Seq: f.set.Seq()}
		if f.cfg.Roots != nil {
			text, err := f.cfg.Roots()
			if err != nil {
				return err
			}
			if open := f.gate.Load(); open == nil || (*open)(ctx, text) {
				sum := sha256.Sum256(text)
				in.RootsSha256 = sum[:]
			}
		}
		if err := stream.Send(in); err != nil && !first && !errors.Is(err, io.EOF) { // what Recv says then is why
			return explain(err)
		}
		out, err := stream.Recv()
		if err != nil {
			return f.ended(err, first)
		}
		quiet.Reset(silence)
		if err := f.take(ctx, out); err != nil {
			return err
		}
		_ = f.note(nil)
	}
}

// errOver says that a stream ended with the certificate that had been shown for it, as it has to.
var errOver = errors.New("the certificate that was shown has ended") //nolint:gochecknoglobals // a sentinel

// ended is why a stream ended, at its beginning or later.
func (f *Feed) ended(err error, first bool) error {
	switch {
	case status.Code(err) != codes.Unauthenticated:
	case !first: // it was shown when the stream began, and may be one from before
		return fmt.Errorf("the identity service: %w", errOver)
	case f.cfg.Refused != nil:
		f.cfg.Refused()
	}
	return explain(err)
}

// take takes over what the service says.
func (f *Feed) take(ctx context.Context, in *authv1.FollowReply) error {
	if len(in.GetKeySet()) > 0 {
		if err := f.takeKeys(in.GetKeySet()); err != nil {
			return err
		}
	}
	if len(in.GetRoots()) > 0 && f.cfg.KeepRoots != nil {
		if err := f.cfg.KeepRoots(in.GetRoots()); err != nil {
			return err
		}
	}
	if in.GetRevocations() == "" {
		return nil
	}
	d, err := revoke.Open(ctx, in.GetRevocations(), f.issuer)
	if err != nil {
		return err
	}
	return f.set.Apply(d, time.Now())
}

func (f *Feed) takeKeys(text []byte) error {
	fresh, err := token.ParseJWKS(text, token.ES384)
	if err != nil {
		return err
	}
	old := *f.keys.Load()
	for kid := range fresh {
		if old[kid] != nil {
			fresh[kid] = old[kid] // the same pointer: what was verified with it stays verified
		}
	}
	f.keys.Store(&fresh)
	return nil
}

// explain says what ended a call.
func explain(err error) error {
	return errors.New("the identity service: " + status.Convert(err).Message())
}
