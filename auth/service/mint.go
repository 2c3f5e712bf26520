package service

import (
	"context"
	"crypto/rand"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/catalyst-router/catalyst/auth/keys"
	"github.com/catalyst-router/catalyst/auth/revoke"
	"github.com/catalyst-router/catalyst/auth/store"
	"github.com/catalyst-router/catalyst/auth/token"
)

// MintRequest is what a token shall say.
type MintRequest struct {
	Principal token.Principal // required
	Subject   string          // required
	// Entity: ID and Name are the subject if they are empty, Type is user or service, "" for user; domains and audience
	// are the organisation if they are empty.
	Entity   token.Entity
	Audience []string
	TTL      time.Duration // zero means 1h
	Scopes   []string
	ClientID string
	Bound    token.Thumbprint // of the certificate that it is bound to; zero for none
}

// Mint makes a token.
func (s *Service) Mint(ctx context.Context, c Caller, r MintRequest) (raw string, claims *token.Claims, err error) {
	if err := s.admin(ctx, c, "token.mint", r.Subject); err != nil {
		return "", nil, err
	}
	if claims, err = s.claims(r); err != nil {
		return "", nil, err
	}
	e := store.Entry{Actor: c.Name, Action: "token.mint", Target: claims.ID}
	err = s.write(ctx, e, func(ctx context.Context, tx *store.Tx) error {
		raw, err = s.issue(ctx, tx, claims, c.Name, "")
		return err
	})
	if err != nil {
		return "", nil, err
	}
	return raw, claims, nil
}

// claims checks a request and makes claims of it.
func (s *Service) claims(r MintRequest) (*token.Claims, error) {
	if r.TTL == 0 {
		r.TTL = min(defaultTTL, s.cfg.MaxTTL)
	}
	if r.Entity.ID == "" {
		r.Entity.ID = r.Subject
	}
	if r.Entity.Name == "" {
		r.Entity.Name = r.Subject
	}
	if r.Entity.Type == "" {
		r.Entity.Type = "user"
	}
	if len(r.Entity.TrustedDomains) == 0 {
		r.Entity.TrustedDomains = []string{string(s.cfg.Org)}
	}
	if len(r.Audience) == 0 {
		r.Audience = []string{string(s.cfg.Org)}
	}
	switch {
	case !slices.Contains(token.Principals(), r.Principal):
		return nil, invalid("principal %q: want one of %v", r.Principal, token.Principals())
	case r.Subject == "":
		return nil, invalid("subject: is missing")
	case r.TTL < time.Second || r.TTL > s.cfg.MaxTTL:
		return nil, invalid("ttl %s: want 1s to %s", r.TTL, s.cfg.MaxTTL)
	case strings.HasPrefix(r.Subject, "spiffe://") && !strings.HasPrefix(r.Subject, "spiffe://"+string(s.cfg.Org)+"/"):
		return nil, invalid("subject %q: is of another trust domain than %s", r.Subject, s.cfg.Org)
	case r.Entity.Type != "user" && r.Entity.Type != "service":
		return nil, invalid("entity type %q: want user or service", r.Entity.Type)
	}
	now := s.cfg.Now().Truncate(time.Second)
	return &token.Claims{
		ID: newID(), Issuer: s.cfg.Issuer, Subject: r.Subject, Audience: r.Audience, IssuedAt: now,
		Expires: now.Add(r.TTL).Truncate(time.Second), Principal: r.Principal, Entity: r.Entity, Scopes: r.Scopes,
		ClientID: r.ClientID,
		Bound:    r.Bound,
	}, nil
}

// newID returns a random UUID (RFC 9562 §5.4).
func newID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // it never fails
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

// issue signs claims and keeps what is known of the token.
func (s *Service) issue(ctx context.Context, tx *store.Tx, c *token.Claims, minter, parent string) (string, error) {
	ring, err := s.ringIn(ctx, tx)
	if err != nil {
		return "", err
	}
	signer := ring.Current().Signer
	raw, err := signer.Sign(c)
	if err != nil {
		return "", invalid("%v", err)
	}
	c.KeyID = signer.Key().ID
	tx.Note("%s %s until %s, bound to %q", c.Principal, c.Subject, c.Expires.UTC().Format(time.RFC3339), c.Bound)
	return raw, tx.AddToken(ctx, store.Token{
		ID: c.ID, Parent: parent, Subject: c.Subject, Principal: string(c.Principal), Entity: c.Entity.Name,
		Audience:   c.Audience,
		Thumbprint: c.Bound.String(), KeyID: c.KeyID, Minter: minter, Issued: c.IssuedAt, Expires: c.Expires,
	})
}

// ringIn returns the signing keys as the change under way sees them: another service may have rotated them just now.
func (s *Service) ringIn(ctx context.Context, tx *store.Tx) (*keys.Ring, error) {
	rows, err := tx.SigningKeys(ctx)
	if err != nil {
		return nil, err
	}
	if snap := s.snapshot.Load(); reflect.DeepEqual(rows, snap.signing) {
		return snap.ring, nil
	}
	return s.openRing(rows)
}

// ExchangeRequest is a token exchange (RFC 8693).
type ExchangeRequest struct {
	Subject  string // the token that is exchanged
	Audience []string
	Scopes   []string
	TTL      time.Duration // zero for as long as the token lives
}

// Exchange makes a token of another one, for the caller's certificate: audience, scopes and life can only become
// narrower. A bound token can be exchanged by the holder of its certificate, or by the service that it is meant for,
// which then acts for its subject.
func (s *Service) Exchange(ctx context.Context, c Caller, r ExchangeRequest) (string, *token.Claims, error) {
	old, err := s.verifier.Inspect(ctx, r.Subject)
	if err != nil {
		return "", nil, s.refuse(ctx, c.Name, "token.exchange", "", &Error{
			Code: Invalid, Reason: string(token.ReasonOf(err)), Text: "the subject token is not valid", cause: err,
		})
	}
	own := c.Subject == old.Subject || !old.Bound.IsZero() && old.Bound == c.Certificate
	meant := slices.Contains(old.Audience, c.Subject)
	if !own && !meant || !old.Bound.IsZero() && old.Bound != c.Certificate && !meant {
		return "", nil, s.refuse(ctx, c.Name, "token.exchange", old.ID, &Error{
			Code: Forbidden, Reason: string(token.WrongBinding),
			Text: "the subject token is neither the caller's nor meant for it",
		})
	}
	now := s.cfg.Now().Truncate(time.Second)
	fresh := *old
	fresh.ID, fresh.Issuer, fresh.IssuedAt, fresh.NotBefore, fresh.External = newID(), s.cfg.Issuer, now, time.Time{},
		false
	fresh.Bound, fresh.Former = c.Certificate, nil
	if !own {
		fresh.Actors = append([]string{c.Subject}, old.Actors...)
	}
	if err := narrow(&fresh, old, r, now); err != nil {
		return "", nil, err
	}
	var raw string
	e := store.Entry{Actor: c.Name, Action: "token.exchange", Target: fresh.ID}
	err = s.write(ctx, e, func(ctx context.Context, tx *store.Tx) error {
		raw, err = s.issue(ctx, tx, &fresh, c.Name, old.ID)
		return err
	})
	if err != nil {
		return "", nil, err
	}
	return raw, &fresh, nil
}

// narrow takes over what the caller asked for, as far as the token allowed it before.
func narrow(fresh, old *token.Claims, r ExchangeRequest, now time.Time) error {
	for _, a := range r.Audience {
		if !slices.Contains(old.Audience, a) {
			return invalid("audience %q: the subject token is not meant for it", a)
		}
	}
	for _, a := range r.Scopes {
		if !slices.Contains(old.Scopes, a) {
			return invalid("scope %q: the subject token does not have it", a)
		}
	}
	if len(r.Audience) > 0 {
		fresh.Audience = r.Audience
	}
	if len(r.Scopes) > 0 {
		fresh.Scopes = r.Scopes
	}
	if r.TTL < 0 {
		return invalid("ttl %s: want more than nothing", r.TTL)
	}
	if until := now.Add(r.TTL).Truncate(time.Second); r.TTL > 0 && until.Before(old.Expires) {
		fresh.Expires = until
	}
	if !fresh.Expires.After(now) {
		return invalid("ttl %s: want at least 1s", r.TTL)
	}
	return nil
}

// RevokeToken revokes a token by its text (RFC 7009), and those that were exchanged for it. Its holder may, and an
// admin. A token that is not valid is none to revoke, which is no error.
func (s *Service) RevokeToken(ctx context.Context, c Caller, raw string) error {
	old, err := s.issued.Inspect(ctx, raw)
	if err != nil || old.Issuer != s.cfg.Issuer {
		return nil //nolint:nilerr // RFC 7009 §2.2
	}
	own := c.Subject == old.Subject && old.Bound.IsZero() || !old.Bound.IsZero() && old.Bound == c.Certificate
	if !own {
		if err := s.admin(ctx, c, "token.revoke", old.ID); err != nil {
			return err
		}
	}
	return s.revoke(ctx, c, revoke.Token, old.ID, "by its text")
}

// Revoke revokes by kind and value: a jti, a subject, a certificate's thumbprint or serial number, a key.
func (s *Service) Revoke(ctx context.Context, c Caller, kind revoke.Kind, value, reason string) error {
	if err := s.admin(ctx, c, "token.revoke", string(kind)+" "+value); err != nil {
		return err
	}
	switch kind {
	case revoke.Token, revoke.Subject, revoke.Key:
	case revoke.Serial:
		serial, err := revoke.ParseSerial(value)
		if err != nil {
			return invalid("%v", err)
		}
		value = serial
	case revoke.Certificate:
		if _, err := token.ParseThumbprint(value); err != nil {
			return invalid("%v", err)
		}
	default:
		return invalid("kind %q: want jti, subject, x5t#S256, serial or kid", kind)
	}
	if value == "" || len(value) > 2048 {
		return invalid("%s: want 1 to 2,048 characters", kind)
	}
	if kind == revoke.Key && s.snapshot.Load().ring.Current().ID() == value {
		return conflict("key %s signs at the moment: run catalyst keys rotate --immediate, which revokes it", value)
	}
	return s.revoke(ctx, c, kind, value, reason)
}

func (s *Service) revoke(ctx context.Context, c Caller, kind revoke.Kind, value, reason string) error {
	now := s.cfg.Now()
	e := store.Entry{Actor: c.Name, Action: "token.revoke", Target: string(kind) + " " + value, Detail: reason}
	return s.write(ctx, e, func(ctx context.Context, tx *store.Tx) error {
		r := store.Revocation{Kind: string(kind), Value: value, Reason: reason, At: now, Expires: now.Add(revocationLife)}
		if _, err := tx.Revoke(ctx, r); err != nil || kind != revoke.Token {
			return err
		}
		exchanged, err := tx.Exchanged(ctx, value)
		if err != nil {
			return err
		}
		for _, t := range exchanged {
			r.Value, r.Reason = t.ID, "exchanged for "+value
			if _, err := tx.Revoke(ctx, r); err != nil {
				return err
			}
		}
		return nil
	})
}

// revocationLife is how long a revocation is remembered: longer than anything that it is about can be valid.
const revocationLife = 91 * 24 * time.Hour
