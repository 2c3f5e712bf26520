package token

import (
	"encoding/base64"
	"slices"
	"strings"
)

// The typ of a token that may be used as an access token. Those of other kinds (join requests, attestations, DPoP
// proofs) have names of their own, and none is accepted for another.
const (
	TypeJWT    = "JWT"    // what Catalyst mints: the four SPIFFE libraries read no other
	TypeAccess = "at+jwt" // RFC 9068, accepted as well
)

const (
	signatureBytes = 96 // r and s of P-384
	signatureText  = signatureBytes / 3 * 4
)

// compact is a token in its parts (RFC 7515 §7.1).
type compact struct {
	typ, alg, kid string
	payload       Value
	signed        string // what the signature is of: header and payload as they came
	signature     []byte
}

// split cuts the signature off.
func split(raw string) (signed, signature string, err error) {
	if len(raw) > MaxBytes {
		return "", "", refuse(TooLarge, "it is longer than %d bytes", MaxBytes)
	}
	i := strings.LastIndexByte(raw, '.')
	if i < 0 || strings.Count(raw[:i], ".") != 1 {
		return "", "", refuse(Malformed, "it has not three parts")
	}
	return raw[:i], raw[i+1:], nil
}

// decode reads base64url without padding (RFC 7515 §2): no line breaks, which the standard library skips, and no
// stray bits at the end.
func decode(s string) ([]byte, error) {
	b, err := base64.RawURLEncoding.Strict().DecodeString(s)
	if err != nil || strings.ContainsAny(s, "\r\n") {
		return nil, refuse(Malformed, "a part is not base64url")
	}
	return b, nil
}

// parse reads a token strictly and believes nothing of it yet.
func parse(signed, signature string) (*compact, error) {
	headerText, payloadText, _ := strings.Cut(signed, ".")
	t := &compact{signed: signed}
	b, err := decode(headerText)
	if err != nil {
		return nil, err
	}
	header, err := ParseJSON(string(b))
	if err != nil {
		return nil, err
	}
	if err := t.readHeader(header); err != nil {
		return nil, err
	}
	if b, err = decode(payloadText); err != nil {
		return nil, err
	}
	if t.payload, err = ParseJSON(string(b)); err != nil {
		return nil, err
	}
	if err := CheckNames(t.payload); err != nil {
		return nil, err
	}
	t.signature, err = decode(signature)
	return t, err
}

// readHeader refuses whatever could point to a key (jku, jwk, x5u, x5c) or change how the token is read (crit, b64,
// zip), even where a careful reader would ignore it: nobody who means well sends it. Thumbprints of the signing
// certificate are what some identity providers add, and say nothing to us.
func (t *compact) readHeader(header Value) error {
	for _, name := range header.Names() {
		if !slices.Contains([]string{"alg", "kid", "typ", "x5t", "x5t#S256"}, name) {
			return refuse(BadHeader, "its header has a member besides alg, kid and typ")
		}
	}
	for _, m := range []struct {
		name     string
		to       *string
		required bool
	}{{"alg", &t.alg, true}, {"kid", &t.kid, true}, {"typ", &t.typ, false}} {
		v, there := header.Member(m.name)
		s, ok := v.Text()
		if !there && !m.required {
			continue
		}
		if !ok || s == "" || len(s) > maxText {
			return refuse(BadHeader, "its header has no usable %s", m.name)
		}
		*m.to = s
	}
	return nil
}
