package token

import (
	"context"
	"encoding/base64"
	"fmt"
	"strings"

	"github.com/golang-jwt/jwt/v5"
)

// SignDocument signs something that is no access token, as a compact JWS of a typ of its own.
func (s *Signer) SignDocument(typ string, payload []byte) (string, error) {
	if typ == TypeJWT || typ == TypeAccess {
		return "", fmt.Errorf("sign a document: it would look like an access token")
	}
	header := `{"alg":"ES384","kid":"` + s.key.ID + `","typ":"` + typ + `"}`
	signed := base64.RawURLEncoding.EncodeToString([]byte(header)) + "." + base64.RawURLEncoding.EncodeToString(payload)
	sig, err := jwt.SigningMethodES384.Sign(signed, s.private)
	if err != nil {
		return "", fmt.Errorf("sign a document: %w", err)
	}
	return signed + "." + base64.RawURLEncoding.EncodeToString(sig), nil
}

// OpenDocument verifies what SignDocument returned, of that typ and by one of those keys, and returns the payload.
func OpenDocument(ctx context.Context, raw, typ string, maxBytes int, keys Keys) ([]byte, error) {
	if len(raw) > maxBytes {
		return nil, refuse(TooLarge, "it is longer than %d bytes", maxBytes)
	}
	parts := strings.Split(raw, ".")
	if len(parts) != 3 {
		return nil, refuse(Malformed, "it has not three parts")
	}
	b, err := decode(parts[0])
	if err != nil {
		return nil, err
	}
	header, err := ParseJSON(string(b))
	if err != nil {
		return nil, err
	}
	t := compact{}
	if err := t.readHeader(header); err != nil {
		return nil, err
	}
	if t.typ != typ {
		return nil, refuse(WrongType, "it is another kind of document")
	}
	key, err := keys.Key(ctx, t.kid)
	if err != nil {
		return nil, fmt.Errorf("keys of the issuer: %w: %w", ErrUnavailable, err)
	}
	if key == nil {
		return nil, refuse(UnknownKey, "it is signed by a key that its issuer does not have")
	}
	if t.alg != ES384 || key.Algorithm != ES384 {
		return nil, refuse(WrongAlgorithm, "its algorithm is not that of the key")
	}
	sig, err := decode(parts[2])
	if err != nil {
		return nil, err
	}
	if jwt.SigningMethodES384.Verify(parts[0]+"."+parts[1], sig, key.Public) != nil {
		return nil, refuse(BadSignature, "its signature is wrong")
	}
	return decode(parts[1])
}
