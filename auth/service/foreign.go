package service

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"golang.org/x/time/rate"

	"github.com/catalyst-router/catalyst/auth/store"
	"github.com/catalyst-router/catalyst/auth/token"
	"github.com/catalyst-router/catalyst/bgp"
)

// Limits of exchanges for other organisations' tokens.
const (
	DefaultForeignLife = 5 * time.Minute
	MaxForeignLife     = time.Hour
	foreignRate        = 20 // a second, of each organisation
	foreignBurst       = 200
)

// Foreign is another organisation whose users' tokens are exchanged here for tokens of this one (RFC 8693). It says
// nothing of tokens that are believed without an exchange.
type Foreign struct {
	Org bgp.Org
	// Issuer has its keys, and Revocations what it revoked: both required, and followed at its identity service.
	Issuer      *token.Issuer
	Revocations token.Revocations
	// Audience that the new tokens name; required. A caller may ask for fewer.
	Audience []string
	// Subjects whose tokens are exchanged; none for all.
	Subjects []string
	// Life is the longest that a new token is valid, and so how long one that is revoked over there may still be used
	// here: up to an hour, 0 for 5 minutes. It is never valid for longer than the token that it was made of.
	Life time.Duration
}

// foreign is one with what verifies its tokens.
type foreign struct {
	Foreign
	verifier *token.Verifier
	limit    *rate.Limiter
}

// readForeign checks the organisations whose tokens are exchanged.
func readForeign(cfg *Config) (map[string]*foreign, error) {
	all := map[string]*foreign{}
	for _, f := range cfg.Foreign {
		if f.Life == 0 {
			f.Life = DefaultForeignLife
		}
		switch {
		case f.Org == cfg.Org || f.Issuer.Name == cfg.Issuer:
			return nil, fmt.Errorf("exchange for %s: it is this organisation", f.Org)
		case all[f.Issuer.Name] != nil:
			return nil, fmt.Errorf("exchange for %s: %s is the issuer of another organisation's already", f.Org, f.Issuer.Name)
		case len(f.Audience) == 0:
			return nil, fmt.Errorf("exchange for %s: audience: want whom the new tokens are for", f.Org)
		case f.Life < time.Second || f.Life > MaxForeignLife:
			return nil, fmt.Errorf("exchange for %s: life %s: want 1s to %s", f.Org, f.Life, MaxForeignLife)
		}
		v, err := token.NewVerifier(token.Config{
			Audience: string(cfg.Org), Issuers: token.IssuerMap{f.Issuer.Name: f.Issuer}, Revocations: f.Revocations,
			Now: cfg.Now,
		})
		if err != nil {
			return nil, err
		}
		all[f.Issuer.Name] = &foreign{f, v, rate.NewLimiter(foreignRate, foreignBurst)}
	}
	return all, nil
}

// Exchanges are the organisations whose tokens are exchanged here, in order.
func (s *Service) Exchanges() []string {
	all := []string{}
	for _, f := range s.foreign {
		all = append(all, string(f.Org))
	}
	slices.Sort(all)
	return all
}

// IsForeign tells whether a token says that it is of an organisation whose tokens are exchanged here.
func (s *Service) IsForeign(raw string) bool { return s.foreign[token.IssuerOf(raw)] != nil }

// ExchangeForeign makes a token of one that another organisation gave to a user of its own, who holds it: one that is
// bound to a certificate wants that, and the new one is bound to the certificate that is shown, if any. The subject
// stands behind its organisation (acme.example/ada), which the token names as well. It is a USER, whatever it is at
// home, and trusted with no domain and no node here.
func (s *Service) ExchangeForeign(ctx context.Context, shown token.Thumbprint, r ExchangeRequest) (string,
	*token.Claims, error) {
	f := s.foreign[token.IssuerOf(r.Subject)]
	if f == nil {
		return "", nil, invalid("the subject token is of no organisation whose tokens are exchanged here")
	}
	name := "somebody of " + string(f.Org)
	old, err := f.verifier.Verify(ctx, r.Subject, shown)
	if errors.Is(err, token.ErrUnavailable) || token.ReasonOf(err) == token.Stale {
		return "", nil, &Error{
			Code: Unavailable, cause: err, Text: fmt.Sprintf("what %s revokes is not known at the moment", f.Org),
		}
	}
	if err != nil {
		return "", nil, s.refuse(ctx, name, "token.exchange", "", &Error{
			Code: Invalid, Reason: string(token.ReasonOf(err)), Text: "the subject token is not valid here", cause: err,
		})
	}
	name = string(f.Org) + "/" + old.Subject
	if len(f.Subjects) > 0 && !slices.Contains(f.Subjects, old.Subject) {
		return "", nil, s.refuse(ctx, name, "token.exchange", old.ID, &Error{
			Code: Forbidden, Reason: "subject", Text: "tokens of this subject are not exchanged here",
		})
	}
	if !f.limit.Allow() {
		return "", nil, &Error{Code: Unavailable, Text: fmt.Sprintf("too many tokens of %s are exchanged: try again", f.Org)}
	}
	fresh, err := f.made(s, old, shown, r)
	if err != nil {
		return "", nil, err
	}
	var raw string
	e := store.Entry{Actor: name, Action: "token.exchange", Target: fresh.ID}
	err = s.write(ctx, e, func(ctx context.Context, tx *store.Tx) error {
		raw, err = s.issue(ctx, tx, fresh, name, old.ID)
		return err
	})
	return raw, fresh, err
}

// made are the claims of the new token.
func (f *foreign) made(s *Service, old *token.Claims, shown token.Thumbprint, r ExchangeRequest) (*token.Claims,
	error) {
	now := s.cfg.Now().Truncate(time.Second)
	fresh := &token.Claims{
		ID: newID(), Issuer: s.cfg.Issuer, Subject: string(f.Org) + "/" + old.Subject, Audience: f.Audience, IssuedAt: now,
		Expires: old.Expires, Principal: token.User, Scopes: old.Scopes, Bound: shown, Organisation: string(f.Org),
		Entity: token.Entity{ID: f.Issuer.Name + " " + old.Subject, Name: old.Entity.Name, Type: old.Entity.Type},
	}
	if until := now.Add(f.Life); until.Before(fresh.Expires) {
		fresh.Expires = until
	}
	allowed := *fresh
	err := narrow(fresh, &allowed, r, now)
	return fresh, err
}

// speaks tells whether the holder of a token that was exchanged may be a caller here: never, since nothing that such
// a token is for is done by this service.
func speaks(c *token.Claims) error {
	if c.Organisation != "" {
		return errors.New("a token that was exchanged for one of " + c.Organisation + " is for services")
	}
	return nil
}

// CallerBy is who shows a token with a certificate, or none.
func (s *Service) CallerBy(ctx context.Context, raw string, shown token.Thumbprint) (Caller, error) {
	c, err := s.verifier.Verify(ctx, raw, shown)
	if err == nil {
		err = speaks(c)
	}
	if err != nil {
		return Caller{}, err
	}
	return Caller{
		Name: c.Subject + " by token " + c.ID, Subject: c.Subject, Principal: c.Principal, Entity: c.Entity,
		Certificate: shown, Bound: !c.Bound.IsZero(),
	}, nil
}
