// Package tokens is the room of a node that knows whose bearer tokens are believed: those of its own organisation, by
// what the identity service tells it, those of other organisations whose services it follows, and those of an issuer
// whose keys stand in a file. Whoever decides, for Envoy or over the operator API, asks here.
package tokens

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"golang.org/x/sync/errgroup"

	"github.com/catalyst-router/catalyst/auth/bearer"
	"github.com/catalyst-router/catalyst/auth/follow"
	"github.com/catalyst-router/catalyst/auth/revoke"
	"github.com/catalyst-router/catalyst/auth/secret"
	"github.com/catalyst-router/catalyst/auth/token"
	"github.com/catalyst-router/catalyst/auth/wire/authv1"
	"github.com/catalyst-router/catalyst/bgp"
	"github.com/catalyst-router/catalyst/policy"
	"github.com/catalyst-router/catalyst/policy/extauthz"
)

// Other is another organisation whose tokens are believed.
type Other struct {
	Org     bgp.Org
	Address string // HOST:PORT of its identity service
	Issuer  string // iss of its tokens
}

// Peerings are those with other organisations, of which each says for which services its tokens are believed.
// federation.Book is one.
type Peerings interface {
	// Honours returns why an organisation's tokens are not believed for a service, "" for any; nil if they may be.
	Honours(org bgp.Org, service string) error
	// Over returns why nothing of an organisation is believed any more: the peering with it has ended; nil if not.
	Over(org bgp.Org) error
	// Changed returns a channel that is closed at the next change.
	Changed() <-chan struct{}
}

// Dialer is a node's identity. identity.Source is one.
type Dialer interface {
	// ServiceTLS returns the TLS configuration to dial the identity service of an organisation whose roots are known.
	ServiceTLS(org bgp.Org) *tls.Config
}

// Config says whose tokens are believed.
type Config struct {
	Audience string       // that tokens have to name: this node's organisation, or what the operator says; required
	Own      *follow.Feed // of this node's organisation; nil if its tokens are not believed
	Others   []Other
	Identity Dialer   // wanted with Others
	Peerings Peerings // nil for none: Others are believed for every service
	// JWKS is a file or an https URL with the keys of one more issuer, which has no feed of revocations; "" for none.
	JWKS   secret.URL
	Issuer string
	// Exchanging returns HOST:PORT of the own identity service and the organisations whose tokens it exchanges; nil for
	// none.
	Exchanging func(ctx context.Context) (address string, orgs []string, err error)
	// Data is the directory where what Others revoked is kept for a restart; "" for nowhere.
	Data  string
	Log   *slog.Logger // required
	Meter metric.Meter // nil for no figures
}

// Tokens verifies. It is safe for concurrent use.
type Tokens struct {
	cfg      Config
	verifier *token.Verifier
	book     *revoke.Book
	feeds    []*follow.Feed
	keys     *bearer.RemoteKeys // nil without JWKS
	orgs     map[string]bgp.Org // by issuer; "" for that of JWKS

	mu      sync.Mutex
	changed chan struct{} // guarded by mu; closed when something is revoked or a peering changes
}

var _ extauthz.Tokens = (*Tokens)(nil)

// New returns what verifies tokens as the configuration says. Keys that stand in a file are read at once.
func New(ctx context.Context, cfg Config) (*Tokens, error) {
	t := &Tokens{cfg: cfg, book: revoke.NewBook(), orgs: map[string]bgp.Org{}, changed: make(chan struct{})}
	issuers := token.IssuerMap{}
	if cfg.Own != nil {
		t.follow(cfg.Own, issuers)
	}
	for _, o := range cfg.Others {
		if issuers[o.Issuer] != nil {
			return nil, fmt.Errorf("tokens of %s: %s is the issuer of another organisation's already", o.Org, o.Issuer)
		}
		f := follow.New(follow.Config{
			Issuer: o.Issuer, Org: o.Org, Log: cfg.Log, Keep: cfg.kept(o.Org),
			Connect: func(context.Context) (authv1.IdentityClient, func(), error) {
				return follow.Dial(o.Address, cfg.Identity.ServiceTLS(o.Org))
			},
		})
		f.Issuer().Principals = foreign
		t.follow(f, issuers)
	}
	if cfg.JWKS.Reveal() != "" {
		if err := t.file(ctx, issuers); err != nil {
			return nil, err
		}
	}
	var err error
	t.verifier, err = token.NewVerifier(token.Config{
		Audience: cfg.Audience, Issuers: trusted{t, issuers}, Revocations: t.book,
	})
	if err != nil {
		return nil, err
	}
	return t, t.measure()
}

func (cfg *Config) kept(org bgp.Org) string {
	if cfg.Data == "" {
		return ""
	}
	return filepath.Join(cfg.Data, "revoked-"+string(org)+".json")
}

// foreign are the principals that another organisation may speak for: nobody else's administrator is one here.
var foreign = []token.Principal{ //nolint:gochecknoglobals // a table
	token.Node, token.NodeCustodian, token.DataCustodian, token.User,
}

func (t *Tokens) follow(f *follow.Feed, issuers token.IssuerMap) {
	name := f.Issuer().Name
	issuers[name] = f.Issuer()
	t.book.Put(f.Revocations())
	t.feeds = append(t.feeds, f)
	t.orgs[name] = f.Org()
}

func (t *Tokens) file(ctx context.Context, issuers token.IssuerMap) error {
	name := t.cfg.Issuer
	if issuers[name] != nil {
		return fmt.Errorf("keys of tokens %s: the issuer %s is followed already", t.cfg.JWKS, name)
	}
	keys, err := bearer.NewRemoteKeys(bearer.RemoteConfig{Source: t.cfg.JWKS, Log: t.cfg.Log})
	if err != nil {
		return fmt.Errorf("keys of tokens: %w", err)
	}
	if err := keys.Refresh(ctx); err != nil && !keys.Fetched() {
		return fmt.Errorf("keys of tokens %s: %w", t.cfg.JWKS, err)
	}
	issuers[name] = &token.Issuer{Name: name, Keys: keys}
	t.book.Without(name)
	t.keys = keys
	return nil
}

// Run follows until ctx ends: others' identity services, and the file of keys. The own feed is its member's.
func (t *Tokens) Run(ctx context.Context) error {
	tasks, ctx := errgroup.WithContext(ctx)
	for _, f := range t.feeds {
		if f != t.cfg.Own {
			tasks.Go(func() error { return f.Run(ctx) })
		}
	}
	if t.keys != nil {
		tasks.Go(func() error { return t.keys.Run(ctx) })
	}
	tasks.Go(func() error { return t.notify(ctx) })
	return tasks.Wait()
}

// notify tells of changes of what is revoked and of peerings in one, until ctx ends.
func (t *Tokens) notify(ctx context.Context) error {
	var peerings <-chan struct{} // nil is never closed
	look := func() <-chan struct{} {
		if t.cfg.Peerings != nil {
			peerings = t.cfg.Peerings.Changed()
		}
		return t.book.Changed()
	}
	for revoked := look(); ; {
		select {
		case <-ctx.Done():
			return nil
		case <-revoked:
		case <-peerings:
		}
		revoked = look() // before anybody is told, so that no change is missed
		t.mu.Lock()
		close(t.changed)
		t.changed = make(chan struct{})
		t.mu.Unlock()
	}
}

// Followed are the feeds of other organisations.
func (t *Tokens) Followed() (all []*follow.Feed) {
	for _, f := range t.feeds {
		if f != t.cfg.Own {
			all = append(all, f)
		}
	}
	return all
}

// Verifier is what verifies.
func (t *Tokens) Verifier() *token.Verifier { return t.verifier }

// Changed returns a channel that is closed when something is revoked, or a peering changes; while Run runs.
func (t *Tokens) Changed() <-chan struct{} {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.changed
}

// Revocations are those of the issuers that are followed, for somebody who believes other issuers as well: nothing of
// theirs is revoked.
func (t *Tokens) Revocations() bearer.Revocations { return followed{t} }

type followed struct{ *Tokens }

// Check implements token.Revocations.
func (f followed) Check(c *token.Claims, now time.Time) error {
	if _, ok := f.orgs[c.Issuer]; !ok {
		return nil
	}
	return f.book.Check(c, now)
}

// CheckSensitive refuses for an action that must not go on revocations of a while ago.
func (t *Tokens) CheckSensitive(c *token.Claims) error {
	return t.book.CheckSensitive(c.Issuer, time.Now())
}

// Verify implements extauthz.Tokens.
func (t *Tokens) Verify(ctx context.Context, s extauthz.Shown) (*policy.Bearer, error) {
	c, err := t.claims(ctx, s)
	if err != nil {
		return nil, err
	}
	return t.Bearer(c), nil
}

func (t *Tokens) claims(ctx context.Context, s extauthz.Shown) (*token.Claims, error) {
	var thumbprint token.Thumbprint
	copy(thumbprint[:], s.Certificate)
	c, err := t.verifier.Verify(ctx, s.Token, thumbprint)
	if errors.Is(err, token.ErrUnavailable) || token.ReasonOf(err) == token.Stale {
		err = fmt.Errorf("%w: %w", extauthz.ErrUnavailable, err)
	}
	switch {
	case err == nil && c.Organisation != "" && t.own(c.Issuer):
		err = t.over(c.Organisation)
	case err == nil:
		err = t.honours(c.Issuer, s.Service)
	case token.ReasonOf(err) == token.UnknownIssuer:
		if why := t.honours(token.IssuerOf(s.Token), ""); why != nil {
			err = fmt.Errorf("%w: %w", err, why)
		}
	}
	return c, err
}

// honours returns why tokens of an issuer are not believed for a service, "" for any: it is another organisation's, and
// the peering with that one does not say so.
func (t *Tokens) honours(issuer, service string) error {
	org := t.orgs[issuer]
	if org == "" || t.cfg.Peerings == nil || t.cfg.Own != nil && t.cfg.Own.Org() == org {
		return nil
	}
	return t.cfg.Peerings.Honours(org, service)
}

// own tells whether an issuer is that of this node's organisation.
func (t *Tokens) own(issuer string) bool {
	return t.cfg.Own != nil && t.cfg.Own.Org() == t.orgs[issuer]
}

// over returns why a token that was exchanged for one of another organisation's ends with the peering; nil if it does
// not.
func (t *Tokens) over(org string) error {
	if t.cfg.Peerings == nil {
		return nil
	}
	return t.cfg.Peerings.Over(bgp.Org(org))
}

// trusted are the issuers that are believed for something at the moment. The verifier asks for each token, also for
// one that it remembers.
type trusted struct {
	*Tokens
	all token.IssuerMap
}

// Issuer implements token.Issuers.
func (t trusted) Issuer(name string) *token.Issuer {
	if t.honours(name, "") != nil {
		return nil
	}
	return t.all.Issuer(name)
}

// Bearer is whom policies take the holder of a token for. The subject of another organisation's token stands behind
// its name (bravo.example/joe), so that nobody there is taken for somebody here; a SPIFFE id says it itself.
func (t *Tokens) Bearer(c *token.Claims) *policy.Bearer {
	org, subject := t.orgs[c.Issuer], c.Subject
	if own := t.cfg.Own; org != "" && (own == nil || own.Org() != org) && !strings.HasPrefix(subject, "spiffe://") {
		subject = string(org) + "/" + subject
	}
	claims := map[string]string{"iss": c.Issuer, "sub": c.Subject}
	given := map[string]string{"jti": c.ID, "client_id": c.ClientID, "scope": strings.Join(c.Scopes, " "),
		"act": strings.Join(c.Actors, " ")}
	if !c.Bound.IsZero() {
		given[extauthz.BoundClaim] = c.Bound.String()
	}
	for name, value := range given {
		if value != "" {
			claims[name] = value
		}
	}
	b := &policy.Bearer{
		Principal: string(c.Principal), Subject: subject, Name: c.Entity.Name, Kind: c.Entity.Type,
		Organisation: string(org), TrustedDomains: c.Entity.TrustedDomains, TrustedNodes: c.Entity.TrustedNodes,
		Claims: claims, Until: c.Expires,
	}
	switch {
	case org == "":
		b.Organisation = c.Issuer
	case c.Organisation != "" && t.own(c.Issuer): // of others it would be their word on a third
		b.Organisation = c.Organisation
	}
	return b
}

// Status is how it stands with the tokens of one organisation.
type Status struct {
	Org         bgp.Org
	Issuer      string
	Heard       time.Time     // when the feed last said something; zero if it never did
	Interval    time.Duration // within which it is to
	Revocations int           // that are remembered
	Problem     string        // why the feed is down; "" if it is up
	Keys        []token.Key   // of its tokens, by id
	Disbelieved string        // why none of its tokens is believed; "" if they are
	Stale       string        // what is refused since it is down for too long: "", "what is sensitive" or "everything"
}

// Status tells how it stands with each organisation that is followed, the own one first. The issuer whose keys stand in
// a file or at a URL is not among them: see FromFile.
func (t *Tokens) Status() []Status {
	now := time.Now()
	var all []Status
	for _, f := range t.feeds {
		set := f.Revocations()
		s := Status{Org: f.Org(), Issuer: f.Issuer().Name, Revocations: set.Len()}
		s.Heard, s.Interval = set.Freshness()
		s.Keys, s.Disbelieved = listed(f.Keys()), t.disbelieved(s.Issuer)
		if err := f.Err(); err != nil {
			s.Problem = err.Error()
		}
		if set.CheckSensitive(now) != nil {
			s.Stale = "what is sensitive"
		}
		if set.Check(&token.Claims{}, now) != nil {
			s.Stale = "everything"
		}
		all = append(all, s)
	}
	return all
}

// FromFile tells how it stands with the issuer whose keys stand in a file or at a URL; nil if there is none.
func (t *Tokens) FromFile() *Status {
	if t.keys == nil {
		return nil
	}
	return &Status{Issuer: t.cfg.Issuer, Keys: listed(t.keys.Keys())}
}

func (t *Tokens) disbelieved(issuer string) string {
	if err := t.honours(issuer, ""); err != nil {
		return err.Error()
	}
	return ""
}

// listed are keys in the order of their ids.
func listed(keys token.KeySet) []token.Key {
	all := make([]token.Key, 0, len(keys))
	for _, id := range slices.Sorted(maps.Keys(keys)) {
		all = append(all, *keys[id])
	}
	return all
}

// Warnings say whose tokens are not believed, or not for everything, since their revocations do not come.
func (t *Tokens) Warnings() []string {
	var all []string
	for _, s := range t.Status() {
		if s.Stale == "" || t.honours(s.Issuer, "") != nil {
			continue
		}
		since := "ever"
		if !s.Heard.IsZero() {
			since = s.Heard.UTC().Format(time.RFC3339)
		}
		text := fmt.Sprintf("what %s revokes is not known since %s, so that %s by its tokens is refused", s.Org, since,
			s.Stale)
		if s.Problem != "" {
			text += ": " + s.Problem
		}
		all = append(all, text)
	}
	return all
}

// measure has the age of each feed among the figures.
func (t *Tokens) measure() error {
	if t.cfg.Meter == nil {
		return nil
	}
	_, err := t.cfg.Meter.Float64ObservableGauge("catalyst.revocations.age", metric.WithUnit("s"),
		metric.WithDescription("since an identity service last said what it revoked, by {organisation}; -1 if it "+
			"never did"),
		metric.WithFloat64Callback(func(_ context.Context, o metric.Float64Observer) error {
			for _, f := range t.feeds {
				age := -1.0
				if heard, _ := f.Revocations().Freshness(); !heard.IsZero() {
					age = time.Since(heard).Seconds()
				}
				o.Observe(age, metric.WithAttributes(attribute.String("organisation", string(f.Org()))))
			}
			return nil
		}))
	return err
}
