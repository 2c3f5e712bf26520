package federation

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/catalyst-router/catalyst/auth/bundle"
	"github.com/catalyst-router/catalyst/bgp"
)

const (
	secretBytes      = 32
	invitationPrefix = "catalyst-peering-" // so that scanners for leaked secrets can tell it
	maxInvitation    = 256 << 10           // bytes of its text
)

// How long an invitation may be good.
const (
	DefaultInvitationLife = 24 * time.Hour
	MaxInvitationLife     = 30 * 24 * time.Hour
)

// Invitation is what one organisation sends to another that it wants to peer with: who invites, how that can be
// proved, what it proposes, and a secret that is good once. It does not print its secret.
type Invitation struct {
	Node    bgp.NodeID     // who invites
	Address string         // HOST:PORT where that node takes peers
	With    bgp.Org        // who is invited
	Bundle  *bundle.Bundle // of the inviting organisation
	Terms   Terms          // that it has made up its mind to
	Expires time.Time

	secret []byte
}

type invitationJSON struct {
	Node    bgp.NodeID      `json:"n"`
	Address string          `json:"a"`
	With    bgp.Org         `json:"w"`
	Bundle  json.RawMessage `json:"b"`
	Terms   Terms           `json:"t"`
	Expires int64           `json:"e"` // Unix seconds
	Secret  []byte          `json:"s"`
}

// newSecret draws the secret of an invitation.
func newSecret() []byte {
	s := make([]byte, secretBytes)
	_, _ = rand.Read(s) // it never fails (crypto/rand)
	return s
}

// hashOf is what is kept of a secret.
func hashOf(secret []byte) [32]byte { return sha256.Sum256(secret) }

// invitationID names an invitation in lists and logs, by half of the hash of its secret.
func invitationID(hash [32]byte) string { return hex.EncodeToString(hash[:8]) }

// ID names the invitation in lists and logs.
func (i *Invitation) ID() string { return invitationID(hashOf(i.secret)) }

// Text returns what is sent to the other organisation. It is secret.
func (i *Invitation) Text() (string, error) {
	doc, err := i.Bundle.Marshal()
	if err != nil {
		return "", err
	}
	b, err := json.Marshal(invitationJSON{i.Node, i.Address, i.With, doc, i.Terms, i.Expires.Unix(), i.secret})
	if err != nil {
		return "", fmt.Errorf("write an invitation: %w", err)
	}
	return invitationPrefix + base64.RawURLEncoding.EncodeToString(b), nil
}

// String names who invites whom, and nothing secret.
func (i *Invitation) String() string {
	return fmt.Sprintf("invitation %s of %s to %s", i.ID(), i.Node, i.With)
}

// LogValue keeps the secret out of logs.
func (i *Invitation) LogValue() slog.Value { return slog.StringValue(i.String()) }

// ParseInvitation reads what Text returned.
func ParseInvitation(text string) (*Invitation, error) {
	bad := errors.New("this is no invitation to peer: paste what catalyst peering offer printed, whole")
	rest, ok := strings.CutPrefix(strings.TrimSpace(text), invitationPrefix)
	if !ok || len(rest) > maxInvitation {
		return nil, bad
	}
	raw, err := base64.RawURLEncoding.DecodeString(rest)
	if err != nil {
		return nil, bad
	}
	var j invitationJSON
	if json.Unmarshal(raw, &j) != nil || len(j.Secret) != secretBytes || j.Node.IsZero() {
		return nil, bad
	}
	i := &Invitation{
		Node: j.Node, Address: j.Address, With: j.With, Terms: j.Terms.Clean(), Expires: time.Unix(j.Expires, 0).UTC(),
		secret: j.Secret,
	}
	if _, err := bgp.ParseEndpoint(j.Address); err != nil {
		return nil, fmt.Errorf("invitation: address: %w", err)
	}
	if _, err := bgp.ParseOrg(string(j.With)); err != nil {
		return nil, fmt.Errorf("invitation: %w", err)
	}
	if i.Bundle, err = bundle.Parse(i.Node.Org, j.Bundle); err != nil {
		return nil, fmt.Errorf("invitation: %w", err)
	}
	if len(i.Bundle.Roots) == 0 {
		return nil, fmt.Errorf("invitation: the bundle of %s has no root", i.Node.Org)
	}
	if err := i.Terms.Check(); err != nil {
		return nil, fmt.Errorf("invitation: %w", err)
	}
	return i, nil
}
