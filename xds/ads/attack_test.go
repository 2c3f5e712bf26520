package ads_test

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/catalyst-router/catalyst/auth/identity"
	"github.com/catalyst-router/catalyst/auth/revoke"
	"github.com/catalyst-router/catalyst/auth/token"
	"github.com/catalyst-router/catalyst/bgp"
	"github.com/catalyst-router/catalyst/xds"
)

// forger signs whatever it is given, with the issuer's own key: what the issuer's signer would never say.
type forger struct {
	t   *testing.T
	key *ecdsa.PrivateKey
	kid string
}

func b64(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

func (f *forger) sign(header, payload string) string {
	f.t.Helper()
	signed := b64([]byte(header)) + "." + b64([]byte(payload))
	sum := sha512.Sum384([]byte(signed))
	r, s, err := ecdsa.Sign(rand.Reader, f.key, sum[:])
	if err != nil {
		f.t.Fatal(err)
	}
	both := append(r.FillBytes(make([]byte, 48)), s.FillBytes(make([]byte, 48))...)
	return signed + "." + b64(both)
}

func (f *forger) header(more string) string {
	return `{"alg":"ES384","kid":"` + f.kid + `","typ":"JWT"` + more + `}`
}

// claims are ada's, with members replaced and added; a nil value leaves one out.
func (f *forger) claims(change map[string]any) string {
	now := time.Now().Unix()
	m := map[string]any{
		"iss": tokenIssuer, "sub": "ada", "aud": "acme.example", "iat": now, "exp": now + 600, "jti": "forged",
		"principal": "CATALYST::USER", "scope": "read",
		"entity": map[string]any{"id": "ada", "name": "Ada", "type": "user"},
	}
	for k, v := range change {
		if m[k] = v; v == nil {
			delete(m, k)
		}
	}
	b, err := json.Marshal(m)
	if err != nil {
		f.t.Fatal(err)
	}
	return string(b)
}

// all are tokens of every row of docs/attacks.md that can be shown.
func (f *forger) all(other *forger) map[string]string {
	good, h := f.claims(nil), f.header("")
	valid := f.sign(h, good)
	parts := strings.Split(valid, ".")
	mac := func(secret []byte) string {
		signed := b64([]byte(`{"alg":"HS256","kid":"`+f.kid+`","typ":"JWT"}`)) + "." + parts[1]
		m := hmac.New(sha256.New, secret)
		m.Write([]byte(signed))
		return signed + "." + b64(m.Sum(nil))
	}
	der, err := x509.MarshalPKIXPublicKey(&f.key.PublicKey)
	if err != nil {
		f.t.Fatal(err)
	}
	with := func(change map[string]any) string { return f.sign(h, f.claims(change)) }
	named := func(header string) string { return f.sign(header, good) }
	raw := func(payload string) string { return f.sign(h, payload) }
	twice := func(member string) string { return raw(strings.TrimSuffix(good, "}") + "," + member + "}") }
	now := time.Now().Unix()
	order := elliptic.P384().Params().N
	p256, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		f.t.Fatal(err)
	}
	return map[string]string{
		"alg none":               b64([]byte(`{"alg":"none","typ":"JWT"}`)) + "." + parts[1] + ".",
		"HS256 with the DER key": mac(der),
		"HS256 with the PEM key": mac(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})),
		"alg of another curve":   named(`{"alg":"ES256","kid":"` + f.kid + `","typ":"JWT"}`),
		"a P-256 key":            (&forger{f.t, p256, f.kid}).sign(h, good),
		"no kid":                 named(`{"alg":"ES384","typ":"JWT"}`),
		"unknown kid":            named(`{"alg":"ES384","kid":"x","typ":"JWT"}`),
		"kid is a path":          named(`{"alg":"ES384","kid":"../../x","typ":"JWT"}`),
		"kid is SQL":             named(`{"alg":"ES384","kid":"' OR 1=1 --","typ":"JWT"}`),
		"kid is a number":        named(`{"alg":"ES384","kid":1,"typ":"JWT"}`),
		"another issuer's key":   other.sign(other.header(""), good),
		"jku":                    named(f.header(`,"jku":"https://evil.example/jwks"`)),
		"x5u":                    named(f.header(`,"x5u":"https://evil.example/x"`)),
		"x5c":                    named(f.header(`,"x5c":["AAAA"]`)),
		"jwk":                    named(f.header(`,"jwk":{"kty":"EC"}`)),
		"crit":                   named(f.header(`,"crit":["exp"],"exp":1`)),
		"b64 false":              named(f.header(`,"crit":["b64"],"b64":false`)),
		"another typ":            named(strings.Replace(h, "JWT", "dpop+jwt", 1)),
		"header name twice":      named(f.header(`,"alg":"none"`)),
		"signature in DER":       parts[0] + "." + parts[1] + "." + b64(append([]byte{0x30}, make([]byte, 101)...)),
		"zeros":                  parts[0] + "." + parts[1] + "." + b64(make([]byte, 96)),
		"the order twice":        parts[0] + "." + parts[1] + "." + b64(append(order.Bytes(), order.Bytes()...)),
		"97 bytes":               valid + "AA",
		"padding":                valid + "==",
		"four parts":             valid + ".x",
		"another last letter":    valid[:len(valid)-1] + otherThan(valid[len(valid)-1:]),
		"no exp":                 with(map[string]any{"exp": nil}),
		"no iss":                 with(map[string]any{"iss": nil}),
		"no aud":                 with(map[string]any{"aud": nil}),
		"no jti":                 with(map[string]any{"jti": nil}),
		"exp as text":            with(map[string]any{"exp": fmt.Sprint(now + 600)}),
		"exp far off":            with(map[string]any{"exp": now + 400*86400}),
		"exp 1e300":              with(map[string]any{"exp": json.RawMessage("1e300")}),
		"exp negative":           with(map[string]any{"exp": -1}),
		"expired":                with(map[string]any{"iat": now - 600, "exp": now - 1}),
		"nbf ahead":              with(map[string]any{"nbf": now + 120}),
		"iat ahead":              with(map[string]any{"iat": now + 120}),
		"iat long ago":           with(map[string]any{"iat": 1}),
		"sub twice":              twice(`"sub":"root"`),
		"SUB":                    twice(`"SUB":"root"`),
		"Cnf":                    twice(`"Cnf":{"x5t#S256":"x"}`),
		"cnf of another kind":    with(map[string]any{"cnf": map[string]string{"jkt": "x"}}),
		"more than 8 KiB":        with(map[string]any{"x": strings.Repeat("a", 8<<10)}),
		"65 claims": twice(strings.Join(slices.Collect(func(yield func(string) bool) {
			for i := range 65 {
				if !yield(fmt.Sprintf(`"c%d":1`, i)) {
					return
				}
			}
		}), ",")),
		"nine levels":     twice(`"x":` + strings.Repeat("[", 9) + strings.Repeat("]", 9)),
		"payload null":    raw("null"),
		"payload array":   raw("[]"),
		"trailing bytes":  raw(good + "x"),
		"invalid UTF-8":   raw(strings.Replace(good, "Ada", "\xff", 1)),
		"unknown issuer":  with(map[string]any{"iss": "https://evil.example"}),
		"somebody else's": with(map[string]any{"aud": "bravo.example"}),
	}
}

// Every kind of bent token is refused at a real Envoy, however often it is shown, and the good one passes before and
// after; so does no token in another place than the header.
func TestForgedTokensAtEnvoy(t *testing.T) {
	t.Parallel()
	org := newAuthority(t, "acme.example")
	a, c := newPlane(t, org, "a"), newPlane(t, org, "c")
	c.server.Open()
	key, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	k := newBelieverOf(t, key)
	judgedBy(t, a, k, onlyAda)
	a.apply(to(books, bgp.HTTP, []xds.Target{backend(seen(t))}))
	c.apply(to(books, bgp.HTTP, []xds.Target{a.hop()}))
	c.eventually(books, 403, "not permitted")
	stranger, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	other, err := token.NewSigner(stranger)
	if err != nil {
		t.Fatal(err)
	}
	f := &forger{t, key, k.signer.Key().ID}
	good := f.sign(f.header(""), f.claims(nil))
	passes := func(when string) {
		t.Helper()
		if status, body, _ := c.ask("GET", "/a", with(good)); status != 200 {
			t.Fatalf("the good token, %s: %d %s", when, status, body)
		}
	}
	passes("first")
	for name, raw := range f.all(&forger{t, stranger, other.Key().ID}) {
		for range 2 { // what was refused once is in no cache as good
			if status, body, _ := c.ask("GET", "/a", with(raw)); status != 401 && status != 431 {
				t.Errorf("%s: %d %s", name, status, body)
			}
		}
	}
	if status, body, _ := c.ask("GET", "/a?access_token="+good, nil); status != 403 {
		t.Errorf("a token in the query: %d %s", status, body)
	}
	passes("last")
	if status, body, _ := c.ask("GET", "/a", with(twinOf(t, good))); status != 200 {
		t.Errorf("the twin, which is as good: %d %s", status, body)
	}
	for kind, value := range map[revoke.Kind]string{revoke.Subject: "ada", revoke.Key: f.kid, revoke.Token: "forged"} {
		k.revokeKind(kind, value)
		for _, raw := range []string{good, twinOf(t, good)} { // anybody can make the twin, which is another text
			if status, body, _ := c.ask("GET", "/a", with(raw)); status != 401 {
				t.Errorf("revoked by %s: %d %s", kind, status, body)
			}
		}
		k.lift(kind, value)
		passes("lifted")
	}
}

// twinOf is a token with the other signature (r, n−s) that is as good.
func twinOf(t *testing.T, raw string) string {
	t.Helper()
	at := strings.LastIndex(raw, ".") + 1
	sig, err := base64.RawURLEncoding.DecodeString(raw[at:])
	if err != nil || len(sig) != 96 {
		t.Fatalf("%d bytes, %v", len(sig), err)
	}
	s := new(big.Int).Sub(elliptic.P384().Params().N, new(big.Int).SetBytes(sig[48:]))
	s.FillBytes(sig[48:])
	return raw[:at] + base64.RawURLEncoding.EncodeToString(sig)
}

const (
	toBooks  = "Host: books.acme.example"
	toSecret = "Host: secret.acme.example" // nobody is permitted
)

// asking is a request of HTTP/1.1, to the byte.
func asking(what string, headers ...string) string {
	return what + " HTTP/1.1\r\n" + strings.Join(append(headers, ""), "\r\n") + "\r\n"
}

// rawStatus sends bytes to an address and returns the status of the answer; 0 if the connection was closed without one.
func rawStatus(t *testing.T, conn net.Conn, text string) (int, string) {
	t.Helper()
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(patience))
	if _, err := conn.Write([]byte(text)); err != nil {
		return 0, err.Error()
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return 0, err.Error()
	}
	defer func() { _ = resp.Body.Close() }()
	body := make([]byte, 2000)
	n, _ := resp.Body.Read(body)
	return resp.StatusCode, string(body[:n])
}

// Requests that say two things at once, or pretend, reach no service that they are not permitted to.
func TestRequestsThatLieAtEnvoy(t *testing.T) {
	t.Parallel()
	org := newAuthority(t, "acme.example")
	a, c := newPlane(t, org, "a"), newPlane(t, org, "c")
	c.server.Open()
	judged(t, a, onlyGet)
	const secret = bgp.Service("secret.acme.example") // nobody is permitted
	a.apply(to(books, bgp.HTTP, []xds.Target{backend(seen(t))}), to(secret, bgp.HTTP, []xds.Target{backend(seen(t))}))
	c.apply(to(books, bgp.HTTP, []xds.Target{a.hop()}), to(secret, bgp.HTTP, []xds.Target{a.hop()}))
	c.eventually(books, 200, "path=/")
	c.eventually(secret, 403, "not permitted")
	for name, tt := range map[string]struct{ text, want string }{ // want is the statuses that are good
		"good":                     {asking("GET /", toBooks), "200"},
		"two hosts":                {asking("GET /", toBooks, toSecret), "400 403 404"},
		"two hosts, the other way": {asking("GET /", toSecret, toBooks), "400 403 404"},
		"an absolute target":       {asking("GET http://secret.acme.example/", toBooks), "403"},
		"upper case":               {asking("GET /", "Host: SECRET.acme.example"), "403 404"},
		"a trailing dot":           {asking("GET /", "Host: secret.acme.example."), "403 404"},
		"a port":                   {asking("GET /", "Host: secret.acme.example:8080"), "403 404"},
		"no host":                  {asking("GET /"), "400 403 404"},
		"an odd method":            {asking("G@T /", toBooks), "400 403"},
		"a small method":           {asking("get /", toBooks), "400 403"},
		"a method in both cases":   {asking("gEt /", toBooks), "400 403"},
		"length and chunks": {
			asking("POST /", toBooks, "Content-Length: 5", "Transfer-Encoding: chunked") + "0\r\n\r\nGET /", "400 403",
		},
		"two lengths":               {asking("GET /", toBooks, "Content-Length: 0", "Content-Length: 5"), "400"},
		"a name with an underscore": {asking("GET /admin", toBooks, "x_catalyst_principal: ADMIN"), "400 403 503"},
		"large headers":             {asking("GET /", toBooks, "X: "+strings.Repeat("a", 300<<10)), "0 431"},
		"a NUL in the path":         {asking("GET /%00", toBooks), "400 403"},
		"a backslash":               {asking("GET /x\\..\\admin", toBooks), "400 403"},
		"a parameter at dots":       {asking("GET /x/..;/admin", toBooks), "400 403"},
		"a method in a header":      {asking("POST /", toBooks, "X-HTTP-Method-Override: GET", "Content-Length: 0"), "403"},
		"a method in another header": {asking("POST /", toBooks, "X-HTTP-Method: GET",
			"X-Method-Override: GET", "Content-Length: 0"), "403"},
		"a path in a header": {asking("GET /admin", toBooks, "X-Original-Url: /", "X-Rewrite-Url: /",
			"X-Envoy-Original-Path: /"), "403"},
		"another host in a header":     {asking("GET /", toSecret, "X-Forwarded-Host: books.acme.example"), "403"},
		"an upgrade of the connection": {asking("GET /admin", toBooks, "Connection: upgrade", "Upgrade: h2c"), "400 403"},
		"a WebSocket where forbidden": {asking("GET /admin", toBooks, "Connection: upgrade",
			"Upgrade: websocket", "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==", "Sec-WebSocket-Version: 13"), "403"},
	} {
		conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", c.egress)
		if err != nil {
			t.Fatal(err)
		}
		if status, body := rawStatus(t, conn, tt.text); !slices.Contains(strings.Fields(tt.want), fmt.Sprint(status)) {
			t.Errorf("%s: %d %q, want %s", name, status, body, tt.want)
		}
	}
}

// The name that TLS asks for says nothing: what is asked for is what :authority says.
func TestTheNameInTLSDecidesNothing(t *testing.T) {
	t.Parallel()
	org := newAuthority(t, "acme.example")
	a, c := newPlane(t, org, "a"), newPlane(t, org, "c")
	c.server.Open()
	judged(t, a, onlyGet)
	const secret = bgp.Service("secret.acme.example")
	a.apply(to(books, bgp.HTTP, []xds.Target{backend(seen(t))}), to(secret, bgp.HTTP, []xds.Target{backend(seen(t))}))
	c.apply(to(books, bgp.HTTP, []xds.Target{a.hop()}))
	c.eventually(books, 200, "path=/")
	src, err := identity.Open(filepath.Join(org.dir, "c"))
	if err != nil {
		t.Fatal(err)
	}
	for authority, want := range map[bgp.Service]int{books: 200, secret: 403} {
		cfg := src.IngressTLS(a.id)
		cfg.ServerName, cfg.NextProtos = "books.acme.example", []string{"h2"}
		tr := &http.Transport{TLSClientConfig: cfg, ForceAttemptHTTP2: true}
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://"+a.ingress+"/", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Host = string(authority)
		resp, err := (&http.Client{Transport: tr}).Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		tr.CloseIdleConnections()
		if resp.StatusCode != want {
			t.Errorf("%s under another name: %d, want %d", authority, resp.StatusCode, want)
		}
	}
}

// otherThan is another letter of base64.
func otherThan(letter string) string {
	if letter == "_" {
		return "-"
	}
	return "_"
}
