package join

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/sha512"
	"crypto/x509"
	"errors"
	"fmt"
	"time"
)

// Succession is one change of an organisation's root: the new one, signed with the key of the one before.
type Succession struct {
	Root      []byte // DER
	Signature []byte // ECDSA with SHA-384 over SuccessionText, in DER
}

const maxSteps = 64

// SuccessionText is what is signed.
func SuccessionText(root []byte) []byte {
	return append([]byte("catalyst root succession\x00"), root...)
}

// FollowRoots goes from a root that is trusted, however old it is, to the one that signs now. A root that leaked has
// no successor: whoever knows no other needs a join token.
func FollowRoots(known *x509.Certificate, steps []Succession, now time.Time) (*x509.Certificate, error) {
	if len(steps) > maxSteps {
		return nil, fmt.Errorf("roots: %d changes, and %d are followed", len(steps), maxSteps)
	}
	for i, step := range steps {
		key, ok := known.PublicKey.(*ecdsa.PublicKey)
		sum := sha512.Sum384(SuccessionText(step.Root))
		if !ok || !ecdsa.VerifyASN1(key, sum[:], step.Signature) {
			return nil, fmt.Errorf("roots: change %d is not signed by the root before", i+1)
		}
		next, err := x509.ParseCertificate(step.Root)
		if err != nil {
			return nil, fmt.Errorf("roots: change %d: %w", i+1, err)
		}
		if !next.IsCA || len(next.URIs) != 1 || len(known.URIs) != 1 || next.URIs[0].String() != known.URIs[0].String() ||
			!bytes.Equal(next.RawIssuer, next.RawSubject) {
			return nil, fmt.Errorf("roots: change %d is to the root of another organisation", i+1)
		}
		known = next
	}
	if !now.Before(known.NotAfter) {
		return nil, errors.New("roots: the organisation's root has ended and has no successor")
	}
	return known, nil
}
