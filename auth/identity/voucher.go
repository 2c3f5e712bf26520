package identity

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/spiffe/go-spiffe/v2/svid/x509svid"

	"github.com/catalyst-router/catalyst/bgp"
)

// VoucherScheme is the scheme of an Authorization header that holds a voucher.
const VoucherScheme = "Catalyst-Voucher"

// Limits of vouchers.
const (
	voucherLife   = 30 * time.Second
	voucherSkew   = 30 * time.Second // by which two nodes' clocks may differ
	maxVoucher    = 16 << 10
	maxVoucherCAs = 4       // certificates in one, the node's own among them
	maxVouchers   = 100_000 // that are remembered, so that none is used twice
	maxVoucherSub = 512
	voucherDomain = "catalyst voucher 1\x00"
)

// Voucher is what one node says to another when it asks in somebody's name: who it is, by its own certificate, and
// who the caller is, by name alone. What the caller proved himself with stays at the node that he gave it to. A
// voucher is for one request: to one service, with one body, within half a minute, once.
type Voucher struct {
	Node   bgp.NodeID
	Caller string
}

type voucherClaims struct {
	Issuer   string `json:"iss"`
	Audience string `json:"aud"`
	Subject  string `json:"sub"`
	Body     string `json:"body"` // SHA-256, in hexadecimal
	IssuedAt int64  `json:"iat"`  // Unix seconds
	Expires  int64  `json:"exp"`
	ID       string `json:"jti"`
}

// Vouch writes a voucher for a request with this body to the service audience, in the name of caller.
func (s *Source) Vouch(caller string, audience bgp.Service, body []byte) (string, error) {
	svid, err := s.GetX509SVID()
	if err != nil {
		return "", err
	}
	now, id := time.Now(), rand.Text()
	payload, err := json.Marshal(voucherClaims{
		Issuer: svid.ID.String(), Audience: string(audience), Subject: caller, Body: bodySum(body),
		IssuedAt: now.Unix(), Expires: now.Add(voucherLife).Unix(), ID: id,
	})
	if err != nil {
		return "", err
	}
	var chain [][]byte
	for _, c := range svid.Certificates {
		chain = append(chain, c.Raw)
	}
	text, err := Sign(voucherDomain, payload, svid.PrivateKey, chain)
	if err != nil {
		return "", fmt.Errorf("sign a voucher: %w", err)
	}
	return text, nil
}

// Vouchers verifies vouchers, and remembers them so that none is used twice. It is safe for concurrent use.
type Vouchers struct {
	src *Source

	mu   sync.Mutex
	seen map[string]time.Time // until when, by issuer and id; guarded by mu
}

// NewVouchers returns a verifier that has seen none.
func NewVouchers(src *Source) *Vouchers { return &Vouchers{src: src, seen: map[string]time.Time{}} }

// Verify returns what a voucher says, or why it is no good: a chain that does not lead to the roots of this node's
// own organisation, another audience or body, another time, a second use.
func (v *Vouchers) Verify(text string, audience bgp.Service, body []byte) (Voucher, error) {
	said, err := ParseSigned(text, maxVoucher, maxVoucherCAs)
	if errors.Is(err, ErrSignedForm) {
		return Voucher{}, errors.New("voucher: want a statement, a signature and certificates")
	}
	if err != nil {
		return Voucher{}, fmt.Errorf("voucher: %w", err)
	}
	node, err := v.signer(said.Chain)
	if err == nil {
		err = said.CheckSignature(voucherDomain)
	}
	if err != nil {
		return Voucher{}, fmt.Errorf("voucher: %w", err)
	}
	var c voucherClaims
	if err := json.Unmarshal(said.Payload, &c); err != nil {
		return Voucher{}, fmt.Errorf("voucher: %w", err)
	}
	if err := c.judge(time.Now(), node, audience, body); err != nil {
		return Voucher{}, fmt.Errorf("voucher of %s: %w", node, err)
	}
	if err := v.first(time.Now(), node.String()+" "+c.ID); err != nil {
		return Voucher{}, fmt.Errorf("voucher of %s: %w", node, err)
	}
	return Voucher{Node: node, Caller: c.Subject}, nil
}

// signer returns whose certificate a chain begins with, once it is known to be a node of this organisation.
func (v *Vouchers) signer(chain []*x509.Certificate) (bgp.NodeID, error) {
	if _, _, err := x509svid.Verify(chain, v.src); err != nil {
		return bgp.NodeID{}, err
	}
	id, err := Judge(chain[0])
	if err != nil {
		return bgp.NodeID{}, err
	}
	node, err := bgp.ParseNodeID(id)
	if err == nil && (node.URI() != id || node.Org != v.src.Material().Node.Org) {
		err = fmt.Errorf("%s is no node of %s", id, v.src.Material().Node.Org)
	}
	return node, err
}

func (c *voucherClaims) judge(now time.Time, node bgp.NodeID, audience bgp.Service, body []byte) error {
	issued, expires := time.Unix(c.IssuedAt, 0), time.Unix(c.Expires, 0)
	switch {
	case c.Issuer != node.URI():
		return fmt.Errorf("it speaks for %s", bgp.Printable(c.Issuer))
	case c.Audience != string(audience):
		return fmt.Errorf("it is for %s", bgp.Printable(c.Audience))
	case c.Body != bodySum(body):
		return errors.New("it is for another request")
	case issued.After(now.Add(voucherSkew)) || !now.Before(expires.Add(voucherSkew)) || expires.Sub(issued) > voucherLife:
		return errors.New("it is not for this time: do the two nodes' clocks agree?")
	case c.ID == "" || len(c.ID) > maxVoucherSub || c.Subject == "" || len(c.Subject) > maxVoucherSub:
		return errors.New("it names no caller")
	}
	return nil
}

// first notes that a voucher is used, and fails if it was before.
func (v *Vouchers) first(now time.Time, id string) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	if _, again := v.seen[id]; again {
		return errors.New("it was used before")
	}
	if len(v.seen) >= maxVouchers {
		for k, until := range v.seen {
			if now.After(until) {
				delete(v.seen, k)
			}
		}
	}
	if len(v.seen) >= maxVouchers {
		return errors.New("too many are in use just now")
	}
	v.seen[id] = now.Add(voucherLife + 2*voucherSkew)
	return nil
}

func bodySum(body []byte) string {
	sum := sha256.Sum256(body)
	return hex.EncodeToString(sum[:])
}
