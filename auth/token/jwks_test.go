package token

import (
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"math/big"
	"strings"
	"testing"
)

func TestJWKSIsReadBack(t *testing.T) {
	a, err := NewSigner(newKey(t, elliptic.P384()))
	if err != nil {
		t.Fatal(err)
	}
	b, err := NewSigner(newKey(t, elliptic.P384()))
	if err != nil {
		t.Fatal(err)
	}
	raw, err := WriteJWKS([]*Key{a.Key(), b.Key()})
	if err != nil {
		t.Fatal(err)
	}
	set, err := ParseJWKS(raw, ES384)
	if err != nil {
		t.Fatal(err)
	}
	if len(set) != 2 || !a.private.PublicKey.Equal(set[a.Key().ID].Public) {
		t.Errorf("got %v", set)
	}
	if strings.Contains(string(raw), `"d"`) {
		t.Errorf("a private member in %s", raw)
	}
	if raw, err = WriteJWKS(nil); err != nil || string(raw) != `{"keys":[]}` {
		t.Errorf("got %s, %v", raw, err)
	}
}

// TestThumbprintOfRFC7638 has the rule of RFC 7638 §3 by hand.
func TestThumbprintOfRFC7638(t *testing.T) {
	s, err := NewSigner(newKey(t, elliptic.P384()))
	if err != nil {
		t.Fatal(err)
	}
	raw, err := WriteJWKS([]*Key{s.Key()})
	if err != nil {
		t.Fatal(err)
	}
	var set struct{ Keys []map[string]string }
	if err := json.Unmarshal(raw, &set); err != nil {
		t.Fatal(err)
	}
	k := set.Keys[0]
	if keyID(k["x"], k["y"]) != k["kid"] || k["alg"] != "ES384" || k["use"] != "sig" || len(k) != 7 {
		t.Errorf("got %v", k)
	}
	// Computed with openssl dgst from the same JSON.
	if got := keyID("x", "y"); got != "e3g_sCaIIGnt52vlsPU7nGD6DjGhS6_xRnTk647Z0gI" {
		t.Errorf("got %s", got)
	}
}

func TestJWKSOfOthers(t *testing.T) {
	p256, p384 := newKey(t, elliptic.P256()), newKey(t, elliptic.P384())
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	enc := base64.RawURLEncoding.EncodeToString
	bytes := func(k interface{ Bytes() ([]byte, error) }) []byte {
		b, err := k.Bytes()
		if err != nil {
			t.Fatal(err)
		}
		return b[1:]
	}
	k256 := `"kty":"EC","crv":"P-256","x":"` + enc(bytes(&p256.PublicKey)[:32]) + `","y":"` +
		enc(bytes(&p256.PublicKey)[32:]) + `"`
	k384 := `"kty":"EC","crv":"P-384","x":"` + enc(bytes(&p384.PublicKey)[:48]) + `","y":"` +
		enc(bytes(&p384.PublicKey)[48:]) + `"`
	off := `"kty":"EC","crv":"P-384","x":"` + enc(bytes(&p384.PublicKey)[48:]) + `","y":"` +
		enc(bytes(&p384.PublicKey)[:48]) + `"`
	kRSA := `"kty":"RSA","n":"` + enc(rsaKey.N.Bytes()) + `","e":"` + enc(big.NewInt(int64(rsaKey.E)).Bytes()) + `"`
	small := `"kty":"RSA","n":"` + enc(rsaKey.N.Bytes()[:128]) + `","e":"AQAB"`
	for name, c := range map[string]struct {
		keys string
		want int // keys; -1 for an error
	}{
		"all that we know": {`{` + k256 + `,"kid":"1"},{` + k384 + `,"kid":"2"},{` + kRSA + `,"kid":"3"}`, 3},
		"unknown kinds stand beside": {`{` + k384 +
			`,"kid":"1"},{"kty":"AKP","kid":"2","alg":"ML-DSA-65","pub":"AA"},{"kty":"EC","crv":"secp256k1","kid":"3"},5,{"kty":1}`, 1},
		"use of another kind": {`{` + k384 + `,"kid":"1"},{` + k256 + `,"kid":"2","use":"enc"},{` + k256 +
			`,"kid":"3","use":"catalyst-route"}`, 1},
		"use of SPIFFE": {`{` + k384 + `,"kid":"1","use":"jwt-svid"}`, 1},
		"key_ops": {`{` + k384 + `,"kid":"1","key_ops":["verify"]},{` + k256 +
			`,"kid":"2","key_ops":["encrypt"]}`, 1},
		"alg of another curve": {`{` + k384 + `,"kid":"1"},{` + k256 + `,"kid":"2","alg":"ES384"}`, 1},
		"no kid":               {`{` + k384 + `}`, -1},
		"kid twice":            {`{` + k384 + `,"kid":"1"},{` + k256 + `,"kid":"1"}`, -1},
		"private":              {`{` + k384 + `,"kid":"1","d":"AAAA"}`, -1},
		"off the curve":        {`{` + off + `,"kid":"1"}`, -1},
		"a short coordinate":   {`{"kty":"EC","crv":"P-384","x":"AA","y":"AA","kid":"1"}`, -1},
		"a small RSA key":      {`{` + small + `,"kid":"1"}`, -1},
		"none":                 {``, -1},
	} {
		t.Run(name, func(t *testing.T) {
			set, err := ParseJWKS([]byte(`{"keys":[`+c.keys+`]}`), ES384, ES256, RS256)
			if (err != nil) != (c.want < 0) || err == nil && len(set) != c.want {
				t.Errorf("got %d keys, %v; want %d", len(set), err, c.want)
			}
		})
	}
	if set, err := ParseJWKS([]byte(`{"keys":[{`+k384+`,"kid":"1"},{`+k256+`,"kid":"2"}]}`), ES384); err != nil ||
		len(set) != 1 {
		t.Errorf("for ES384 only: got %v, %v", set, err)
	}
}
