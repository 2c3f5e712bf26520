package token

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

const (
	acme   = "https://auth.acme.example"
	globex = "https://auth.globex.example"
)

// world is two issuers that trust each other, and a verifier.
type world struct {
	t              testing.TB
	now            time.Time
	acme, globex   *ecdsa.PrivateKey
	signer, other  *Signer
	issuers        IssuerMap
	v              *Verifier
	leaf, stranger Thumbprint
}

func newKey(t testing.TB, c elliptic.Curve) *ecdsa.PrivateKey {
	t.Helper()
	k, err := ecdsa.GenerateKey(c, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func newWorld(t testing.TB) *world {
	t.Helper()
	w := &world{
		t: t, now: time.Unix(1_800_000_000, 0), acme: newKey(t, elliptic.P384()), globex: newKey(t, elliptic.P384()),
		leaf: sha256.Sum256([]byte("leaf")), stranger: sha256.Sum256([]byte("another leaf")),
	}
	var err error
	if w.signer, err = NewSigner(w.acme); err != nil {
		t.Fatal(err)
	}
	if w.other, err = NewSigner(w.globex); err != nil {
		t.Fatal(err)
	}
	w.issuers = IssuerMap{
		acme: {Name: acme, Keys: KeySet{w.signer.Key().ID: w.signer.Key()}, TrustDomain: "acme.example"},
		globex: {Name: globex, Keys: KeySet{w.other.Key().ID: w.other.Key()}, TrustDomain: "globex.example",
			Principals: []Principal{Node, User}},
	}
	w.v = w.verifier(NothingRevoked{})
	return w
}

func (w *world) verifier(r Revocations) *Verifier {
	w.t.Helper()
	v, err := NewVerifier(Config{Audience: "acme.example", Issuers: w.issuers, Revocations: r,
		Now: func() time.Time { return w.now }})
	if err != nil {
		w.t.Fatal(err)
	}
	return v
}

func (w *world) claims() *Claims {
	return &Claims{
		ID: "7d444840-9dc0-11d1-b245-5ffdce74fad2", Issuer: acme, Subject: "spiffe://acme.example/user/ada",
		Audience: []string{"acme.example"},
		IssuedAt: w.now, Expires: w.now.Add(time.Hour), Principal: Admin,
		Entity: Entity{ID: "ada", Name: "Ada", Type: "user", TrustedDomains: []string{"acme.example"}},
	}
}

func (w *world) mint(c *Claims) string {
	w.t.Helper()
	raw, err := w.signer.Sign(c)
	if err != nil {
		w.t.Fatal(err)
	}
	return raw
}

// forge signs whatever header and payload.
func (w *world) forge(header, payload string) string {
	w.t.Helper()
	return forgeWith(w.t, w.acme, header, payload)
}

func forgeWith(t testing.TB, key *ecdsa.PrivateKey, header, payload string) string {
	t.Helper()
	signed := b64(header) + "." + b64(payload)
	method := jwt.SigningMethodES384
	if key.Curve == elliptic.P256() {
		method = jwt.SigningMethodES256
	}
	sig, err := method.Sign(signed, key)
	if err != nil {
		t.Fatal(err)
	}
	return signed + "." + b64(string(sig))
}

func b64(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }

func (w *world) header() string {
	return `{"alg":"ES384","kid":"` + w.signer.Key().ID + `","typ":"JWT"}`
}

func (w *world) payload() string {
	b, err := w.claims().encode()
	if err != nil {
		w.t.Fatal(err)
	}
	return string(b)
}

// with replaces a part of the good payload, which has to be there.
func (w *world) with(old, replacement string) string {
	w.t.Helper()
	p := w.payload()
	if !strings.Contains(p, old) {
		w.t.Fatalf("payload has no %s", old)
	}
	return strings.Replace(p, old, replacement, 1)
}

// more adds a member to the good payload.
func (w *world) more(member string) string {
	return strings.TrimSuffix(w.payload(), "}") + "," + member + "}"
}

func TestVerifyGood(t *testing.T) {
	w := newWorld(t)
	bound := w.claims()
	bound.Bound, bound.Actors, bound.Scopes = w.leaf, []string{"svc", "ada"}, []string{"a", "b"}
	for name, c := range map[string]struct {
		raw  string
		leaf Thumbprint
	}{
		"unbound":              {w.mint(w.claims()), Thumbprint{}},
		"unbound, with a leaf": {w.mint(w.claims()), w.leaf},
		"bound":                {w.mint(bound), w.leaf},
		"aud as a string": {w.forge(w.header(), w.with(`["acme.example"],"iat"`, `"acme.example","iat"`)),
			Thumbprint{}},
		"aud of two": {w.forge(w.header(), w.with(`["acme.example"],"iat"`, `["x","acme.example"],"iat"`)),
			Thumbprint{}},
		"exp with a fraction":     {w.forge(w.header(), w.with(`"exp":1800003600`, `"exp":1800003600.5`)), Thumbprint{}},
		"a claim we do not know":  {w.forge(w.header(), w.more(`"colour":"blue"`)), Thumbprint{}},
		"spaces in the JSON":      {w.forge(w.header(), " "+w.payload()+"\n"), Thumbprint{}},
		"nbf within the leeway":   {w.forge(w.header(), w.more(`"nbf":1800000029`)), Thumbprint{}},
		"typ of RFC 9068":         {w.forge(strings.Replace(w.header(), `"JWT"`, `"at+jwt"`, 1), w.payload()), Thumbprint{}},
		"escapes in a name":       {w.forge(w.header(), w.with(`"sub"`, `"s\u0075b"`)), Thumbprint{}},
		"a surrogate pair in sub": {w.forge(w.header(), w.with(`user/ada"`, `user/\ud83d\ude00"`)), Thumbprint{}},
	} {
		t.Run(name, func(t *testing.T) {
			for range 3 { // from the cache, too
				got, err := w.v.Verify(t.Context(), c.raw, c.leaf)
				if err != nil {
					t.Fatal(err)
				}
				if got.Issuer != acme || got.Principal != Admin || !strings.HasPrefix(got.Subject,
					"spiffe://acme.example/user/") || got.KeyID != w.signer.Key().ID {
					t.Fatalf("got %+v", got)
				}
			}
		})
	}
	got, err := w.v.Verify(t.Context(), w.mint(bound), w.leaf)
	if err != nil || fmt.Sprint(got.Actors, got.Scopes, got.Bound) != fmt.Sprint(bound.Actors, bound.Scopes, bound.Bound) {
		t.Errorf("got %+v, %v", got, err)
	}
}

// TestAttacks has a case for each way to forge or bend a token; each has to be refused for its own reason, twice:
// what was refused must not pass later.
func TestAttacks(t *testing.T) {
	w := newWorld(t)
	for name, c := range attacks(w) {
		t.Run(name, func(t *testing.T) {
			for range 2 {
				got, err := w.v.Verify(t.Context(), c.raw, c.leaf)
				if got != nil || ReasonOf(err) != c.want {
					t.Fatalf("got %v, %v; want %s", got, err, c.want)
				}
			}
		})
	}
	if _, err := w.v.Verify(t.Context(), w.mint(w.claims()), Thumbprint{}); err != nil {
		t.Errorf("a good token after the attacks: %v", err)
	}
}

type attack struct {
	raw  string
	leaf Thumbprint
	want Reason
}

func attacks(w *world) map[string]attack {
	all := map[string]attack{}
	for _, some := range []map[string]attack{headerAttacks(w), encodingAttacks(w), signatureAttacks(w), claimAttacks(w),
		timeAttacks(w), sizeAttacks(w), issuerAttacks(w)} {
		for name, a := range some {
			if _, twice := all[name]; twice {
				w.t.Fatalf("two attacks are called %s", name)
			}
			all[name] = a
		}
	}
	return all
}

func headerAttacks(w *world) map[string]attack {
	kid := w.signer.Key().ID
	h := func(s string) string { return strings.ReplaceAll(s, "KID", kid) }
	m := map[string]attack{}
	add := func(name, header string, want Reason) {
		m[name] = attack{raw: w.forge(h(header), w.payload()), want: want}
	}
	add("unknown kid", `{"alg":"ES384","kid":"nobody","typ":"JWT"}`, UnknownKey)
	add("no kid", `{"alg":"ES384","typ":"JWT"}`, BadHeader)
	add("empty kid", `{"alg":"ES384","kid":"","typ":"JWT"}`, BadHeader)
	add("kid is a number", `{"alg":"ES384","kid":1,"typ":"JWT"}`, BadHeader)
	add("kid is a path", `{"alg":"ES384","kid":"../../../dev/null","typ":"JWT"}`, UnknownKey)
	add("kid is SQL", `{"alg":"ES384","kid":"' OR 1=1 --","typ":"JWT"}`, UnknownKey)
	add("kid of another issuer", `{"alg":"ES384","kid":"`+w.other.Key().ID+`","typ":"JWT"}`, UnknownKey)
	add("no alg", `{"kid":"KID","typ":"JWT"}`, BadHeader)
	add("alg in lower case", `{"alg":"es384","kid":"KID","typ":"JWT"}`, WrongAlgorithm)
	add("alg ES256", `{"alg":"ES256","kid":"KID","typ":"JWT"}`, WrongAlgorithm)
	add("alg ES512", `{"alg":"ES512","kid":"KID","typ":"JWT"}`, WrongAlgorithm)
	add("no typ", `{"alg":"ES384","kid":"KID"}`, WrongType)
	for _, typ := range []string{"dpop+jwt", "catalyst-roa+jwt", "catalyst-join+jwt", "jwt", "JOSE",
		"token-introspection+jwt", "secevent+jwt"} {
		add("typ "+typ, `{"alg":"ES384","kid":"KID","typ":"`+typ+`"}`, WrongType)
	}
	for _, member := range []string{
		`"jku":"https://evil.example/jwks"`, `"x5u":"https://evil.example/cert"`, `"jwk":{"kty":"EC"}`, `"x5c":["AAAA"]`,
		`"crit":["exp"]`, `"crit":[]`,
		`"b64":false`, `"b64":false,"crit":["b64"]`, `"zip":"DEF"`, `"cty":"JWT"`, `"enc":"A256GCM"`, `"p2c":1000000`,
	} {
		add("header "+member, `{"alg":"ES384","kid":"KID","typ":"JWT",`+member+`}`, BadHeader)
	}
	add("header name twice", `{"alg":"none","alg":"ES384","kid":"KID","typ":"JWT"}`, Malformed)
	add("header name twice in different case", `{"alg":"ES384","ALG":"none","kid":"KID","typ":"JWT"}`, Malformed)
	add("header name twice by an escape", `{"alg":"ES384","\u0061lg":"none","kid":"KID","typ":"JWT"}`, Malformed)
	add("header name in another case", `{"alg":"ES384","Kid":"KID","typ":"JWT"}`, BadHeader)
	add("header is an array", `[]`, Malformed)
	add("header is followed", `{"alg":"ES384","kid":"KID","typ":"JWT"}{}`, Malformed)
	return m
}

func encodingAttacks(w *world) map[string]attack {
	good := w.mint(w.claims())
	parts := strings.Split(good, ".")
	m := map[string]attack{}
	add := func(name, raw string, want Reason) { m[name] = attack{raw: raw, want: want} }
	add("empty", "", Malformed)
	add("dots", "..", Malformed)
	add("two parts", parts[0]+"."+parts[1], Malformed)
	add("four parts", good+".AAAA", Malformed)
	add("five parts", parts[0]+"."+good+".AAAA", Malformed)
	add("newline at the end", good+"\n", Malformed)
	add("newline in the signature", good[:len(good)-4]+"\n"+good[len(good)-4:], Malformed)
	add("carriage return in the header", "\r"+good, Malformed)
	add("space before", " "+good, Malformed)
	add("space behind", good+" ", Malformed)
	add("padding", good+"==", Malformed)
	add("padded payload", parts[0]+"."+base64.URLEncoding.EncodeToString([]byte(w.payload()+" "))+"="+"."+parts[2],
		Malformed)
	add("standard base64", strings.NewReplacer("-", "+", "_", "/").Replace(parts[0]+"."+parts[1]+".--__"+parts[2][4:]),
		Malformed)
	add("stray bits in the header", stray(w.t, parts[0])+"."+parts[1]+"."+parts[2], Malformed)
	add("JSON serialisation", `{"payload":"`+parts[1]+`","protected":"`+parts[0]+`","signature":"`+parts[2]+`"}`,
		Malformed)
	add("Bearer in front", "Bearer "+good, Malformed)
	add("NUL", good[:10]+"\x00"+good[11:], Malformed)
	for _, p := range []string{
		"null", "[]", `"x"`, "1", "", "{", w.payload() + "x", w.payload() + w.payload(), w.payload() + "\x00", "\ufeff" +
			w.payload(), "{'sub':1}", "{\"a\":01}",
		"{\"a\":1e999}", "{\"a\":+1}", "{\"a\":.5}", "{\"a\":1.}", "{\"a\":NaN}", "{\"a\":1,}", "{,}", "{\"a\" 1}", "{a:1}",
		"{\"a\":\"\\x\"}", "{\"a\":\"\t\"}", "{\"a\":\"\\ud800\"}",
		"{\"a\":\"\\ud800\\u0041\"}", "{\"a\":\"\xff\"}", "{\"a\":\"\xc0\xaf\"}", "{\"\xff\":1}", "{\"a\":tru}",
		"{\"a\":\"", "{\"a\":\"\\", "{\"a\":\"\\u00", "{\"a\":--1}", "{\"a\":1}//",
	} {
		add(fmt.Sprintf("payload %.20q%d", p, len(p)), w.forge(w.header(), p), Malformed)
	}
	return m
}

// stray sets a bit that base64 does not use; the header's length has to leave some.
func stray(t testing.TB, s string) string {
	t.Helper()
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	if len(s)%4 == 0 {
		t.Fatal("no unused bits")
	}
	return s[:len(s)-1] + string(alphabet[strings.IndexByte(alphabet, s[len(s)-1])+1])
}

func signatureAttacks(w *world) map[string]attack {
	good := w.mint(w.claims())
	parts := strings.Split(good, ".")
	signed := parts[0] + "." + parts[1]
	sig, err := base64.RawURLEncoding.DecodeString(parts[2])
	if err != nil {
		w.t.Fatal(err)
	}
	m := map[string]attack{}
	add := func(name, s string, want Reason) { m[name] = attack{raw: signed + "." + b64(s), want: want} }
	add("no signature", "", BadSignature)
	add("95 bytes", string(sig[:95]), BadSignature)
	add("97 bytes", string(sig)+"\x00", BadSignature)
	add("zeros", strings.Repeat("\x00", 96), BadSignature)
	n := string(elliptic.P384().Params().N.Bytes())
	add("the order twice", n+n, BadSignature)
	add("r and s changed over", string(sig[48:])+string(sig[:48]), BadSignature)
	flipped := append([]byte{}, sig...)
	flipped[95] ^= 1
	add("one bit", string(flipped), BadSignature)
	der, err := asn1.Marshal(struct{ R, S *big.Int }{new(big.Int).SetBytes(sig[:48]), new(big.Int).SetBytes(sig[48:])})
	if err != nil {
		w.t.Fatal(err)
	}
	add("DER", string(der), BadSignature)
	m["another payload under the signature"] = attack{raw: parts[0] + "." + b64(w.with("user/ada", "user/bob")) + "." +
		parts[2], want: BadSignature}

	kid := w.signer.Key().ID
	none := b64(`{"alg":"none","kid":"`+kid+`","typ":"JWT"}`) + "." + parts[1]
	m["alg none without signature"] = attack{raw: none + ".", want: WrongAlgorithm}
	m["alg None with signature"] = attack{raw: b64(`{"alg":"None","kid":"`+kid+`","typ":"JWT"}`) + "." + parts[1] + "." +
		parts[2], want: WrongAlgorithm}
	public, err := x509.MarshalPKIXPublicKey(&w.acme.PublicKey)
	if err != nil {
		w.t.Fatal(err)
	}
	for name, secret := range map[string][]byte{"DER": public,
		"PEM": pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: public})} {
		text := b64(`{"alg":"HS256","kid":"`+kid+`","typ":"JWT"}`) + "." + parts[1]
		mac := hmac.New(crypto.SHA256.New, secret)
		mac.Write([]byte(text))
		m["HS256 with the public key as "+name] = attack{raw: text + "." + b64(string(mac.Sum(nil))), want: WrongAlgorithm}
	}
	m["signed by somebody else"] = attack{raw: forgeWith(w.t, newKey(w.t, elliptic.P384()), w.header(), w.payload()),
		want: BadSignature}
	m["signed with P-256"] = attack{raw: forgeWith(w.t, newKey(w.t, elliptic.P256()), w.header(), w.payload()),
		want: BadSignature}
	return m
}

func claimAttacks(w *world) map[string]attack {
	m := map[string]attack{}
	add := func(name, payload string, want Reason) {
		m[name] = attack{raw: w.forge(w.header(), payload), want: want}
	}
	for _, name := range []string{"iss", "sub", "aud", "iat", "exp", "jti", "principal", "entity"} {
		missing := strings.Replace(w.payload(), `"`+name+`":`, `"no-`+name+`":`, 1)
		want := BadClaim
		if name == "iss" {
			want = UnknownIssuer
		}
		add("no "+name, missing, want)
		add(name+" in capitals", strings.Replace(w.payload(), `"`+name+`":`, `"`+strings.ToUpper(name)+`":`, 1), BadClaim)
		add(name+" besides one in capitals", w.more(`"`+strings.ToUpper(name)+`":"admin"`), Malformed)
		add(name+" twice", w.more(`"`+name+`":"admin"`), Malformed)
		add(name+" is null", strings.Replace(missing, `"no-`+name+`":`, `"`+name+`":null,"was":`, 1), want)
	}
	add("cnf in another case", w.more(`"Cnf":{"x5t#S256":"`+w.leaf.String()+`"}`), BadClaim)
	add("a claim twice by the Kelvin sign", w.more(`"k":1,"\u212a":2`), Malformed)
	add("sub is empty", w.with(`"sub":"spiffe://acme.example/user/ada"`, `"sub":""`), BadClaim)
	add("sub is a number", w.with(`"sub":"spiffe://acme.example/user/ada"`, `"sub":1`), BadClaim)
	add("sub of another trust domain", w.with("spiffe://acme.example/user/ada", "spiffe://globex.example/user/ada"),
		BadClaim)
	add("sub is a trust domain", w.with("spiffe://acme.example/user/ada", "spiffe://acme.example"), BadClaim)
	add("for another audience", w.with(`["acme.example"],"iat"`, `["globex.example"],"iat"`), WrongAudience)
	add("aud is empty", w.with(`["acme.example"],"iat"`, `[],"iat"`), BadClaim)
	add("aud has a number", w.with(`["acme.example"],"iat"`, `["acme.example",1],"iat"`), BadClaim)
	add("aud in capitals", w.with(`["acme.example"],"iat"`, `["ACME.example"],"iat"`), WrongAudience)
	add("principal without namespace", w.with("CATALYST::ADMIN", "ADMIN"), BadClaim)
	add("principal in lower case", w.with("CATALYST::ADMIN", "CATALYST::admin"), BadClaim)
	add("principal that is none", w.with("CATALYST::ADMIN", "CATALYST::ROOT"), BadClaim)
	add("entity of a strange type", w.with(`"type":"user"`, `"type":"root"`), BadClaim)
	add("entity is a text", w.with(`"entity":{`, `"entity":"ada","e":{`), BadClaim)
	add("trusts a foreign domain", w.with(`"trustedDomains":["acme.example"]`, `"trustedDomains":["globex.example"]`),
		BadClaim)
	add("trusts a domain that ends alike", w.with(`"trustedDomains":["acme.example"]`,
		`"trustedDomains":["evilacme.example"]`), BadClaim)
	for name, cnf := range map[string]string{
		"is empty": `{}`, "is null": `null`, "is a text": `"x"`, "has more than we know": `{"x5t#S256":"` +
			w.leaf.String() + `","jkt":"x"}`, "is another kind": `{"jkt":"x"}`,
		"is short": `{"x5t#S256":"AAAA"}`, "is zero": `{"x5t#S256":"` + strings.Repeat("A", 43) +
			`"}`, "is padded": `{"x5t#S256":"` + w.leaf.String() + `="}`, "is a number": `{"x5t#S256":1}`,
	} {
		add("cnf "+name, w.more(`"cnf":`+cnf), BadClaim)
	}
	add("actors without end",
		w.more(`"act":{"sub":"a","act":{"sub":"b","act":{"sub":"c","act":{"sub":"d","act":{"sub":"e"}}}}}`), BadClaim)
	add("actor without a name", w.more(`"act":{"sub":"a","act":{}}`), BadClaim)
	bound := w.claims()
	bound.Bound = w.leaf
	m["bound, without a certificate"] = attack{raw: w.mint(bound), want: WrongBinding}
	m["bound to another certificate"] = attack{raw: w.mint(bound), leaf: w.stranger, want: WrongBinding}
	return m
}

func timeAttacks(w *world) map[string]attack {
	m := map[string]attack{}
	add := func(name, old, replacement string, want Reason) {
		m[name] = attack{raw: w.forge(w.header(), w.with(old, replacement)), want: want}
	}
	exp, iat := `"exp":1800003600`, `"iat":1800000000`
	add("expired now", exp, `"exp":1800000000`, TooLong)
	add("expired a second ago", iat+","+exp, `"iat":1799999000,"exp":1799999999`, Expired)
	add("expires this second", iat+","+exp, `"iat":1799999000,"exp":1800000000`, Expired)
	add("exp as text", exp, `"exp":"1800003600"`, BadClaim)
	add("exp with exponent", exp, `"exp":18e8`, BadClaim)
	add("exp 1e300", exp, `"exp":1e300`, BadClaim)
	add("exp with exponent after a fraction", exp, `"exp":1.8000036e9`, BadClaim)
	add("exp beyond 2^53", exp, `"exp":9007199254740993`, BadClaim)
	add("exp beyond 2^64", exp, `"exp":99999999999999999999`, BadClaim)
	add("exp negative", exp, `"exp":-1`, BadClaim)
	add("exp minus zero", exp, `"exp":-0`, BadClaim)
	add("exp zero", exp, `"exp":0`, TooLong)
	add("exp in a hundred years", exp, `"exp":4953600000`, TooLong)
	add("exp in an array", exp, `"exp":[1800003600]`, BadClaim)
	add("iat ahead", iat, `"iat":1800000031`, NotYet)
	add("iat long ago", iat, `"iat":1`, TooLong)
	add("iat as text", iat, `"iat":"1800000000"`, BadClaim)
	add("nbf ahead", iat, iat+`,"nbf":1800000031`, NotYet)
	add("nbf as text", iat, iat+`,"nbf":"1"`, BadClaim)
	return m
}

func sizeAttacks(w *world) map[string]attack {
	m := map[string]attack{}
	add := func(name, member string, want Reason) {
		m[name] = attack{raw: w.forge(w.header(), w.more(member)),
			want: want}
	}
	many := func(n int, f func(i int) string) string {
		var all []string
		for i := range n {
			all = append(all, f(i))
		}
		return strings.Join(all, ",")
	}
	add("more than 8 KiB", `"x":"`+strings.Repeat("a", 8<<10)+`"`, TooLarge)
	add("65 claims", many(65, func(i int) string { return fmt.Sprintf(`"c%d":1`, i) }), TooLarge)
	add("nine levels", `"x":`+strings.Repeat("[", 8)+strings.Repeat("]", 8), TooLarge)
	add("a thousand levels", `"x":`+strings.Repeat("[", 1000), TooLarge)
	add("many values", `"x":[`+many(20, func(int) string {
		return "[" + many(40, func(int) string { return "1" }) +
			"]"
	})+`]`, TooLarge)
	add("a long array", `"x":[`+many(65, func(int) string { return "1" })+`]`, TooLarge)
	m["jti too long"] = attack{raw: w.forge(w.header(), w.with("7d444840-9dc0-11d1-b245-5ffdce74fad2",
		strings.Repeat("a", 129))), want: BadClaim}
	m["a megabyte of dots"] = attack{raw: strings.Repeat(".", 1<<20), want: TooLarge}
	return m
}

func issuerAttacks(w *world) map[string]attack {
	kid := w.other.Key().ID
	foreign := func(payload string) string {
		return forgeWith(w.t, w.globex, `{"alg":"ES384","kid":"`+kid+`","typ":"JWT"}`, payload)
	}
	of := func(subject, principal, domain string) string {
		return fmt.Sprintf(`{"iss":"%s","sub":"%s","aud":"acme.example","iat":1800000000,"exp":1800000600,"jti":"1","principal":"CATALYST::%s",`+
			`"entity":{"id":"1","name":"n","type":"service","trustedDomains":["%s"]}}`, globex, subject, principal, domain)
	}
	if _, err := w.v.Verify(w.t.Context(), foreign(of("spiffe://globex.example/node/a", "NODE", "globex.example")),
		Thumbprint{}); err != nil {
		w.t.Fatalf("the other issuer's good token: %v", err)
	}
	return map[string]attack{
		"issuer is nobody": {raw: w.forge(w.header(), w.with(acme, "https://evil.example")),
			want: UnknownIssuer},
		"issuer with a slash":                 {raw: w.forge(w.header(), w.with(acme, acme+"/")), want: UnknownIssuer},
		"a key of one, the name of the other": {raw: foreign(w.payload()), want: UnknownKey},
		"the other issuer on a subject here": {raw: foreign(of("spiffe://acme.example/node/a", "NODE", "globex.example")),
			want: BadClaim},
		"the other issuer on a domain here": {raw: foreign(of("spiffe://globex.example/node/a", "NODE", "acme.example")),
			want: BadClaim},
		"the other issuer makes an admin": {raw: foreign(of("spiffe://globex.example/node/a", "ADMIN",
			"globex.example")), want: BadClaim},
	}
}
