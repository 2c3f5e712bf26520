package service

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"reflect"
	"time"

	"github.com/catalyst-router/catalyst/auth/ca"
	"github.com/catalyst-router/catalyst/auth/keys"
	"github.com/catalyst-router/catalyst/auth/revoke"
	"github.com/catalyst-router/catalyst/auth/store"
	"github.com/catalyst-router/catalyst/auth/token"
)

// snapshot is the keys and authorities of one moment. It is not changed.
type snapshot struct {
	signing     []store.Sealed
	authorities []store.Sealed
	ring        *keys.Ring
	byID        map[string]*keys.Key
	current     *ca.Authority // that signs
	next        *ca.Authority // nil unless a rotation is under way
	currentID   string
	own         *ca.Authority // that signs the service's own certificate
	ownID       string
	roots       []byte // PEM of all that are trusted: current first
	pool        *x509.CertPool
}

// published is the token keys that verify.
type published struct{ s *Service }

// Key implements token.Keys.
func (p published) Key(_ context.Context, kid string) (*token.Key, error) {
	snap := p.s.snapshot.Load()
	k := snap.byID[kid]
	if k == nil || k.Slot == keys.Retired && !p.s.cfg.Now().Before(k.Until) {
		return nil, nil //nolint:nilnil // there is none
	}
	return k.Signer.Key(), nil
}

// kept reads the token keys and the authorities, sealed as they are stored.
func (s *Service) kept(ctx context.Context) (signing, authorities []store.Sealed, err error) {
	if signing, err = s.cfg.Store.SigningKeys(ctx); err != nil {
		return nil, nil, err
	}
	authorities, err = s.cfg.Store.Authorities(ctx)
	return signing, authorities, err
}

// initialise makes the first keys of a store that has none.
func (s *Service) initialise(ctx context.Context) error {
	signing, authorities, err := s.kept(ctx)
	if err != nil {
		return err
	}
	if len(signing) > 0 && len(authorities) > 0 {
		return nil
	}
	if s.cfg.Authority == nil {
		return errors.New("the identity store has no authority yet: make one with catalyst org init")
	}
	if s.cfg.Authority.Org != s.cfg.Org {
		return fmt.Errorf("the authority is that of %s, not of %s", s.cfg.Authority.Org, s.cfg.Org)
	}
	e := store.Entry{Actor: "service", Action: "keys.initialise", Target: string(s.cfg.Org), At: s.cfg.Now()}
	return s.cfg.Store.Write(ctx, e, func(ctx context.Context, tx *store.Tx) error {
		// Another service may have been faster.
		if signing, err := tx.SigningKeys(ctx); err != nil || len(signing) > 0 {
			return err
		}
		ring, err := keys.New(s.cfg.Now())
		if err != nil {
			return err
		}
		sealed, err := s.sealRing(ring)
		if err != nil {
			return err
		}
		a, err := s.sealAuthority(s.cfg.Authority, keys.Current, s.cfg.Now())
		if err != nil {
			return err
		}
		return errors.Join(tx.SetSigningKeys(ctx, sealed), tx.SetAuthorities(ctx, []store.Sealed{a}),
			tx.Set(ctx, "organisation", string(s.cfg.Org)), tx.Set(ctx, settingIssuer, s.cfg.Issuer))
	})
}

func (s *Service) sealRing(ring *keys.Ring) (all []store.Sealed, err error) {
	for _, k := range ring.Keys() {
		secret, err := k.Secret()
		if err != nil {
			return nil, err
		}
		all = append(all, store.Sealed{
			ID: k.ID(), Slot: string(k.Slot), Secret: s.cfg.Sealer.Seal(secret, "signing key "+k.ID()),
			Published: k.Published, Signs: k.Signs, Ends: k.Until,
		})
	}
	return all, nil
}

func (s *Service) openRing(all []store.Sealed) (*keys.Ring, error) {
	var opened []*keys.Key
	for _, k := range all {
		secret, err := s.cfg.Sealer.Open(k.Secret, "signing key "+k.ID)
		if err != nil {
			return nil, fmt.Errorf("signing key %s: %w", k.ID, err)
		}
		o, err := keys.Open(keys.Slot(k.Slot), secret, k.Published, k.Signs, k.Ends)
		if err != nil {
			return nil, err
		}
		opened = append(opened, o)
	}
	return keys.Of(opened)
}

// authorityID is the SHA-256 of an authority's root, in hexadecimal.
func authorityID(a *ca.Authority) string {
	block, _ := pem.Decode(a.Roots())
	sum := sha256.Sum256(block.Bytes)
	return hex.EncodeToString(sum[:])
}

func (s *Service) sealAuthority(a *ca.Authority, slot keys.Slot, now time.Time) (store.Sealed, error) {
	secret, err := a.KeyPEM()
	if err != nil {
		return store.Sealed{}, err
	}
	id := authorityID(a)
	k := store.Sealed{
		ID: id, Slot: string(slot), Chain: string(a.ChainPEM()), Secret: s.cfg.Sealer.Seal(secret, "authority "+id),
		Published: now,
	}
	if slot == keys.Current {
		k.Signs = now
	}
	return k, nil
}

func (s *Service) openAuthority(k store.Sealed) (*ca.Authority, error) {
	secret, err := s.cfg.Sealer.Open(k.Secret, "authority "+k.ID)
	if err != nil {
		return nil, fmt.Errorf("authority %s: %w", k.ID, err)
	}
	return ca.Parse([]byte(k.Chain), secret)
}

// loadKeys makes a new snapshot if keys or authorities changed.
func (s *Service) loadKeys(ctx context.Context) error {
	signing, authorities, err := s.kept(ctx)
	if err != nil {
		return err
	}
	old := s.snapshot.Load()
	if old != nil && reflect.DeepEqual(old.signing, signing) && reflect.DeepEqual(old.authorities, authorities) {
		return nil
	}
	snap := &snapshot{signing: signing, authorities: authorities, byID: map[string]*keys.Key{}, pool: x509.NewCertPool()}
	if snap.ring, err = s.openRing(signing); err != nil {
		return err
	}
	for _, k := range snap.ring.Keys() {
		snap.byID[k.ID()] = k
		if old != nil && old.byID[k.ID()] != nil {
			k.Signer = old.byID[k.ID()].Signer // the same pointer, so that verified tokens stay in the cache
		}
	}
	if err := s.loadAuthorities(snap); err != nil {
		return err
	}
	s.snapshot.Store(snap)
	s.mu.Lock()
	close(s.changed)
	s.changed = make(chan struct{})
	s.mu.Unlock()
	return nil
}

func (s *Service) loadAuthorities(snap *snapshot) error {
	var others []byte
	for _, k := range snap.authorities {
		a, err := s.openAuthority(k)
		if err != nil {
			return err
		}
		snap.pool.AppendCertsFromPEM(a.Roots())
		switch keys.Slot(k.Slot) {
		case keys.Current:
			snap.current, snap.currentID = a, k.ID
			snap.roots = append(a.Roots(), snap.roots...)
			continue
		case keys.Next:
			snap.next = a
		case keys.Retired:
			// Clients that have the former root alone go on until it is dropped, and fetch the new one meanwhile.
			snap.own, snap.ownID = a, k.ID
		}
		others = append(others, a.Roots()...)
	}
	if snap.current == nil {
		return errors.New("the identity store has no current authority")
	}
	if snap.own == nil {
		snap.own, snap.ownID = snap.current, snap.currentID
	}
	snap.roots = append(bytes.Clone(snap.roots), others...)
	return nil
}

// JWKS returns the key set to publish now.
func (s *Service) JWKS() ([]byte, error) {
	return token.WriteJWKS(s.snapshot.Load().ring.Public(s.cfg.Now()))
}

// Roots returns the organisation's roots as PEM, that which signs first.
func (s *Service) Roots() []byte { return s.snapshot.Load().roots }

// Pool returns the roots for verification.
func (s *Service) Pool() *x509.CertPool { return s.snapshot.Load().pool }

// OwnRoot returns the root, as PEM, under which the service's own certificate is.
func (s *Service) OwnRoot() []byte { return s.snapshot.Load().own.Roots() }

// Keys returns the token signing keys, for lists.
func (s *Service) Keys() []*keys.Key { return s.snapshot.Load().ring.Keys() }

// RotateKeys makes the next token key sign.
func (s *Service) RotateKeys(ctx context.Context, c Caller, how keys.How) (*keys.Ring, error) {
	if err := s.admin(ctx, c, "keys.rotate", ""); err != nil {
		return nil, err
	}
	var ring *keys.Ring
	e := store.Entry{Actor: c.Name, Action: "keys.rotate"}
	err := s.write(ctx, e, func(ctx context.Context, tx *store.Tx) error {
		rows, err := tx.SigningKeys(ctx)
		if err != nil {
			return err
		}
		before, err := s.openRing(rows)
		if err != nil {
			return err
		}
		var gone []*keys.Key
		if ring, gone, err = before.Rotate(s.cfg.Now(), how); err != nil {
			return conflict("%v", err)
		}
		tx.Target(ring.Current().ID())
		tx.Note("grace %s, immediate %v, was %s", how.Grace, how.Immediate, before.Current().ID())
		return s.keepRing(ctx, tx, ring, gone, how.Immediate)
	})
	return ring, err
}

// keepRing keeps a ring; keys that leaked are revoked, so that whoever still has an old key set refuses them too.
func (s *Service) keepRing(ctx context.Context, tx *store.Tx, ring *keys.Ring, gone []*keys.Key, leaked bool) error {
	sealed, err := s.sealRing(ring)
	if err != nil {
		return err
	}
	for _, k := range gone {
		if !leaked {
			break
		}
		now := s.cfg.Now()
		_, err := tx.Revoke(ctx, store.Revocation{
			Kind: string(revoke.Key), Value: k.ID(), Reason: "rotated immediately", At: now, Expires: now.Add(keys.MaxGrace),
		})
		if err != nil {
			return err
		}
	}
	return tx.SetSigningKeys(ctx, sealed)
}

// expireKeys forgets retired keys whose grace is over.
func (s *Service) expireKeys(ctx context.Context) error {
	if _, gone := s.snapshot.Load().ring.Expire(s.cfg.Now()); len(gone) == 0 {
		return nil
	}
	return s.write(ctx, store.Entry{Actor: "service", Action: "keys.expire"},
		func(ctx context.Context, tx *store.Tx) error {
			rows, err := tx.SigningKeys(ctx)
			if err != nil {
				return err
			}
			before, err := s.openRing(rows)
			if err != nil {
				return err
			}
			ring, gone := before.Expire(s.cfg.Now())
			tx.Note("%v", gone)
			return s.keepRing(ctx, tx, ring, gone, false)
		})
}
