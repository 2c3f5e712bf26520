package bearer

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/catalyst-router/catalyst/auth/revoke"
	"github.com/catalyst-router/catalyst/auth/secret"
	"github.com/catalyst-router/catalyst/auth/token"
)

const (
	fetchTime    = 5 * time.Second
	refreshEvery = 5 * time.Minute
	fileEvery    = 2 * time.Second // a file costs nothing to read
	// refreshPause is the least time between two fetches because a token names a key that is not known: tokens are
	// anybody's.
	refreshPause = 10 * time.Second
	retryEvery   = time.Second // until the keys were had once
	maxAnswer    = 2 << 20     // bytes of a file or an answer
)

// RemoteConfig says where an issuer's keys are.
type RemoteConfig struct {
	// Source is an https URL (http on loopback), or a file. Required. Where it is printed, a password and a query in it
	// are not.
	Source secret.URL
	// Algorithms that the keys may sign with; none for ES384 alone.
	Algorithms []string
	// Transport for fetching; nil for http.DefaultTransport. Redirects are not followed: they could lead to anybody's
	// keys.
	Transport http.RoundTripper
	Log       *slog.Logger // nil for none
}

// RemoteKeys are an issuer's keys, read from a URL or a file again and again. Those that were had last stay while
// they cannot be had.
type RemoteKeys struct {
	cfg   RemoteConfig
	get   func(ctx context.Context) ([]byte, error)
	fetch bool // from a URL, which may be away
	every time.Duration
	keys  atomic.Pointer[token.KeySet]

	fetching  sync.Mutex // one fetch at a time
	attempted time.Time  // guarded by fetching
}

var _ token.Keys = (*RemoteKeys)(nil)

// NewRemoteKeys returns keys that are not read yet.
func NewRemoteKeys(cfg RemoteConfig) (*RemoteKeys, error) {
	if len(cfg.Algorithms) == 0 {
		cfg.Algorithms = []string{token.ES384}
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	k := &RemoteKeys{cfg: cfg, every: refreshEvery}
	if cfg.Source.Reveal() == "" {
		return nil, errors.New("keys: want an https URL or a file")
	}
	u, err := cfg.Source.Parse()
	switch {
	case err == nil && (u.Scheme == "https" || u.Scheme == "http" && loopback(u.Hostname())) && u.Host != "":
		k.get, k.fetch = fetcher(cfg.Transport, cfg.Source), true
	case err == nil && u.Scheme == "http":
		return nil, fmt.Errorf("%s: keys beyond loopback are fetched by https only", cfg.Source)
	default:
		k.every = fileEvery
		k.get = func(context.Context) ([]byte, error) { return readFile(cfg.Source.Reveal()) }
	}
	return k, nil
}

// Fetched tells that the keys come from a URL, which may be away for a while and is tried again by Run.
func (k *RemoteKeys) Fetched() bool { return k.fetch }

// Keys are those that were had last; empty before there were any. They are not to be changed.
func (k *RemoteKeys) Keys() token.KeySet {
	if known := k.keys.Load(); known != nil {
		return *known
	}
	return token.KeySet{}
}

func readFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	return bounded(f, path)
}

// bounded reads up to 2 MiB, which no key set and no list of revocations comes near.
func bounded(r io.Reader, where any) ([]byte, error) {
	b, err := io.ReadAll(io.LimitReader(r, maxAnswer+1))
	if err == nil && len(b) > maxAnswer {
		err = fmt.Errorf("%v is larger than 2 MiB", where)
	}
	return b, err
}

func loopback(host string) bool { return host == "localhost" || host == "127.0.0.1" || host == "::1" }

func fetcher(transport http.RoundTripper, where secret.URL) func(ctx context.Context) ([]byte, error) {
	client := &http.Client{
		Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return func(ctx context.Context) ([]byte, error) {
		ctx, cancel := context.WithTimeout(ctx, fetchTime)
		defer cancel()
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, where.Reveal(), nil)
		if err != nil {
			return nil, err
		}
		resp, err := client.Do(r)
		if err != nil {
			return nil, err
		}
		defer func() { _ = resp.Body.Close() }()
		if resp.StatusCode != http.StatusOK {
			return nil, fmt.Errorf("%s answers with HTTP status %d", where, resp.StatusCode)
		}
		return bounded(resp.Body, where)
	}
}

// Run reads the keys anew from time to time, until ctx ends.
func (k *RemoteKeys) Run(ctx context.Context) error {
	told := ""
	for {
		k.fetching.Lock()
		err := k.refresh(ctx)
		k.fetching.Unlock()
		if ctx.Err() != nil {
			return nil //nolint:nilerr // it was told to end
		}
		if err != nil && err.Error() != told {
			k.cfg.Log.Error("keys of an issuer could not be had, the former ones stay", "source", k.cfg.Source, "error", err)
		}
		told = ""
		wait := k.every
		if err != nil {
			told = err.Error()
			wait = min(wait, 30*time.Second)
		}
		if k.keys.Load() == nil {
			wait = retryEvery
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(wait):
		}
	}
}

// Refresh reads the keys now, for those that want an error at once.
func (k *RemoteKeys) Refresh(ctx context.Context) error {
	k.fetching.Lock()
	defer k.fetching.Unlock()
	return k.refresh(ctx)
}

// refresh wants fetching.
func (k *RemoteKeys) refresh(ctx context.Context) error {
	k.attempted = time.Now()
	b, err := k.get(ctx)
	if err != nil {
		return err
	}
	fresh, err := token.ParseJWKS(b, k.cfg.Algorithms...)
	if err != nil {
		return err
	}
	if old := k.keys.Load(); old != nil {
		for kid, was := range *old {
			if is := fresh[kid]; is != nil && same(was, is) {
				fresh[kid] = was // the same pointer: what was verified with it stays verified
			}
		}
	}
	k.keys.Store(&fresh)
	return nil
}

func same(a, b *token.Key) bool {
	x, ok := a.Public.(interface {
		Equal(x crypto.PublicKey) bool
	})
	return ok && x.Equal(b.Public)
}

// Key implements token.Keys. A key that is not known may be new, and is looked for once in ten seconds.
func (k *RemoteKeys) Key(ctx context.Context, kid string) (*token.Key, error) {
	if keys := k.keys.Load(); keys != nil {
		if key := (*keys)[kid]; key != nil {
			return key, nil
		}
	}
	k.fetching.Lock()
	defer k.fetching.Unlock()
	if time.Since(k.attempted) >= refreshPause {
		if err := k.refresh(ctx); err != nil {
			k.cfg.Log.Warn("keys of an issuer could not be had", "source", k.cfg.Source, "error", err)
		}
	}
	keys := k.keys.Load()
	if keys == nil {
		return nil, errors.New("the issuer's keys could not be had yet")
	}
	return (*keys)[kid], nil
}

// FeedConfig says where an issuer tells what it revoked.
type FeedConfig struct {
	URL string // https; required
	// Issuer whose revocations these are, with its keys: they are signed. Required.
	Issuer *token.Issuer
	// Transport shows a certificate of the organisation: the feed is not for everybody. Required.
	Transport http.RoundTripper
	Every     time.Duration // between two questions; zero means 1 s
	Log       *slog.Logger  // nil for none
}

// Feed asks for what an issuer revoked, again and again. Nodes are told by the service itself; this is for services.
type Feed struct {
	cfg FeedConfig
	set *revoke.Set
}

// NewFeed returns a feed that has not asked yet: until Run has, no token of the issuer passes.
func NewFeed(cfg FeedConfig) *Feed {
	if cfg.Every == 0 {
		cfg.Every = time.Second
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	return &Feed{cfg, revoke.NewSet(cfg.Issuer.Name)}
}

// Set is what is revoked, for a verifier and a guard.
func (f *Feed) Set() *revoke.Set { return f.set }

// Run asks until ctx ends.
func (f *Feed) Run(ctx context.Context) error {
	told := ""
	for {
		err := f.ask(ctx)
		if ctx.Err() != nil {
			return nil //nolint:nilerr // it was told to end
		}
		if err != nil && err.Error() != told {
			f.cfg.Log.Error("revocations of an issuer could not be had", "url", f.cfg.URL, "error", err)
		}
		told = ""
		if err != nil {
			told = err.Error()
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(f.cfg.Every):
		}
	}
}

func (f *Feed) ask(ctx context.Context) error {
	for {
		b, err := fetcher(f.cfg.Transport, secret.NewURL(f.cfg.URL+"?after="+strconv.FormatInt(f.set.Seq(), 10)))(ctx)
		if err != nil {
			return err
		}
		d, err := revoke.Open(ctx, string(b), f.cfg.Issuer)
		if err != nil {
			return err
		}
		if err := f.set.Apply(d, time.Now()); err != nil {
			return err
		}
		if len(d.Entries) < revoke.MaxEntries {
			return nil
		}
	}
}
