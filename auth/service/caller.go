package service

import (
	"cmp"
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/catalyst-router/catalyst/auth/store"
	"github.com/catalyst-router/catalyst/auth/token"
	"github.com/catalyst-router/catalyst/policy"
)

// Caller is whoever asks, as the shell found out.
type Caller struct {
	Name        string          // for the audit log: a SPIFFE id, a subject, or what opened the socket
	Subject     string          // of its tokens; its SPIFFE id if it showed a certificate alone
	Principal   token.Principal // "" for one that is known and may do nothing in particular
	Entity      token.Entity    // of its token: the domains and nodes that it is trusted with
	Certificate token.Thumbprint
	// Bound says that it proved a key: by its certificate alone, by a token bound to it, or by the socket's owner.
	Bound bool
	owner bool // of the files: no policy binds him
}

// Owner is who opened the service's own Unix socket or files.
func Owner() Caller {
	return Caller{Name: "owner", Subject: "owner", Principal: token.Admin, Bound: true, owner: true}
}

// nodeName is what policies call the service, among the nodes that a caller is trusted with.
const nodeName = "auth"

// order is what a caller wants to do, as policies see it: the actions on tokens on the token or whatever is named, and
// everything else is to manage the service.
func (s *Service) order(c Caller, action, target string) policy.Order {
	o := policy.Order{
		Bearer: policy.Bearer{
			Principal: string(c.Principal), Subject: c.Subject, Name: c.Entity.Name, Kind: c.Entity.Type,
			Organisation: string(s.cfg.Org), TrustedDomains: c.Entity.TrustedDomains, TrustedNodes: c.Entity.TrustedNodes,
		},
		Action: "MANAGE", Kind: "AdminPanel", ID: "admin-panel", Node: nodeName, Domain: string(s.cfg.Org),
	}
	onTokens := map[string]string{
		"token.mint": "TOKEN_CREATE", "token.revoke": "TOKEN_REVOKE", "token.list": "TOKEN_LIST",
	}
	if right, ok := onTokens[action]; ok {
		o.Action, o.Kind, o.ID = right, "Token", cmp.Or(target, "tokens")
	}
	return o
}

// Administers refuses callers that may not administer the organisation.
func (s *Service) Administers(ctx context.Context, c Caller, action string) error {
	return s.admin(ctx, c, action, "")
}

// admin refuses callers to whom the policies do not permit an action, and those that prove no key.
func (s *Service) admin(ctx context.Context, c Caller, action, target string) error {
	if c.owner {
		return nil
	}
	o := s.order(c, action, target)
	d := s.cfg.Policies.Decide(o.Request())
	switch {
	case !d.Allow:
		return s.refuse(ctx, c.Name, action, target, &Error{
			Code: Forbidden, Reason: "policy: " + cmp.Or(strings.Join(append(d.Policies, d.Errors...), ", "), "none permits it"),
			Text: fmt.Sprintf("the policies do not permit it to you: it needs %s on %s at %q", o.Action, o.Kind, o.Node),
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
