package bgp

import (
	"fmt"
	"slices"
)

// OriginState is what is known of an originator's right to announce a name (RFC 6811 §2).
type OriginState uint8

// The states.
const (
	OriginNotFound OriginState = iota // its organisation attests nothing that this node can verify
	OriginValid                       // an attestation covers the route
	OriginInvalid                     // its organisation attests its names, and not this route
)

var originNames = [...]string{"not-found", "valid", "invalid"}

// String returns the state's name.
func (s OriginState) String() string {
	if int(s) < len(originNames) {
		return originNames[s]
	}
	return fmt.Sprintf("origin(%d)", uint8(s))
}

// MarshalText writes the state's name.
func (s OriginState) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads a state's name.
func (s *OriginState) UnmarshalText(text []byte) error {
	i := slices.Index(originNames[:], string(text))
	if i < 0 {
		return fmt.Errorf("origin state %q: want valid, invalid or not-found", clip(string(text)))
	}
	*s = OriginState(i)
	return nil
}
