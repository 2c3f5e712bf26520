// Package service is an organisation's identity service without its network: it mints and exchanges tokens, lets
// nodes join and renews their certificates, rotates keys and authorities, and revokes. What it does is kept in a
// store before it is answered, together with an audit entry; what it is asked often it answers from memory.
//
//	s, err := service.New(ctx, service.Config{Org: org, Store: st, Sealer: sealer, Authority: authority})
//	go s.Run(ctx)
//	raw, claims, err := s.Mint(ctx, caller, service.MintRequest{…})
//
// Several services may share one store: each sees the changes of the others within a quarter of a second.
package service

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"github.com/catalyst-router/catalyst/auth/ca"
	"github.com/catalyst-router/catalyst/auth/revoke"
	"github.com/catalyst-router/catalyst/auth/seal"
	"github.com/catalyst-router/catalyst/auth/store"
	"github.com/catalyst-router/catalyst/auth/token"
	"github.com/catalyst-router/catalyst/bgp"
	"github.com/catalyst-router/catalyst/policy"
)

// Config is what a service needs.
type Config struct {
	Org    bgp.Org      // required
	Store  *store.Store // required
	Sealer *seal.Sealer // required; the same for all services of a store
	Log    *slog.Logger // required
	// Authority is taken into a store that has none; later it is ignored.
	Authority *ca.Authority
	// Issuer is the iss of tokens: an https URL. "" for https://auth.ORGANISATION.
	Issuer string
	// Address is HOST:PORT at which nodes reach the service; join tokens carry it.
	Address string
	// Life of nodes' certificates, 1m to 24h. Zero means 1h.
	Life time.Duration
	// MaxTTL caps what a token may be asked for. Zero means 24h, which is also the most.
	MaxTTL time.Duration
	// External issuers whose tokens are accepted from callers, and for joining.
	External []External
	// Foreign are other organisations whose tokens are exchanged for tokens of this one.
	Foreign []Foreign
	// Policies say who may mint, list and revoke tokens, and manage the rest; nil for the defaults, by which an ADMIN may.
	Policies *policy.Snapshot
	// Now is the clock; nil for time.Now.
	Now func() time.Time
}

// How often things happen.
const (
	pollEvery  = 250 * time.Millisecond // the store's head is looked at, for changes of other processes
	Interval   = 5 * time.Second        // a feed says that it is alive
	careEvery  = time.Minute            // what is over is forgotten, what waits for its time happens
	keepFor    = 24 * time.Hour         // rows stay as long after they are over
	defaultTTL = time.Hour
	maxTTL     = 24 * time.Hour
)

// Service is a running identity service. It is safe for concurrent use.
type Service struct {
	cfg       Config
	verifier  *token.Verifier
	issued    *token.Verifier // for tokens of this service's own, whomever they are meant for
	own       *token.Issuer
	foreign   map[string]*foreign // by issuer
	set       *revoke.Set
	book      *revoke.Book
	snapshot  atomic.Pointer[snapshot]
	announcer revoke.Announcer

	loading sync.Mutex // one reload at a time
	head    int64      // guarded by loading; of the last reload
	public  map[string]*token.Key

	mu      sync.Mutex
	changed chan struct{} // guarded by mu; closed at each change of keys or roots
	refused refusals
}

// New opens a service, and makes its first keys in a store that has none.
func New(ctx context.Context, cfg Config) (*Service, error) {
	var err error
	if cfg.Issuer, err = issuerOf(ctx, cfg); err != nil {
		return nil, err
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Life == 0 {
		cfg.Life = ca.DefaultLife
	}
	if cfg.MaxTTL == 0 {
		cfg.MaxTTL = maxTTL
	}
	switch {
	case cfg.Life < ca.MinLife || cfg.Life > ca.MaxLife:
		return nil, fmt.Errorf("life of certificates: %s: want %s to %s", cfg.Life, ca.MinLife, ca.MaxLife)
	case cfg.MaxTTL < time.Minute || cfg.MaxTTL > maxTTL:
		return nil, fmt.Errorf("longest life of tokens: %s: want 1m to %s", cfg.MaxTTL, maxTTL)
	}
	if cfg.Policies == nil {
		if cfg.Policies, err = policy.Compile(policy.Source{}); err != nil {
			return nil, err
		}
	}
	s := &Service{cfg: cfg, set: nil, public: map[string]*token.Key{}, changed: make(chan struct{})}
	s.book = revoke.NewBook()
	s.set = s.book.Of(cfg.Issuer)
	s.own = &token.Issuer{Name: cfg.Issuer, Keys: published{s}, TrustDomain: string(cfg.Org)}
	issuers := token.IssuerMap{cfg.Issuer: s.own}
	for _, e := range cfg.External {
		issuers[e.Issuer.Name] = e.Issuer
		s.book.Without(e.Issuer.Name)
	}
	s.verifier, err = token.NewVerifier(token.Config{
		Audience: string(cfg.Org), Issuers: issuers, Revocations: s.book, Now: cfg.Now,
	})
	if err != nil {
		return nil, err
	}
	if s.foreign, err = readForeign(&s.cfg); err != nil {
		return nil, err
	}
	s.issued, err = token.NewVerifier(token.Config{
		AnyAudience: true, Issuers: token.IssuerMap{cfg.Issuer: s.own}, Revocations: s.book, Now: cfg.Now,
	})
	if err != nil {
		return nil, err
	}
	if err := s.initialise(ctx); err != nil {
		return nil, err
	}
	if err := s.keepAddress(ctx); err != nil {
		return nil, err
	}
	return s, s.Reload(ctx)
}

const (
	settingAddress = "address" // where nodes reach the service, for commands that run without it
	settingIssuer  = "issuer"
)

// keepAddress keeps where the service is reached.
func (s *Service) keepAddress(ctx context.Context) error {
	before, err := s.cfg.Store.Setting(ctx, settingAddress)
	if err != nil || s.cfg.Address == "" || s.cfg.Address == before {
		return err
	}
	e := store.Entry{Actor: "service", Action: "service.address", Target: s.cfg.Address, At: s.cfg.Now()}
	return s.cfg.Store.Write(ctx, e, func(ctx context.Context, tx *store.Tx) error {
		return tx.Set(ctx, settingAddress, s.cfg.Address)
	})
}

// issuerOf is the iss of a store's tokens: it is chosen once, since verifiers everywhere know it.
func issuerOf(ctx context.Context, cfg Config) (string, error) {
	kept, err := cfg.Store.Setting(ctx, settingIssuer)
	if err != nil {
		return "", err
	}
	switch {
	case cfg.Issuer == "" && kept == "":
		return "https://auth." + string(cfg.Org), nil
	case cfg.Issuer == "":
		return kept, nil
	case kept != "" && kept != cfg.Issuer:
		return "", fmt.Errorf("issuer %s: the organisation's tokens name %s, which verifiers know", cfg.Issuer, kept)
	}
	u, err := url.Parse(cfg.Issuer)
	if err != nil || u.Scheme != "https" || u.Host == "" || u.RawQuery != "" || u.Fragment != "" {
		return "", fmt.Errorf("issuer %q: want an https URL without query (RFC 8414 §2)", cfg.Issuer)
	}
	return cfg.Issuer, nil
}

// Issuer is the iss of the organisation's tokens.
func (s *Service) Issuer() string { return s.cfg.Issuer }

// Org is the organisation.
func (s *Service) Org() bgp.Org { return s.cfg.Org }

// Address is where nodes reach the service.
func (s *Service) Address() string { return s.cfg.Address }

// Trusted is the organisation's own issuer, for verifiers in the same process.
func (s *Service) Trusted() *token.Issuer { return s.own }

// Verifier verifies tokens for the organisation.
func (s *Service) Verifier() *token.Verifier { return s.verifier }

// Issued verifies tokens that this service signed, whomever they are meant for.
func (s *Service) Issued() *token.Verifier { return s.issued }

// Revocations is what the organisation revoked.
func (s *Service) Revocations() *revoke.Set { return s.set }

// Changed returns a channel that is closed when keys or roots change.
func (s *Service) Changed() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.changed
}

// Run keeps the service up to date until ctx ends.
func (s *Service) Run(ctx context.Context) error {
	poll, care := time.NewTicker(pollEvery), time.NewTicker(careEvery)
	defer poll.Stop()
	defer care.Stop()
	changed := s.cfg.Store.Changed()
	told := ""
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-poll.C:
		case <-changed:
		case <-care.C:
			s.care(ctx)
		}
		err := s.Reload(ctx)
		switch {
		case err == nil:
			told = ""
		case ctx.Err() == nil && err.Error() != told:
			told = err.Error()
			s.cfg.Log.Error("the identity store cannot be read, what is known stays", "error", err)
		}
	}
}

// Reload takes over what changed in the store, by whomever. When it returns nil, every change that was answered
// before is in force here.
func (s *Service) Reload(ctx context.Context) error {
	s.loading.Lock()
	defer s.loading.Unlock()
	head, _, err := s.cfg.Store.Head(ctx)
	if err != nil {
		return err
	}
	if head != s.head || s.snapshot.Load() == nil {
		if err := s.loadKeys(ctx); err != nil {
			return err
		}
		if err := s.loadRevocations(ctx); err != nil {
			return err
		}
		s.head = head
	}
	now := s.cfg.Now()
	seq := s.set.Seq()
	return s.set.Apply(&revoke.Delta{
		Issuer: s.cfg.Issuer, After: seq, Seq: seq, Issued: now.Unix(), Interval: int64(Interval / time.Second),
	}, now)
}

// loadRevocations brings the set up to date. Rows that were pruned leave holes in the sequence, which mean nothing.
func (s *Service) loadRevocations(ctx context.Context) error {
	for {
		last, err := s.cfg.Store.RevocationSeq(ctx)
		if err != nil {
			return err
		}
		after := s.set.Seq()
		rows, err := s.cfg.Store.Revocations(ctx, after, revoke.MaxEntries)
		if err != nil {
			return err
		}
		full := len(rows) == revoke.MaxEntries
		if n := len(rows); n > 0 && (full || rows[n-1].Seq > last) {
			last = rows[n-1].Seq
		}
		now := s.cfg.Now()
		if err := s.set.Apply(s.delta(after, last, rows, now), now); err != nil {
			return err
		}
		if !full {
			return nil
		}
	}
}

func (s *Service) delta(after, seq int64, rows []store.Revocation, now time.Time) *revoke.Delta {
	d := &revoke.Delta{
		Issuer: s.cfg.Issuer, After: after, Seq: max(seq, after), Issued: now.Unix(), Interval: int64(Interval / time.Second),
	}
	for _, r := range rows {
		d.Entries = append(d.Entries, revoke.Entry{
			Seq: r.Seq, Kind: revoke.Kind(r.Kind), Value: r.Value, At: r.At.Unix(), Expires: r.Expires.Unix(), Lifted: r.Lifted,
		})
	}
	return d
}

// write makes a change and takes it over before it returns, so that it is in force when it is answered.
func (s *Service) write(
	ctx context.Context, e store.Entry, do func(ctx context.Context, tx *store.Tx) error,
) error {
	e.At = s.cfg.Now()
	if err := s.cfg.Store.Write(ctx, e, do); err != nil {
		return unavailable(err)
	}
	// The change is made: that it could not be read back is for the log, and Run tries again.
	if err := s.Reload(context.WithoutCancel(ctx)); err != nil {
		s.cfg.Log.Error("a change was made and could not be read back", "action", e.Action, "error", err)
	}
	return nil
}

// care forgets what is over, and does what waited for its time.
func (s *Service) care(ctx context.Context) {
	for what, do := range map[string]func(context.Context) error{
		"forget what is over": s.prune, "expire signing keys": s.expireKeys, "move authorities on": s.moveAuthorities,
	} {
		if err := do(ctx); err != nil && ctx.Err() == nil {
			s.cfg.Log.Error("care of the identity store", "task", what, "error", err)
		}
	}
}

func (s *Service) prune(ctx context.Context) error {
	before := s.cfg.Now().Add(-keepFor)
	rs, err := s.cfg.Store.Expired(ctx, before)
	if err != nil || rs == 0 {
		return err
	}
	return s.write(ctx, store.Entry{Actor: "service", Action: "store.prune"},
		func(ctx context.Context, tx *store.Tx) error {
			n, err := tx.Prune(ctx, before)
			tx.Note("%d rows", n)
			return err
		})
}

// Code is the kind of an error, for whoever makes an answer of it.
type Code int

// The codes.
const (
	Invalid Code = iota + 1 // the request breaks a rule
	Forbidden
	NotFound
	Conflict // the state does not allow it now
	Unavailable
)

// Error is why the service does not do what it was asked for. Its text may be shown to the caller.
type Error struct {
	Code   Code
	Reason string // of a refusal, in one word; "" otherwise
	Text   string
	cause  error
}

// Error implements error.
func (e *Error) Error() string { return e.Text }

// Unwrap returns what is behind it.
func (e *Error) Unwrap() error { return e.cause }

func invalid(format string, args ...any) error {
	return &Error{Code: Invalid, Text: fmt.Sprintf(format, args...)}
}

func conflict(format string, args ...any) error {
	return &Error{Code: Conflict, Text: fmt.Sprintf(format, args...)}
}

// unavailable keeps errors of the service, and says of all others that it is the store's fault.
func unavailable(err error) error {
	if _, ok := errors.AsType[*Error](err); ok {
		return err
	}
	return &Error{Code: Unavailable, Text: "the identity store: " + err.Error(), cause: err}
}
