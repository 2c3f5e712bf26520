package bundle

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/spiffe/go-spiffe/v2/bundle/spiffebundle"
	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/catalyst-router/catalyst/auth/ca"
	"github.com/catalyst-router/catalyst/auth/token"
	"github.com/catalyst-router/catalyst/bgp"
	"github.com/catalyst-router/catalyst/bgp/attest"
)

func rootOfOrg(t *testing.T, org bgp.Org) *ca.Authority {
	t.Helper()
	a, err := ca.NewRoot(org, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func sample(t *testing.T, org bgp.Org) *Bundle {
	t.Helper()
	pair, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	public, err := token.NewKey(&pair.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	text := append(rootOfOrg(t, org).Roots(), rootOfOrg(t, org).Roots()...)
	b, err := FromPEM(org, text, token.KeySet{public.ID: public})
	if err != nil {
		t.Fatal(err)
	}
	b.Sequence, b.RefreshHint = 7, 300*time.Second
	return b
}

// What is written is read again the same, and by the reference implementation.
func TestDocumentIsReadByOthers(t *testing.T) {
	b := sample(t, "bravo.example")
	doc, err := b.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	again, err := Parse("bravo.example", doc)
	if err != nil {
		t.Fatal(err)
	}
	twice, _ := again.Marshal()
	if !bytes.Equal(doc, twice) || again.Digest() != b.Digest() || len(again.Skipped) != 0 {
		t.Errorf("got\n%s\nwant\n%s (left out: %v)", twice, doc, again.Skipped)
	}
	theirs, err := spiffebundle.Parse(spiffeid.RequireTrustDomainFromString("bravo.example"), doc)
	if err != nil {
		t.Fatal(err)
	}
	seq, _ := theirs.SequenceNumber()
	hint, _ := theirs.RefreshHint()
	if len(theirs.X509Authorities()) != 2 || len(theirs.JWTAuthorities()) != 1 || seq != 7 || hint != 300*time.Second {
		t.Errorf("go-spiffe reads %d roots, %d token keys, sequence %d, hint %s", len(theirs.X509Authorities()),
			len(theirs.JWTAuthorities()), seq, hint)
	}
	written, err := theirs.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	if back, err := Parse("bravo.example", written); err != nil || back.Digest() != b.Digest() {
		t.Errorf("what go-spiffe writes: %v", err)
	}
}

// Keys of attestations travel in the document, change its digest, and are passed over by other readers.
func TestAttestationKeysTravel(t *testing.T) {
	b := sample(t, "bravo.example")
	without := b.Digest()
	for _, path := range []bool{false, true} {
		pair, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		id, err := attest.KeyID(&pair.PublicKey)
		if err != nil {
			t.Fatal(err)
		}
		b.AttestKeys = append(b.AttestKeys, attest.Key{ID: id, Public: &pair.PublicKey, Path: path})
	}
	b.sort()
	doc, err := b.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	again, err := Parse("bravo.example", doc)
	if err != nil || len(again.AttestKeys) != 2 || again.Digest() != b.Digest() || b.Digest() == without ||
		len(again.Skipped) != 0 {
		t.Fatalf("%+v, %v", again, err)
	}
	for i, k := range again.AttestKeys {
		if want := b.AttestKeys[i]; k.ID != want.ID || k.Path != want.Path || !k.Public.Equal(want.Public) {
			t.Errorf("key %d: %+v, want %+v", i, k, want)
		}
	}
	theirs, err := spiffebundle.Parse(spiffeid.RequireTrustDomainFromString("bravo.example"), doc)
	if err != nil || len(theirs.X509Authorities()) != 2 || len(theirs.JWTAuthorities()) != 1 {
		t.Errorf("go-spiffe: %v", err)
	}
}

// One key of a kind that is not known, or a broken one, never takes the others along; it is named.
func TestUnknownKeysLeaveTheOthers(t *testing.T) {
	doc, err := sample(t, "bravo.example").Marshal()
	if err != nil {
		t.Fatal(err)
	}
	for name, extra := range map[string]string{
		"a post-quantum key":    `{"kty":"AKP","alg":"ML-DSA-44","use":"jwt-svid","kid":"pq","pub":"AAAA"}`,
		"a use of the future":   `{"kty":"EC","use":"wit-svid","kid":"w"}`,
		"a number":              `7`,
		"a root without x5c":    `{"kty":"EC","crv":"P-384","use":"x509-svid"}`,
		"a root that is none":   `{"kty":"EC","use":"x509-svid","x5c":["AAAA"]}`,
		"a point off the curve": `{"kty":"EC","crv":"P-384","use":"jwt-svid","kid":"k","x":"AAAA","y":"AAAA"}`,
	} {
		more := bytes.Replace(doc, []byte(`"keys":[`), []byte(`"keys":[`+extra+`,`), 1)
		b, err := Parse("bravo.example", more)
		if err != nil || len(b.Roots) != 2 || len(b.TokenKeys) != 1 || len(b.Skipped) != 1 {
			t.Errorf("%s: %v, %+v", name, err, b)
		}
	}
}

func TestBadBundles(t *testing.T) {
	acme := base64.StdEncoding.EncodeToString(sample(t, "acme.example").Roots[0].Raw)
	for name, c := range map[string]struct{ doc, want string }{
		"garbage":                  {`<html>`, "no JSON"},
		"no keys":                  {`{}`, "no array of keys"},
		"null keys":                {`{"keys":null}`, "no array of keys"},
		"nothing that is known":    {`{"keys":[{"kty":"AKP","use":"x509-svid"}]}`, "none of a kind"},
		"another's root":           {`{"keys":[{"kty":"EC","use":"x509-svid","x5c":["` + acme + `"]}]}`, "for acme.example"},
		"a private key":            {`{"keys":[{"kty":"EC","use":"jwt-svid","d":"AAAA"}]}`, "private key"},
		"a sequence below nothing": {`{"keys":[],"spiffe_sequence":-1}`, "spiffe_sequence"},
		"a sequence of a half":     {`{"keys":[],"spiffe_sequence":1.5}`, "spiffe_sequence"},
		"too long":                 {strings.Repeat(" ", MaxBytes+1), "at most"},
		"too many":                 {`{"keys":[` + strings.Repeat("1,", MaxKeys) + `1]}`, "at most"},
	} {
		if b, err := Parse("bravo.example", []byte(c.doc)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, %v, want %q", name, b, err, c.want)
		}
	}
	if _, err := Parse("b.example", []byte(`{"keys":[{"use":"x"}]}`)); !errors.Is(err, ErrNoKnownKey) {
		t.Errorf("got %v", err)
	}
	empty, err := Parse("bravo.example", []byte(`{"keys":[],"spiffe_sequence":18}`))
	if err != nil || len(empty.Roots) != 0 || empty.Sequence != 18 {
		t.Errorf("an organisation that has withdrawn everything: %v, %v", empty, err)
	}
}

// Whatever comes, reading ends in a bundle that can be written and read again, or in an error.
func FuzzParse(f *testing.F) {
	f.Add([]byte(`{"keys":[{"kty":"EC","use":"x509-svid","x5c":["AAAA"]}],"spiffe_sequence":1,"spiffe_refresh_hint":60}`))
	f.Add([]byte(`{"keys":[]}`))
	f.Fuzz(func(t *testing.T, doc []byte) {
		b, err := Parse("bravo.example", doc)
		if err != nil {
			return
		}
		out, err := b.Marshal()
		if err != nil {
			return // keys of a curve that is read and not written
		}
		again, err := Parse("bravo.example", out)
		if err != nil || again.Digest() != b.Digest() || !json.Valid(out) {
			t.Errorf("%s\nbecomes\n%s\n%v", doc, out, err)
		}
	})
}
