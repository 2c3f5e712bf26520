package federation

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"crypto/x509"
	"encoding/json"
	"fmt"

	"github.com/catalyst-router/catalyst/auth/bundle"
	"github.com/catalyst-router/catalyst/auth/identity"
	"github.com/catalyst-router/catalyst/bgp"
)

// Redemption is what the invited side sends to redeem an invitation.
type Redemption struct {
	Secret    []byte          `json:"secret"`
	Node      bgp.NodeID      `json:"node"`
	Addresses []string        `json:"addresses,omitempty"` // where it takes peers; none if it only dials
	Bundle    json.RawMessage `json:"bundle"`
	Terms     Terms           `json:"terms"`
}

// Answer is what it gets for it: the inviting organisation's bundle as it is now, and its terms.
type Answer struct {
	Bundle json.RawMessage `json:"bundle"`
	Terms  Terms           `json:"terms"`
}

// Misuse is why an invitation is not honoured.
type Misuse struct {
	Kind string // malformed, secret, used, expired, withdrawn, organisation, certificate, bundle, role
	Text string
	// Handshake is the certificate that is not believed; nil where it is about something else.
	Handshake *Handshake
}

// Error implements error.
func (m *Misuse) Error() string { return m.Text }

func misuse(kind, format string, args ...any) *Misuse {
	return &Misuse{Kind: kind, Text: fmt.Sprintf(format, args...)}
}

// Redeem spends an invitation and keeps the peering that it makes, in one transaction. chain is the certificate that
// the other side showed in TLS, whose key it thereby holds: it has to be one of its node, by its own bundle. own is
// this organisation's bundle. Whoever redeemed it may ask again with the same key until it expires, and gets the same
// answer: the first may have been lost. Every refusal is a *Misuse, and audited.
func (b *Book) Redeem(ctx context.Context, r *Redemption, chain []*x509.Certificate, own *bundle.Bundle,
	from string) (*Answer, *Peering, error) {
	theirs, bad := b.judge(r, chain)
	if bad != nil {
		b.refuse(r, bad, from)
		return nil, nil, bad
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	o, bad := b.find(r, chain[0])
	if bad != nil {
		b.refuse(r, bad, from)
		return nil, nil, bad
	}
	doc, err := own.Marshal()
	if err != nil {
		return nil, nil, err
	}
	answer := &Answer{Bundle: doc, Terms: o.Terms}
	if o.UsedBy != "" {
		return answer, b.peerings[r.Node.Org], nil
	}
	p, err := b.peeringOf(r, o, theirs)
	if err != nil {
		return nil, nil, err
	}
	used := *o
	holder := sha256.Sum256(chain[0].RawSubjectPublicKeyInfo)
	used.UsedBy, used.UsedAt, used.Holder = r.Node.String(), b.cfg.Now().UTC(), holder[:]
	if err := b.save(ctx, p, &used); err != nil {
		return nil, nil, err
	}
	b.audit(Event{Action: "redeem", Org: p.Org, Node: r.Node.String(), Text: "invitation " + o.ID, From: from})
	return answer, p, nil
}

func (b *Book) peeringOf(r *Redemption, o *Offered, theirs *bundle.Bundle) (*Peering, error) {
	trust, err := trustOf(theirs, ByInvitation, b.cfg.Now())
	if err != nil {
		return nil, err
	}
	p, err := b.merge(r.Node.Org, Neighbour{Node: r.Node, Addresses: r.Addresses})
	if err != nil {
		return nil, err
	}
	terms := r.Terms.Clean()
	p.Terms, p.Theirs, p.Trust, p.Invitation = o.Terms, &terms, trust, o.ID
	return &p, nil
}

// judge checks all of a redemption that needs no secret: who sends it.
func (b *Book) judge(r *Redemption, chain []*x509.Certificate) (*bundle.Bundle, *Misuse) {
	if len(r.Secret) != secretBytes || r.Node.IsZero() || len(r.Addresses) > maxNeighbours {
		return nil, misuse("malformed", "it is no redemption of an invitation")
	}
	for _, a := range r.Addresses {
		if _, err := bgp.ParseEndpoint(a); err != nil {
			return nil, misuse("malformed", "addresses: %v", err)
		}
	}
	if err := r.Terms.Check(); err != nil {
		return nil, misuse("malformed", "%v", err)
	}
	if r.Node.Org == b.cfg.Node.Org {
		return nil, misuse("organisation", "%s is of the organisation that invites", r.Node)
	}
	theirs, err := bundle.Parse(r.Node.Org, r.Bundle)
	if err != nil {
		return nil, misuse("bundle", "%v", err)
	}
	if err := verify(chain, theirs, r.Node); err != nil {
		return nil, misuse("certificate", "%v", err)
	}
	return theirs, nil
}

// verify checks that a chain is that of a node, by a bundle of its organisation.
func verify(chain []*x509.Certificate, by *bundle.Bundle, node bgp.NodeID) error {
	if len(chain) == 0 {
		return fmt.Errorf("no certificate was shown: %s has to prove that it is that", node)
	}
	id, err := identity.Judge(chain[0])
	if err != nil {
		return err
	}
	if id != node.URI() {
		return fmt.Errorf("the certificate is that of %s, want %s", bgp.Printable(id), node.URI())
	}
	return Chain(chain, by)
}

// Chain verifies a chain by the roots of a bundle and no others.
func Chain(chain []*x509.Certificate, by *bundle.Bundle) error {
	between := x509.NewCertPool()
	for _, c := range chain[1:] {
		between.AddCert(c)
	}
	_, err := chain[0].Verify(x509.VerifyOptions{
		Roots: by.Pool(), Intermediates: between, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny},
	})
	if err != nil {
		return fmt.Errorf("the certificate is not signed by a root of the bundle of %s: %w", by.Org, err)
	}
	return nil
}

// find returns the invitation of a secret if it may be redeemed. Secrets have 256 bits and are found by their hash:
// neither tells anything by the time that it takes. The caller holds mu.
func (b *Book) find(r *Redemption, leaf *x509.Certificate) (*Offered, *Misuse) {
	hash := hashOf(r.Secret)
	o := b.offers[invitationID(hash)]
	if o == nil || subtle.ConstantTimeCompare(hash[:], o.Hash) != 1 {
		return nil, misuse("secret", "there is no such invitation, or it is forgotten: ask for another")
	}
	holder := sha256.Sum256(leaf.RawSubjectPublicKeyInfo)
	switch {
	case o.With != r.Node.Org:
		return nil, misuse("organisation", "the invitation is for %s, and %s redeems it", o.With, r.Node)
	case o.Withdrawn:
		return nil, misuse("withdrawn", "the invitation was withdrawn")
	case !b.cfg.Now().Before(o.Expires):
		return nil, misuse("expired", "the invitation ended at %s: ask for another",
			o.Expires.Format("2006-01-02 15:04:05 MST"))
	case o.UsedBy != "" && (o.UsedBy != r.Node.String() || subtle.ConstantTimeCompare(holder[:], o.Holder) != 1 ||
		b.peerings[r.Node.Org] == nil):
		return nil, misuse("used", "the invitation was redeemed by %s: if that was not you, tell the one who sent it",
			o.UsedBy)
	case r.Terms.Role != Opposite(o.Terms.Role):
		return nil, misuse("role", "%s is %s to %s by the invitation, and says that it is %s", r.Node.Org,
			roleWord(o.Terms.Role), b.cfg.Node.Org, roleWord(Opposite(r.Terms.Role)))
	}
	return o, nil
}

func roleWord(r string) string {
	if r == "" {
		return "neither customer nor provider"
	}
	return r
}

func (b *Book) refuse(r *Redemption, m *Misuse, from string) {
	b.audit(Event{Action: "refuse", Org: r.Node.Org, Node: r.Node.String(), Kind: m.Kind, Text: m.Text, From: from})
	b.cfg.Log.Warn("an invitation was not honoured", "kind", m.Kind, "reason", m.Text, "claimed", r.Node.String(),
		"from", from)
}
