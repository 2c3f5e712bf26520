package service

import (
	"context"
	"sync"
	"time"

	"github.com/catalyst-router/catalyst/auth/store"
	"github.com/catalyst-router/catalyst/auth/token"
)

// Caller is whoever asks, as the shell found out.
type Caller struct {
	Name        string          // for the audit log: a SPIFFE id, a subject, or what opened the socket
	Subject     string          // of its tokens; its SPIFFE id if it showed a certificate alone
	Principal   token.Principal // "" for one that is known and may do nothing in particular
	Certificate token.Thumbprint
	// Bound says that it proved a key: by its certificate alone, by a token bound to it, or by the socket's owner.
	Bound bool
}

// Owner is who opened the service's own Unix socket or files.
func Owner() Caller {
	return Caller{Name: "owner", Subject: "owner", Principal: token.Admin, Bound: true}
}

// Administers refuses callers that may not administer the organisation.
func (s *Service) Administers(ctx context.Context, c Caller, action string) error {
	return s.admin(ctx, c, action, "")
}

// admin refuses callers that may not administer the organisation.
func (s *Service) admin(ctx context.Context, c Caller, action, target string) error {
	switch {
	case c.Principal != token.Admin:
		return s.refuse(ctx, c.Name, action, target, &Error{
			Code: Forbidden, Reason: "principal", Text: "this wants a principal ADMIN",
		})
	case !c.Bound:
		return s.refuse(ctx, c.Name, action, target, &Error{
			Code: Forbidden, Reason: string(token.Unbound), Text: "this wants a token that is bound to the caller's certificate",
		})
	}
	return nil
}

// refuse audits a refusal and returns it.
func (s *Service) refuse(ctx context.Context, actor, action, target string, e *Error) error {
	s.cfg.Log.Info("refused", "actor", actor, "action", action, "target", target, "reason", e.Reason)
	if n, record := s.refused.record(s.cfg.Now()); record {
		detail := e.Reason
		if n > 0 {
			detail += ", and others that were not recorded: there were too many"
		}
		err := s.cfg.Store.Record(context.WithoutCancel(ctx), store.Entry{
			Actor: actor, Action: action, Target: target, Outcome: store.Refused, Detail: detail, At: s.cfg.Now(),
		})
		if err != nil {
			s.cfg.Log.Error("a refusal could not be recorded", "error", err)
		}
	}
	return e
}

// refusals bounds how many refusals are recorded: whoever floods the service must not fill its disk.
type refusals struct {
	mu      sync.Mutex
	tokens  float64 // guarded by mu
	at      time.Time
	skipped int
}

const (
	refusalsBurst = 100
	refusalsRate  = 5 // a second
)

// record tells whether one more may be recorded, and how many were not since the last.
func (r *refusals) record(now time.Time) (skipped int, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.at.IsZero() {
		r.tokens = refusalsBurst
	} else if passed := now.Sub(r.at).Seconds(); passed > 0 {
		r.tokens = min(refusalsBurst, r.tokens+passed*refusalsRate)
	}
	r.at = now
	if r.tokens < 1 {
		r.skipped++
		return 0, false
	}
	r.tokens--
	skipped, r.skipped = r.skipped, 0
	return skipped, true
}
