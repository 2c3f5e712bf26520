package token

import (
	"crypto/sha256"
	"crypto/subtle"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Bounds of what a token says.
const (
	MaxBytes    = 8 << 10 // of a whole token
	maxText     = 2048    // bytes of one text; a SPIFFE id may have as many
	maxID       = 128     // characters of a jti
	maxEntries  = 64      // audiences, trusted nodes, trusted domains
	maxActors   = 4       // RFC 8693 §4.1: who acts for whom
	MaxFormer   = 8       // former certificates of the holder
	thumbprints = sha256.Size
)

// Thumbprint is the SHA-256 of a certificate's DER (x5t#S256, RFC 8705 §3.1). The zero value means: no certificate.
type Thumbprint [thumbprints]byte

// ThumbprintOf returns the thumbprint of a leaf; zero for nil.
func ThumbprintOf(leaf *x509.Certificate) Thumbprint {
	if leaf == nil {
		return Thumbprint{}
	}
	return sha256.Sum256(leaf.Raw)
}

// ParseThumbprint reads the form of String.
func ParseThumbprint(s string) (t Thumbprint, err error) {
	b, err := base64.RawURLEncoding.Strict().DecodeString(s)
	if err != nil || len(b) != len(t) || strings.ContainsAny(s, "\r\n") {
		return t, fmt.Errorf("thumbprint: want the SHA-256 of a certificate, 43 characters of base64url")
	}
	return Thumbprint(b), nil
}

// IsZero tells that there is no certificate.
func (t Thumbprint) IsZero() bool { return t == Thumbprint{} }

// String returns base64url without padding, or "".
func (t Thumbprint) String() string {
	if t.IsZero() {
		return ""
	}
	return base64.RawURLEncoding.EncodeToString(t[:])
}

// Entity is who a token speaks for, beyond its subject.
type Entity struct {
	ID             string   `json:"id"`
	Name           string   `json:"name"`
	Type           string   `json:"type"` // user or service
	NodeID         string   `json:"nodeId,omitempty"`
	TrustedNodes   []string `json:"trustedNodes,omitempty"`
	TrustedDomains []string `json:"trustedDomains,omitempty"`
}

// Claims is what a token says (RFC 7519 §4.1, and ours). Those that Verify returns are shared and not to be changed.
type Claims struct {
	ID        string // jti
	Issuer    string
	Subject   string
	Audience  []string
	IssuedAt  time.Time
	NotBefore time.Time // zero: from the beginning
	Expires   time.Time
	Principal Principal
	Entity    Entity
	ClientID  string   // RFC 9068
	Scopes    []string // RFC 9068 scope, split
	Bound     Thumbprint
	// Former are certificates of the same holder before Bound: a token that was minted anew at a renewal is good on a
	// connection that was made with one of them, as the token before it was. At most MaxFormer, the latest first.
	Former   []Thumbprint
	Actors   []string          // subjects of the act claim, the latest first (RFC 8693 §4.1)
	KeyID    string            // of the key that it is signed with; not a claim
	External bool              // of an external issuer: claims were mapped, and it does not name a principal itself
	Extra    map[string]string // of an external issuer: its claims that are texts, by name
	// Organisation of the subject, in a token that was exchanged for one of another organisation's (claim organisation);
	// "" for the issuer's own.
	Organisation string
}

// boundTo tells whether the token may be used by who shows a certificate, and which of its bindings says so.
func (c *Claims) boundTo(certificate Thumbprint) (by Thumbprint, ok bool) {
	for _, b := range append([]Thumbprint{c.Bound}, c.Former...) {
		if subtle.ConstantTimeCompare(b[:], certificate[:]) == 1 {
			return b, true
		}
	}
	return Thumbprint{}, false
}

// CheckBound refuses an unbound token, for an action that wants its holder to prove a key.
func (c *Claims) CheckBound() error {
	if c.Bound.IsZero() {
		return refuse(Unbound, "this wants a token that is bound to a certificate")
	}
	return nil
}

// claimNames are those whose meaning is fixed: a name that differs from one of them in case alone is refused, since a
// careless reader would take it for it.
var claimNames = []string{ //nolint:gochecknoglobals // a table
	"iss", "sub", "aud", "exp", "nbf", "iat", "jti", "principal", "entity", "cnf", "cnf_former", "act", "scope",
	"client_id", "organisation",
}

// CheckNames refuses a payload with a claim name in another case.
func CheckNames(payload Value) error {
	for _, name := range payload.Names() {
		for _, known := range claimNames {
			if name != known && strings.EqualFold(name, known) {
				return refuse(BadClaim, "a claim is %s in another case", known)
			}
		}
	}
	return nil
}

// readClaims reads a payload of a Catalyst token.
func readClaims(v Value) (*Claims, error) {
	r := reader{v: v}
	c := &Claims{
		ID: r.text("jti", true), Issuer: r.text("iss", true), Subject: r.text("sub", true), Audience: r.texts("aud", true),
		IssuedAt: r.date("iat", true), NotBefore: r.date("nbf", false), Expires: r.date("exp",
			true), ClientID: r.text("client_id", false),
		Scopes: strings.Fields(r.text("scope", false)), Organisation: r.text("organisation", false),
	}
	p, qualified := strings.CutPrefix(r.text("principal", true), namespace)
	if c.Principal = Principal(p); r.err == nil && (!qualified || !c.Principal.known()) {
		r.fail("principal")
	}
	if len(c.ID) > maxID {
		r.fail("jti")
	}
	c.Entity = r.entity()
	c.Bound = r.binding()
	c.Former = r.former(c.Bound)
	c.Actors = r.actors()
	if r.err != nil {
		return nil, r.err
	}
	return c, nil
}

// reader reads claims and keeps the first error.
type reader struct {
	v   Value
	err error
}

func (r *reader) fail(name string) {
	if r.err == nil {
		r.err = refuse(BadClaim, "the claim %s is missing, of the wrong type or out of bounds", name)
	}
}

func (r *reader) text(name string, required bool) string {
	v, there := r.v.Member(name)
	if !there && !required {
		return ""
	}
	s, ok := v.Text()
	if !ok || s == "" || len(s) > maxText {
		r.fail(name)
	}
	return s
}

func (r *reader) texts(name string, required bool) []string {
	v, there := r.v.Member(name)
	if !there && !required {
		return nil
	}
	all, ok := v.Texts()
	if !ok || len(all) > maxEntries || required && len(all) == 0 ||
		slices.ContainsFunc(all, func(s string) bool { return s == "" || len(s) > maxText }) {
		r.fail(name)
	}
	return all
}

func (r *reader) date(name string, required bool) time.Time {
	v, there := r.v.Member(name)
	if !there && !required {
		return time.Time{}
	}
	n, ok := v.Seconds()
	if !ok {
		r.fail(name)
	}
	return time.Unix(n, 0)
}

func (r *reader) entity() (e Entity) {
	v, there := r.v.Member("entity")
	in := reader{v: v}
	e = Entity{
		ID: in.text("id", true), Name: in.text("name", true), Type: in.text("type", true), NodeID: in.text("nodeId", false),
		TrustedNodes: in.texts("trustedNodes", false), TrustedDomains: in.texts("trustedDomains", false),
	}
	if !there || in.err != nil || e.Type != "user" && e.Type != "service" {
		r.fail("entity")
	}
	return e
}

// binding reads cnf. A member that is not known might be a condition that we would not check, so it is refused (RFC
// 7800 §3.1 would ignore it).
func (r *reader) binding() Thumbprint {
	v, there := r.v.Member("cnf")
	if !there {
		return Thumbprint{}
	}
	x5t, ok := v.Member("x5t#S256")
	s, isText := x5t.Text()
	t, err := ParseThumbprint(s)
	if !ok || !isText || err != nil || t.IsZero() || len(v.Names()) != 1 {
		r.fail("cnf")
	}
	return t
}

// former reads cnf_former: thumbprints as in cnf.
func (r *reader) former(bound Thumbprint) (all []Thumbprint) {
	for _, text := range r.texts("cnf_former", false) {
		t, err := ParseThumbprint(text)
		if err != nil || t.IsZero() || bound.IsZero() || len(all) == MaxFormer {
			r.fail("cnf_former")
			return nil
		}
		all = append(all, t)
	}
	return all
}

func (r *reader) actors() (all []string) {
	at := r.v
	for {
		v, there := at.Member("act")
		if !there {
			return all
		}
		sub, _ := v.Member("sub")
		s, ok := sub.Text()
		if !ok || s == "" || len(s) > maxText || len(all) == maxActors {
			r.fail("act")
			return nil
		}
		all, at = append(all, s), v
	}
}

// payload is the JSON of a token. Its fields are in the order in which they are written.
type payload struct {
	Issuer    string   `json:"iss"`
	Subject   string   `json:"sub"`
	Audience  []string `json:"aud"`
	IssuedAt  int64    `json:"iat"`
	NotBefore int64    `json:"nbf,omitempty"`
	Expires   int64    `json:"exp"`
	ID        string   `json:"jti"`
	Principal string   `json:"principal"`
	Entity    Entity   `json:"entity"`
	ClientID  string   `json:"client_id,omitempty"`
	Scope     string   `json:"scope,omitempty"`
	Cnf       *cnf     `json:"cnf,omitempty"`
	Former    []string `json:"cnf_former,omitempty"`
	Act       *act     `json:"act,omitempty"`
	// Organisation of the subject, where it is not the issuer's.
	Organisation string `json:"organisation,omitempty"`
}

type cnf struct {
	Thumbprint string `json:"x5t#S256"`
}

type act struct {
	Subject string `json:"sub"`
	Act     *act   `json:"act,omitempty"`
}

func (c *Claims) encode() ([]byte, error) {
	p := payload{
		Issuer: c.Issuer, Subject: c.Subject, Audience: c.Audience, IssuedAt: c.IssuedAt.Unix(), Expires: c.Expires.Unix(),
		ID:        c.ID,
		Principal: c.Principal.Qualified(), Entity: c.Entity, ClientID: c.ClientID, Scope: strings.Join(c.Scopes, " "),
		Organisation: c.Organisation,
	}
	if !c.NotBefore.IsZero() {
		p.NotBefore = c.NotBefore.Unix()
	}
	if !c.Bound.IsZero() {
		p.Cnf = &cnf{c.Bound.String()}
	}
	for _, f := range c.Former {
		p.Former = append(p.Former, f.String())
	}
	for _, s := range slices.Backward(c.Actors) {
		p.Act = &act{s, p.Act}
	}
	return json.Marshal(p)
}
