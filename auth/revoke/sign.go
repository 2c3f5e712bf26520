package revoke

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/catalyst-router/catalyst/auth/token"
)

// Type is the typ of a signed delta.
const Type = "catalyst-revocations+jwt"

// Bounds of a delta.
const (
	MaxEntries = 5000 // of one delta; more come in several
	MaxBytes   = 2 << 20
)

// Sign returns the delta as a compact JWS.
func Sign(d *Delta, signer *token.Signer) (string, error) {
	if len(d.Entries) > MaxEntries {
		return "", fmt.Errorf("a delta has %d entries, and %d are allowed", len(d.Entries), MaxEntries)
	}
	if d.Entries == nil {
		d.Entries = []Entry{}
	}
	b, err := json.Marshal(d)
	if err != nil {
		return "", fmt.Errorf("encode revocations: %w", err)
	}
	return signer.SignDocument(Type, b)
}

// Open verifies a signed delta of an issuer by its keys.
func Open(ctx context.Context, raw string, issuer *token.Issuer) (*Delta, error) {
	b, err := token.OpenDocument(ctx, raw, Type, MaxBytes, issuer.Keys)
	if err != nil {
		return nil, fmt.Errorf("revocations: %w", err)
	}
	d := &Delta{}
	if err := json.Unmarshal(b, d); err != nil {
		return nil, fmt.Errorf("revocations: %w", err)
	}
	if d.Issuer != issuer.Name || len(d.Entries) > MaxEntries {
		return nil, fmt.Errorf("revocations: of another issuer, or too many")
	}
	for i, e := range d.Entries {
		if e.Seq <= d.After || e.Seq > d.Seq || e.Value == "" || len(e.Value) > 2048 {
			return nil, fmt.Errorf("revocations[%d]: is out of bounds", i)
		}
	}
	return d, nil
}

// Due is when the delta after d should have come.
func (d *Delta) Due() time.Time { return time.Unix(d.Issued+d.Interval, 0) }
