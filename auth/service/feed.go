package service

import (
	"context"
	"fmt"
	"time"

	"github.com/catalyst-router/catalyst/auth/revoke"
	"github.com/catalyst-router/catalyst/auth/store"
	"github.com/catalyst-router/catalyst/auth/token"
)

// deltaTimeout is how long a delta may take to be read and signed.
const deltaTimeout = 10 * time.Second

// A deltaKey is all that a delta depends on: who asks for the same is given the same.
type deltaKey struct {
	after, known int64
	issued       int64 // Unix seconds, as it stands in the delta
	kid          string
}

// signedDelta is a delta as it is sent.
type signedDelta struct {
	key   deltaKey
	raw   string
	delta *revoke.Delta
}

// Delta returns the signed revocations after a sequence number, as many as fit: whoever gets a full one asks again. A
// revocation has all nodes ask for the same at once, and it is signed for them once: with 1,000 nodes, one signature
// instead of a third of a second of them. The delta is shared, and not to be changed.
func (s *Service) Delta(ctx context.Context, after int64) (string, *revoke.Delta, error) {
	now, signer := s.cfg.Now(), s.snapshot.Load().ring.Current().Signer
	key := deltaKey{after, s.set.Seq(), now.Unix(), signer.Key().ID}
	if last := s.said.Load(); last != nil && last.key == key {
		return last.raw, last.delta, nil
	}
	made := s.saying.DoChan(fmt.Sprint(key), func() (any, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), deltaTimeout) // others wait for it as well
		defer cancel()
		return s.sayDelta(ctx, key, signer, now)
	})
	select {
	case <-ctx.Done():
		return "", nil, unavailable(context.Cause(ctx))
	case r := <-made:
		if r.Err != nil {
			return "", nil, r.Err
		}
		said := r.Val.(*signedDelta) //nolint:forcetypeassert // sayDelta's
		return said.raw, said.delta, nil
	}
}

func (s *Service) sayDelta(ctx context.Context, key deltaKey, signer *token.Signer, now time.Time) (*signedDelta, error) {
	rows, err := s.cfg.Store.Revocations(ctx, key.after, revoke.MaxEntries)
	if err != nil {
		return nil, unavailable(err)
	}
	last := max(key.known, key.after)
	if n := len(rows); n == revoke.MaxEntries || n > 0 && rows[n-1].Seq > last {
		last = rows[n-1].Seq
	}
	d := s.delta(key.after, last, rows, now)
	raw, err := revoke.Sign(d, signer)
	if err != nil {
		return nil, err
	}
	said := &signedDelta{key: key, raw: raw, delta: d}
	s.said.Store(said)
	return said, nil
}

// Tokens lists tokens.
func (s *Service) Tokens(ctx context.Context, c Caller, f store.TokenFilter) ([]store.Token, error) {
	if err := s.admin(ctx, c, "token.list", ""); err != nil {
		return nil, err
	}
	return s.cfg.Store.Tokens(ctx, f)
}

// Audit returns audit entries.
func (s *Service) Audit(ctx context.Context, c Caller, after int64, limit int) ([]store.Entry, error) {
	if err := s.admin(ctx, c, "audit.show", ""); err != nil {
		return nil, err
	}
	return s.cfg.Store.Audit(ctx, after, min(max(limit, 1), 1000))
}

// VerifyAudit follows the chain of the audit log.
func (s *Service) VerifyAudit(ctx context.Context, c Caller, anchor int64, hash string) (int64, string, error) {
	if err := s.admin(ctx, c, "audit.verify", ""); err != nil {
		return 0, "", err
	}
	return s.cfg.Store.VerifyAudit(ctx, anchor, hash)
}
