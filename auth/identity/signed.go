package identity

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"strings"
)

// Signed is what a node says with its certificate as the proof, in one line: payload, signature and certificates, the
// node's own first, each in base64url without padding and with a dot between. The signature is ECDSA over the SHA-256
// of a domain and the payload. The domain names what is said, such as "catalyst voucher 1\x00": the key signs nothing
// else that begins so, and what was signed as one thing is never taken for another.
type Signed struct {
	Payload []byte
	Chain   []*x509.Certificate // the signer's own first; nobody has judged them yet

	signature []byte
}

// Sign writes a payload that is signed with a certificate's key. Chain are the certificates in DER, the signer's first.
func Sign(domain string, payload []byte, key crypto.Signer, chain [][]byte) (string, error) {
	digest := digestOf(domain, payload)
	signature, err := key.Sign(rand.Reader, digest[:], crypto.SHA256)
	if err != nil {
		return "", err
	}
	text := base64.RawURLEncoding.EncodeToString(payload) + "." + base64.RawURLEncoding.EncodeToString(signature)
	for _, der := range chain {
		text += "." + base64.RawURLEncoding.EncodeToString(der)
	}
	return text, nil
}

// ErrSignedForm tells that a text does not consist of a payload, a signature and certificates.
var ErrSignedForm = errors.New("has another form") //nolint:gochecknoglobals // a sentinel

// ParseSigned reads what Sign wrote: at most so many bytes with so many certificates. Whose certificates they are, and
// that the signature is theirs, is to be seen to.
func ParseSigned(text string, bytes, certificates int) (*Signed, error) {
	if len(text) > bytes {
		return nil, ErrSignedForm
	}
	parts := strings.Split(text, ".")
	if len(parts) < 3 || len(parts) > 2+certificates {
		return nil, ErrSignedForm
	}
	raw := make([][]byte, len(parts))
	for i, p := range parts {
		var err error
		if raw[i], err = base64.RawURLEncoding.Strict().DecodeString(p); err != nil {
			return nil, errors.New("is not base64url")
		}
	}
	s := &Signed{Payload: raw[0], signature: raw[1]}
	for _, der := range raw[2:] {
		c, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, err
		}
		s.Chain = append(s.Chain, c)
	}
	return s, nil
}

// CheckSignature returns nil if the first certificate's key signed the payload as what the domain names.
func (s *Signed) CheckSignature(domain string) error {
	key, ok := s.Chain[0].PublicKey.(*ecdsa.PublicKey)
	digest := digestOf(domain, s.Payload)
	if !ok || !ecdsa.VerifyASN1(key, digest[:], s.signature) {
		return errors.New("its signature is not that of its certificate")
	}
	return nil
}

func digestOf(domain string, payload []byte) [sha256.Size]byte {
	return sha256.Sum256(append([]byte(domain), payload...))
}
