// Package seen is the room of a node that answers the operator API about what was ordered and by whom, by which keys
// and certificates the node is known and knows others, and what each node on the way of a call remembers of it.
package seen

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/catalyst-router/catalyst/auth/identity"
	"github.com/catalyst-router/catalyst/auth/member"
	"github.com/catalyst-router/catalyst/bgp"
	"github.com/catalyst-router/catalyst/cmd/internal/audit"
	"github.com/catalyst-router/catalyst/cmd/internal/tokens"
	"github.com/catalyst-router/catalyst/cmd/internal/trace"
	"github.com/catalyst-router/catalyst/graphql/operator"
)

// Identity is what is shown of the node's certificate. identity.Source is one.
type Identity interface {
	Material() *identity.Material
	Validities() []identity.Validity
}

// Config is what the room is told of its node.
type Config struct {
	Audit    *audit.Log
	Identity Identity
	Member   func() member.Status // nil where certificates are issued by hand
	Tokens   *tokens.Tokens       // nil if none are looked at
	Tracer   *trace.Tracer
	// Service reads the name of a service as an operator writes it.
	Service func(name string) (bgp.Service, error)
}

// Room answers. It is safe for concurrent use.
type Room struct{ cfg Config }

var (
	_ operator.Auditor     = (*Room)(nil)
	_ operator.SeenBackend = (*Room)(nil)
)

// New returns the answers of a node.
func New(cfg Config) *Room { return &Room{cfg} }

// Owner is who orders by the node's own socket: whoever may open it.
const Owner = "the owner of the node's socket"

type throughKey struct{}

// Through has those who call a handler without a name of their own be known by how they came.
func Through(by string, h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), throughKey{}, by)))
	})
}

// Who is whoever calls, in words.
func Who(ctx context.Context) string {
	if p, ok := operator.Caller(ctx); ok {
		return p.Principal + " " + bgp.Printable(p.Subject)
	}
	if by, ok := ctx.Value(throughKey{}).(string); ok {
		return by
	}
	return Owner
}

// Ordered implements operator.Auditor.
func (r *Room) Ordered(ctx context.Context, o operator.Order) {
	e := audit.Entry{By: Who(ctx), Action: o.Operation, Target: bgp.Printable(o.Target()), Outcome: audit.Done,
		Detail: o.Arguments()}
	switch {
	case o.Refused:
		e.Outcome = audit.Refused
	case o.Err != nil:
		e.Outcome = audit.Failed
	}
	if o.Err != nil {
		e.Detail = strings.TrimSpace(e.Detail + " " + bgp.Printable(o.Err.Error()))
	}
	r.cfg.Audit.Write(e)
}

// Audit implements operator.Backend.
func (r *Room) Audit(_ context.Context, first int, f operator.AuditFilter) ([]operator.AuditEntry, error) {
	switch f.Outcome {
	case "", audit.Done, audit.Failed, audit.Refused:
	default:
		return nil, operator.Input(fmt.Errorf("outcome: %q: want done, failed or refused", f.Outcome))
	}
	if first < 1 || first > audit.Kept {
		return nil, operator.Input(fmt.Errorf("first: %d: want 1 to %d", first, audit.Kept))
	}
	out := []operator.AuditEntry{}
	about := strings.ToLower(f.About)
	for _, e := range r.cfg.Audit.Newest(first, func(e *audit.Entry) bool {
		return (f.Outcome == "" || e.Outcome == f.Outcome) && (f.Action == "" || e.Action == f.Action) &&
			(about == "" || strings.Contains(strings.ToLower(e.By+" "+e.Target+" "+e.Detail), about))
	}) {
		out = append(out, operator.AuditEntry{At: stamp(e.At), By: e.By, Action: e.Action, Target: e.Target,
			Outcome: e.Outcome, Detail: e.Detail, LeftOut: e.LeftOut})
	}
	return out, nil
}

// Credentials implements operator.Backend.
func (r *Room) Credentials(context.Context) (*operator.Credentials, error) {
	c := &operator.Credentials{Validities: []operator.Validity{}, Issuers: []operator.TokenIssuer{}}
	var err error
	if c.Certificate, err = r.shown(); err != nil {
		return nil, err
	}
	now := time.Now()
	for _, v := range r.cfg.Identity.Validities() {
		c.Validities = append(c.Validities, operator.Validity{Of: v.Of, Organisation: string(v.Org), From: stamp(v.From),
			Until: stamp(v.Until), Warning: v.Warning(now)})
	}
	if r.cfg.Member != nil {
		s := r.cfg.Member()
		c.Membership = &operator.Membership{Service: s.Address, RenewAt: stamp(s.Renew), Alarm: s.Continuity,
			Returns: s.Returns}
		if s.Err != nil {
			c.Membership.Error = s.Err.Error()
		}
	}
	if r.cfg.Tokens == nil {
		return c, nil
	}
	for _, s := range r.cfg.Tokens.Status() {
		c.Issuers = append(c.Issuers, issuerOf(s))
	}
	if s := r.cfg.Tokens.FromFile(); s != nil {
		c.Issuers = append(c.Issuers, issuerOf(*s))
	}
	return c, nil
}

func issuerOf(s tokens.Status) operator.TokenIssuer {
	out := operator.TokenIssuer{Issuer: s.Issuer, Organisation: string(s.Org), Keys: []operator.TokenKey{},
		Revocations: s.Revocations, Problem: s.Problem, Refused: s.Stale, Disbelieved: s.Disbelieved}
	if !s.Heard.IsZero() {
		out.Heard = stamp(s.Heard)
	}
	for _, k := range s.Keys {
		out.Keys = append(out.Keys, operator.TokenKey{ID: k.ID, Algorithm: k.Algorithm})
	}
	return out
}

// shown is the certificate that this node shows.
func (r *Room) shown() (operator.NodeCertificate, error) {
	m := r.cfg.Identity.Material()
	block, _ := pem.Decode(m.Chain)
	if block == nil {
		return operator.NodeCertificate{}, errors.New("the certificate of this node is not PEM")
	}
	leaf, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return operator.NodeCertificate{}, fmt.Errorf("read the certificate of this node: %w", err)
	}
	sum := sha256.Sum256(leaf.Raw)
	return operator.NodeCertificate{
		Name: m.Node.URI(), Serial: leaf.SerialNumber.Text(16), Sha256: hex.EncodeToString(sum[:]),
		From: stamp(leaf.NotBefore), Until: stamp(leaf.NotAfter), SignedBy: leaf.Issuer.String(),
		Key: leaf.PublicKeyAlgorithm.String(),
	}, nil
}

// CallParts implements operator.Backend.
func (r *Room) CallParts(ctx context.Context, service, id string) (*operator.CallParts, error) {
	svc, err := r.cfg.Service(service)
	if err != nil {
		return nil, err
	}
	if id == "" || len(id) > bgp.MaxCallID {
		return nil, operator.Input(fmt.Errorf("id: %d bytes: want the id of a call, 1 to %d", len(id), bgp.MaxCallID))
	}
	hops, err := r.cfg.Tracer.Call(ctx, svc, id)
	if err != nil {
		return nil, err
	}
	out := &operator.CallParts{Nodes: []operator.CallPart{}, Complete: true}
	for _, h := range hops {
		part := operator.CallPart{Node: h.Node.String(), Note: h.Note, Seen: []operator.CallSeen{}}
		for _, s := range h.Steps {
			part.Seen = append(part.Seen, operator.CallSeen{Where: s.Name, Ok: s.State == bgp.TraceOK,
				Took: float64(s.Took.Microseconds()) / 1000,
				Text: s.Text, More: s.Advice})
		}
		out.Complete = out.Complete && len(part.Seen) > 0
		out.Nodes = append(out.Nodes, part)
	}
	return out, nil
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339Nano) }
