package service

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/catalyst-router/catalyst/auth/ca"
	"github.com/catalyst-router/catalyst/auth/join"
	"github.com/catalyst-router/catalyst/auth/revoke"
	"github.com/catalyst-router/catalyst/auth/store"
	"github.com/catalyst-router/catalyst/auth/token"
	"github.com/catalyst-router/catalyst/bgp"
)

// Bounds of joining.
const (
	DefaultJoinTTL = 10 * time.Minute
	MaxJoinTTL     = 24 * time.Hour
	lostAnswer     = time.Minute // an answer may be fetched again as long
	maxCarried     = 16          // tokens that go along with a renewal
	nodeTokenTTL   = 24 * time.Hour
	// Credits is how often a node may come back after its certificate ended, until creditsEvery has passed.
	Credits      = 3
	creditsEvery = 30 * 24 * time.Hour
)

// The reasons for which joining is refused, each a word of its own.
const (
	reasonSecret       = "secret"       // it was never issued, or is forgotten
	reasonUsed         = "used"         // by another key, or too long ago to fetch the answer again
	reasonExpired      = "expired"      //
	reasonNode         = "node"         // it is for another node
	reasonOrganisation = "organisation" // it is for another organisation
	reasonRevoked      = "revoked"      // the node is revoked
	reasonKey          = "key"          // not the key that the node joined with
	reasonContinuity   = "continuity"   // somebody else renewed in between: the identity is copied
	reasonCredits      = "credits"      // it came back too often
	reasonUnknown      = "unknown"      // no such node ever joined
	reasonClaims       = "claims"       // no rule of the external issuer lets it be this node
)

// JoinToken makes a permission for a node to join once, and returns the text that the node is given.
func (s *Service) JoinToken(ctx context.Context, c Caller, node string, ttl time.Duration) (string, time.Time, error) {
	if err := s.admin(ctx, c, "join.token", node); err != nil {
		return "", time.Time{}, err
	}
	id, err := bgp.NewNodeID(string(s.cfg.Org), node)
	if err != nil {
		return "", time.Time{}, invalid("%v", err)
	}
	if ttl == 0 {
		ttl = DefaultJoinTTL
	}
	if ttl < time.Second || ttl > MaxJoinTTL {
		return "", time.Time{}, invalid("ttl %s: want 1s to %s", ttl, MaxJoinTTL)
	}
	at, err := s.joinAt(ctx, id)
	if err != nil {
		return "", time.Time{}, err
	}
	secret := make([]byte, join.SecretBytes)
	_, _ = rand.Read(secret) // it never fails
	now := s.cfg.Now()
	e := store.Entry{Actor: c.Name, Action: "join.token", Target: id.Name,
		Detail: "until " + now.Add(ttl).UTC().Format(time.RFC3339)}
	err = s.write(ctx, e, func(ctx context.Context, tx *store.Tx) error {
		return tx.AddJoin(ctx, store.Join{Hash: hashText(secret), Node: id.Name, Minter: c.Name, Created: now,
			Expires: now.Add(ttl)})
	})
	if err != nil {
		return "", time.Time{}, err
	}
	at.Secret = secret
	return at.Text(), now.Add(ttl), nil
}

// joinAt is a join token without its secret: where to join, as whom, and how to know the service.
func (s *Service) joinAt(ctx context.Context, id bgp.NodeID) (join.Token, error) {
	address := s.cfg.Address
	if address == "" { // nobody runs this service: another, over the same store, did
		var err error
		if address, err = s.cfg.Store.Setting(ctx, settingAddress); err != nil {
			return join.Token{}, unavailable(err)
		}
	}
	if address == "" {
		return join.Token{}, conflict("nobody could join yet: start the identity service with catalyst auth")
	}
	block, _ := pem.Decode(s.OwnRoot())
	return join.Token{Org: s.cfg.Org, Node: id.Name, Address: address, Pin: sha256.Sum256(block.Bytes)}, nil
}

// JoinAddress returns a join token without a secret, for a node that joins by a token of an external issuer.
func (s *Service) JoinAddress(ctx context.Context, c Caller, node string) (string, error) {
	if err := s.admin(ctx, c, "join.address", node); err != nil {
		return "", err
	}
	id, err := bgp.NewNodeID(string(s.cfg.Org), node)
	if err != nil {
		return "", invalid("%v", err)
	}
	at, err := s.joinAt(ctx, id)
	return at.Text(), err
}

func hashText(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// KeyHash names a public key.
func KeyHash(cert *x509.Certificate) string { return hashText(cert.RawSubjectPublicKeyInfo) }

// JoinRequest is a node that asks for its first certificate.
type JoinRequest struct {
	Org    string
	Node   string
	Secret []byte
	OIDC   string            // in place of Secret
	CSR    []byte            // DER
	Key    *x509.Certificate // self-signed with the node key, as shown in TLS
}

// Issued is a certificate and what goes with it.
type Issued struct {
	Chain, Roots []byte // PEM
	Continuity   []byte
	Token        string
	Carried      []string
	Alarm        string
	// ReturnsLeft is how often the node may come back after its certificate ended; ReturnsAnew is when that is counted
	// anew, zero if none of them is used.
	ReturnsLeft int
	ReturnsAnew time.Time
}

// Join redeems a permission, or a token of an external issuer, for the first certificate of a node.
func (s *Service) Join(ctx context.Context, r JoinRequest) (*Issued, error) {
	no := func(reason, format string, args ...any) error {
		return s.refuse(ctx, "node "+r.Node, "join", r.Node, &Error{Code: Forbidden, Reason: reason,
			Text: fmt.Sprintf(format, args...)})
	}
	if r.Org != string(s.cfg.Org) {
		return nil, no(reasonOrganisation, "the join token is for %s, and this is %s", clip(r.Org), s.cfg.Org)
	}
	id, err := bgp.NewNodeID(r.Org, r.Node)
	if err != nil {
		return nil, invalid("%v", err)
	}
	var by string
	if r.OIDC != "" {
		if by, err = s.joinRule(ctx, r.OIDC, id.Name); err != nil {
			return nil, no(reasonClaims, "%v", err)
		}
	}
	var out *Issued
	var refusal *Error
	e := store.Entry{Actor: "node " + id.Name, Action: "join", Target: id.Name}
	err = s.write(ctx, e, func(ctx context.Context, tx *store.Tx) error {
		if r.OIDC == "" {
			var err error
			if out, err = s.redeem(ctx, tx, id, r); err != nil || out != nil {
				return err
			}
		}
		out, err = s.admit(ctx, tx, id, r)
		if err != nil || r.OIDC != "" {
			tx.Note("%s, certificate for key %.16s", by, KeyHash(r.Key))
			return err
		}
		tx.Note("certificate for key %.16s", KeyHash(r.Key))
		ok, err := tx.Redeem(ctx, hashText(r.Secret), s.cfg.Now(), KeyHash(r.Key), string(out.Chain))
		if err == nil && !ok {
			err = errors.New("the permission was redeemed by another change")
		}
		return err
	})
	if errors.As(err, &refusal) && refusal.Code == Forbidden {
		return nil, no(refusal.Reason, "%s", refusal.Text)
	}
	if err != nil {
		return nil, err
	}
	return s.complete(ctx, id, out)
}

// redeem checks a secret. It returns an answer that was given before and may be fetched again, nil if the secret is
// good, or a refusal.
func (s *Service) redeem(ctx context.Context, tx *store.Tx, id bgp.NodeID, r JoinRequest) (*Issued, error) {
	no := func(reason, text string) error { return &Error{Code: Forbidden, Reason: reason, Text: text} }
	j, err := tx.Join(ctx, hashText(r.Secret))
	now := s.cfg.Now()
	switch {
	case err != nil:
		return nil, err
	case j == nil:
		return nil, no(reasonSecret, "the join token is not known: make one with catalyst org join-token")
	case j.Node != id.Name:
		return nil, no(reasonNode, "the join token is for node "+j.Node)
	case !j.Used.IsZero() && j.Key == KeyHash(r.Key) && now.Sub(j.Used) <= lostAnswer:
		return s.again(ctx, tx, id, r, j)
	case !j.Used.IsZero():
		return nil, no(reasonUsed, "the join token was used at "+j.Used.UTC().Format(time.RFC3339)+
			": if that was not this machine, revoke the node; else make another with catalyst org join-token")
	case !now.Before(j.Expires):
		return nil, no(reasonExpired, "the join token expired at "+j.Expires.UTC().Format(time.RFC3339))
	}
	return nil, nil //nolint:nilnil // nothing is against it, and nothing was answered yet
}

// again answers a join once more: the same certificate if it is for the same key.
func (s *Service) again(ctx context.Context, tx *store.Tx, id bgp.NodeID, r JoinRequest, j *store.Join) (*Issued,
	error) {
	req, err := x509.ParseCertificateRequest(r.CSR)
	if err != nil {
		return nil, invalid("signing request: %v", err)
	}
	block, _ := pem.Decode([]byte(j.Chain))
	leaf, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil, err
	}
	if hashText(leaf.RawSubjectPublicKeyInfo) != hashText(req.RawSubjectPublicKeyInfo) {
		return nil, &Error{Code: Forbidden, Reason: reasonUsed, Text: "the join token was used for another certificate"}
	}
	n, err := tx.Node(ctx, id.Name)
	if err != nil || n == nil {
		return nil, errors.Join(err, errors.New("the node is not there"))
	}
	out := &Issued{Chain: []byte(j.Chain)}
	out.credits(n)
	out.Continuity = newContinuity(n, n.Continuity, req.RawSubjectPublicKeyInfo)
	tx.Note("the answer once more")
	return out, tx.PutNode(ctx, *n)
}

// newContinuity draws what a node has to show at its next renewal. What it showed now stays good for the same key, in
// case the answer is lost.
func newContinuity(n *store.Node, shown string, spki []byte) []byte {
	next := make([]byte, 32)
	_, _ = rand.Read(next) // it never fails
	n.Former, n.Continuity = formerly(shown, spki), hashText(next)
	return next
}

func formerly(shown string, spki []byte) string { return shown + " " + hashText(spki) }

// admit makes a node of the organisation of whoever was allowed to join. An identity of that name from before ends:
// its certificates are revoked.
func (s *Service) admit(ctx context.Context, tx *store.Tx, id bgp.NodeID, r JoinRequest) (*Issued, error) {
	now := s.cfg.Now()
	n := store.Node{Name: id.Name, State: store.NodeActive, Key: KeyHash(r.Key), Joined: now, Credits: Credits,
		CreditsAt: now}
	before, err := tx.Node(ctx, id.Name)
	if err != nil {
		return nil, err
	}
	if before != nil {
		if err := s.revokeCertificates(ctx, tx, id, "the node joined anew"); err != nil {
			return nil, err
		}
		r := store.Revocation{Kind: string(revoke.Node), Value: id.URI(), Reason: "the node joined anew", At: now,
			Expires: now, Lifted: true}
		if before.State == store.NodeRevoked {
			if _, err := tx.Revoke(ctx, r); err != nil {
				return nil, err
			}
		}
	}
	return s.certify(ctx, tx, id, &n, r.CSR, "")
}

// revokeCertificates revokes every certificate of a node that is valid still.
func (s *Service) revokeCertificates(ctx context.Context, tx *store.Tx, id bgp.NodeID, reason string) error {
	now := s.cfg.Now()
	certs, err := tx.Certificates(ctx, id.URI(), now)
	if err != nil {
		return err
	}
	for _, c := range certs {
		for kind, value := range map[revoke.Kind]string{revoke.Serial: c.Serial, revoke.Certificate: c.Thumbprint} {
			r := store.Revocation{Kind: string(kind), Value: value, Reason: reason, At: now, Expires: c.Expires.Add(time.Hour)}
			if _, err := tx.Revoke(ctx, r); err != nil {
				return err
			}
		}
	}
	return nil
}

// certify signs a node's next certificate and keeps it, and the node.
func (s *Service) certify(ctx context.Context, tx *store.Tx, id bgp.NodeID, n *store.Node, csr []byte,
	shown string) (*Issued, error) {
	authority, authorityID, err := s.authorityIn(ctx, tx)
	if err != nil {
		return nil, err
	}
	svid, err := authority.Sign(csr, id, s.cfg.Life)
	if err != nil {
		return nil, invalid("%v", err)
	}
	leaf := svid.Leaf
	n.Renewed, n.Expires, n.Serial, n.Thumbprint = s.cfg.Now(), leaf.NotAfter, revoke.SerialText(leaf),
		token.ThumbprintOf(leaf).String()
	out := &Issued{Chain: svid.PEM(), Continuity: newContinuity(n, shown, leaf.RawSubjectPublicKeyInfo), Alarm: n.Alarm}
	out.credits(n)
	err = tx.AddCertificate(ctx, store.Certificate{
		Serial: n.Serial, Subject: id.URI(), Thumbprint: n.Thumbprint, Authority: authorityID, Issued: s.cfg.Now(),
		Expires: leaf.NotAfter,
	})
	return out, errors.Join(err, tx.PutNode(ctx, *n))
}

// credits says how often a node may come back.
func (i *Issued) credits(n *store.Node) {
	if i.ReturnsLeft = n.Credits; n.Credits < Credits {
		i.ReturnsAnew = n.CreditsAt.Add(creditsEvery)
	}
}

// complete adds the roots, and a token of the node that is bound to its certificate.
func (s *Service) complete(ctx context.Context, id bgp.NodeID, out *Issued) (*Issued, error) {
	out.Roots = s.Roots()
	block, _ := pem.Decode(out.Chain)
	now := s.cfg.Now().Truncate(time.Second)
	c := &token.Claims{
		ID: newID(), Issuer: s.cfg.Issuer, Subject: id.URI(), Audience: []string{string(s.cfg.Org)}, IssuedAt: now,
		Expires: now.Add(min(nodeTokenTTL, s.cfg.MaxTTL)), Principal: token.Node, Bound: sha256.Sum256(block.Bytes),
		Entity: token.Entity{ID: id.URI(), Name: id.Name, Type: "service", NodeID: id.String(),
			TrustedDomains: []string{string(s.cfg.Org)}},
	}
	e := store.Entry{Actor: "node " + id.Name, Action: "token.mint", Target: c.ID}
	err := s.write(ctx, e, func(ctx context.Context, tx *store.Tx) (err error) {
		out.Token, err = s.issue(ctx, tx, c, "node "+id.Name, "")
		return err
	})
	return out, err
}

// RenewRequest is a node that asks for its next certificate.
type RenewRequest struct {
	Node       bgp.NodeID        // as its certificate says; with Returning, as it says itself
	Returning  bool              // its certificate has ended
	Leaf       *x509.Certificate // its current certificate; with Returning, the self-signed one of its node key
	CSR        []byte
	Continuity []byte
	Tokens     []string
}

// Renew issues a node's next certificate.
func (s *Service) Renew(ctx context.Context, r RenewRequest) (*Issued, error) {
	action := "renew"
	if r.Returning {
		action = "return"
	}
	if r.Node.Org != s.cfg.Org {
		return nil, invalid("node %s: is not of %s", r.Node, s.cfg.Org)
	}
	if len(r.Tokens) > maxCarried {
		return nil, invalid("tokens: %d, and %d can be carried along", len(r.Tokens), maxCarried)
	}
	var out *Issued
	var refusal *Error
	alarm := false
	err := s.write(ctx, store.Entry{Actor: "node " + r.Node.Name, Action: action, Target: r.Node.Name},
		func(ctx context.Context, tx *store.Tx) error {
			n, err := tx.Node(ctx, r.Node.Name)
			if err != nil {
				return err
			}
			lost, err := s.lostContinuity(ctx, tx, n, r)
			if err != nil {
				return err
			}
			if err := s.mayRenew(n, r, lost); err != nil {
				alarm = errors.As(err, &refusal) && refusal.Reason == reasonContinuity
				return err
			}
			if out, err = s.certify(ctx, tx, r.Node, n, r.CSR, hashText(r.Continuity)); err != nil {
				return err
			}
			tx.Note("certificate %s until %s", n.Serial, n.Expires.UTC().Format(time.RFC3339))
			return s.carry(ctx, tx, r, out)
		})
	if errors.As(err, &refusal) && refusal.Code == Forbidden {
		if alarm {
			s.raise(ctx, r.Node)
		}
		return nil, s.refuse(ctx, "node "+r.Node.Name, action, r.Node.Name, refusal)
	}
	if err != nil {
		return nil, err
	}
	return s.complete(ctx, r.Node, out)
}

// mayRenew decides whether a node gets its next certificate, and counts a return. With forgotten, its continuity went
// with a former store.
func (s *Service) mayRenew(n *store.Node, r RenewRequest, forgotten bool) error {
	no := func(reason, format string, args ...any) error {
		return &Error{Code: Forbidden, Reason: reason, Text: fmt.Sprintf(format, args...)}
	}
	now := s.cfg.Now()
	switch {
	case n == nil:
		return no(reasonUnknown, "node %s has not joined: make a token with catalyst org join-token", r.Node)
	case n.State == store.NodeRevoked:
		return no(reasonRevoked, "node %s is revoked", r.Node)
	case r.Returning && KeyHash(r.Leaf) != n.Key:
		return no(reasonKey, "this is not the key that node %s joined with", r.Node)
	}
	shown := hashText(r.Continuity)
	current := subtle.ConstantTimeCompare([]byte(shown), []byte(n.Continuity)) == 1
	req, err := x509.ParseCertificateRequest(r.CSR)
	if err != nil {
		return invalid("signing request: %v", err)
	}
	// Its answer was lost, or it was killed before it kept it: it asks again with the same key.
	again := formerly(shown, req.RawSubjectPublicKeyInfo)
	lost := subtle.ConstantTimeCompare([]byte(again), []byte(n.Former)) == 1
	if !current && !lost && !forgotten {
		return no(reasonContinuity, "somebody else has renewed as node %s since: its identity is copied. "+
			"Find out who has it, run catalyst org revoke-node %s, and let it join anew", r.Node, r.Node.Name)
	}
	if now.Sub(n.CreditsAt) >= creditsEvery {
		n.Credits, n.CreditsAt = Credits, now
	}
	if !r.Returning {
		return nil
	}
	if n.Credits <= 0 {
		return no(reasonCredits, "node %s came back %d times after its certificate had ended, and may not again before %s: "+
			"make a token with catalyst org join-token", r.Node, Credits,
			n.CreditsAt.Add(creditsEvery).UTC().Format(time.RFC3339))
	}
	n.Credits--
	return nil
}

// raise keeps an alarm on a node until it joins anew.
func (s *Service) raise(ctx context.Context, id bgp.NodeID) {
	s.cfg.Log.Error("the identity of a node is copied: two use it", "node", id.String())
	e := store.Entry{Actor: "service", Action: "node.alarm", Target: id.Name, Detail: "its identity is copied"}
	err := s.write(context.WithoutCancel(ctx), e, func(ctx context.Context, tx *store.Tx) error {
		n, err := tx.Node(ctx, id.Name)
		if err != nil || n == nil {
			return err
		}
		n.Alarm = "copied: two renewed with one continuity at " + s.cfg.Now().UTC().Format(time.RFC3339)
		return tx.PutNode(ctx, *n)
	})
	if err != nil {
		s.cfg.Log.Error("an alarm could not be kept", "node", id.String(), "error", err)
	}
}

// carry mints the tokens that are bound to a node's certificate anew for the next one: the same in all else.
func (s *Service) carry(ctx context.Context, tx *store.Tx, r RenewRequest, out *Issued) error {
	block, _ := pem.Decode(out.Chain)
	for _, raw := range r.Tokens {
		old, err := s.verifier.Verify(ctx, raw, token.ThumbprintOf(r.Leaf))
		if err != nil || old.Bound.IsZero() || old.Issuer != s.cfg.Issuer {
			out.Carried = append(out.Carried, "")
			continue
		}
		c := *old
		c.Former = append([]token.Thumbprint{old.Bound}, old.Former...)
		c.Former = c.Former[:min(len(c.Former), token.MaxFormer)]
		c.ID, c.Bound, c.IssuedAt = newID(), sha256.Sum256(block.Bytes), s.cfg.Now().Truncate(time.Second)
		fresh, err := s.issue(ctx, tx, &c, "node "+r.Node.Name, old.ID)
		if err != nil {
			return err
		}
		out.Carried = append(out.Carried, fresh)
	}
	return nil
}

// RevokeNode ends a node: its certificates, its tokens, and its right to renew, until it joins anew.
func (s *Service) RevokeNode(ctx context.Context, c Caller, node, reason string) error {
	if err := s.admin(ctx, c, "node.revoke", node); err != nil {
		return err
	}
	id, err := bgp.NewNodeID(string(s.cfg.Org), node)
	if err != nil {
		return invalid("%v", err)
	}
	now := s.cfg.Now()
	e := store.Entry{Actor: c.Name, Action: "node.revoke", Target: id.Name, Detail: reason}
	return s.write(ctx, e, func(ctx context.Context, tx *store.Tx) error {
		n, err := tx.Node(ctx, id.Name)
		if err != nil {
			return err
		}
		if n == nil {
			n = &store.Node{Name: id.Name} // a bundle from catalyst org issue-node
		}
		n.State = store.NodeRevoked
		_, err = tx.Revoke(ctx, store.Revocation{Kind: string(revoke.Node), Value: id.URI(), Reason: reason, At: now,
			Expires: now.Add(revocationLife)})
		return errors.Join(err, s.revokeCertificates(ctx, tx, id, reason), tx.PutNode(ctx, *n))
	})
}

// Nodes returns every node that joined or was revoked.
func (s *Service) Nodes(ctx context.Context, c Caller) ([]store.Node, error) {
	if err := s.admin(ctx, c, "node.list", ""); err != nil {
		return nil, err
	}
	return s.cfg.Store.Nodes(ctx)
}

// NodeOf returns the node that a verified leaf names, if it is one of the organisation's.
func (s *Service) NodeOf(leaf *x509.Certificate) (bgp.NodeID, bool) {
	if len(leaf.URIs) != 1 {
		return bgp.NodeID{}, false
	}
	id, err := bgp.ParseNodeID(leaf.URIs[0].String())
	return id, err == nil && id.Org == s.cfg.Org
}

// CallerOf makes a caller of a leaf that was verified against the organisation's roots.
func (s *Service) CallerOf(leaf *x509.Certificate) (Caller, error) {
	if err := s.set.CheckCertificate(leaf); err != nil {
		return Caller{}, err
	}
	if len(leaf.URIs) != 1 {
		return Caller{}, errors.New("the certificate names nobody")
	}
	uri := leaf.URIs[0].String()
	c := Caller{Name: uri, Subject: uri, Certificate: token.ThumbprintOf(leaf), Bound: true}
	c.Entity = token.Entity{ID: uri, Name: uri, TrustedDomains: []string{string(s.cfg.Org)}}
	if _, ok := ca.ParseOperator(s.cfg.Org, uri); ok {
		c.Principal = token.Admin
	} else if _, ok := s.NodeOf(leaf); ok {
		c.Principal = token.Node
	} else if !strings.HasPrefix(uri, "spiffe://"+string(s.cfg.Org)+"/") {
		return Caller{}, errors.New("the certificate is of another organisation")
	}
	return c, nil
}

func clip(s string) string { return s[:min(len(s), 80)] }
