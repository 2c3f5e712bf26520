package service

import (
	"context"

	"github.com/catalyst-router/catalyst/auth/revoke"
	"github.com/catalyst-router/catalyst/auth/store"
)

// Delta returns the signed revocations after a sequence number, as many as fit: whoever gets a full one asks again. It
// is shared with others, and not to be changed.
func (s *Service) Delta(ctx context.Context, after int64) (string, *revoke.Delta, error) {
	now, known, signer := s.cfg.Now(), s.set.Seq(), s.snapshot.Load().ring.Current().Signer
	of := revoke.Announcement{After: after, Known: known, Issued: now.Unix(), Key: signer.Key().ID}
	return s.announcer.Signed(ctx, of, signer, func(ctx context.Context) (*revoke.Delta, error) {
		rows, err := s.cfg.Store.Revocations(ctx, after, revoke.MaxEntries)
		if err != nil {
			return nil, unavailable(err)
		}
		last := max(known, after)
		if n := len(rows); n == revoke.MaxEntries || n > 0 && rows[n-1].Seq > last {
			last = rows[n-1].Seq
		}
		return s.delta(after, last, rows, now), nil
	})
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
