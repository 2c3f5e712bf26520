package federation

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/spiffe/go-spiffe/v2/bundle/spiffebundle"
	spiffed "github.com/spiffe/go-spiffe/v2/federation"
	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"github.com/spiffe/go-spiffe/v2/spiffetls/tlsconfig"
	"github.com/spiffe/go-spiffe/v2/svid/x509svid"
)

// webServer serves h as a server of the web whose certificate is for a name and for 127.0.0.1, and returns where, and
// the roots by which it proves itself.
func webServer(t *testing.T, name string, h http.Handler) (at string, roots *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		DNSNames: []string{name}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewUnstartedServer(h)
	srv.TLS = &tls.Config{
		Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}, MinVersion: tls.VersionTLS12,
	}
	srv.StartTLS()
	t.Cleanup(srv.Close)
	roots = x509.NewCertPool()
	roots.AddCert(cert)
	return srv.Listener.Addr().String(), roots
}

// onTheWeb serves a party's bundle to the web, with a discovery document that names it.
func onTheWeb(t *testing.T, p *party) (at string, roots *x509.CertPool) {
	t.Helper()
	e := NewEndpoint(newBook(t, p).Book, p, slog.New(slog.DiscardHandler), nil)
	var h http.Handler
	at, roots = webServer(t, string(p.node.Org), http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h.ServeHTTP(w, r)
	}))
	var err error
	if h, err = e.Web(p.node.Org, "https://"+at+BundlePath); err != nil {
		t.Fatal(err)
	}
	return at, roots
}

// go-spiffe reads the bundle that is served here as a server of the web, and does not believe it by other roots.
func TestGoSpiffeReadsWhatIsServedToTheWeb(t *testing.T) {
	acme := newParty(t, "acme.example", "a")
	at, roots := onTheWeb(t, acme)
	domain := spiffeid.RequireTrustDomainFromString("acme.example")
	b, err := spiffed.FetchBundle(t.Context(), domain, "https://"+at+BundlePath, spiffed.WithWebPKIRoots(roots))
	if err != nil {
		t.Fatal(err)
	}
	if n, ok := b.SequenceNumber(); !ok || n != 10 || len(b.X509Authorities()) != 1 ||
		!b.X509Authorities()[0].Equal(acme.own.Roots[0]) {
		t.Errorf("sequence %d, %d roots", n, len(b.X509Authorities()))
	}
	none := spiffed.WithWebPKIRoots(x509.NewCertPool())
	_, err = spiffed.FetchBundle(t.Context(), domain, "https://"+at+BundlePath, none)
	if err == nil {
		t.Error("go-spiffe believes a server whose root it does not hold")
	}
}

// A bundle that go-spiffe serves over https_spiffe, as a SPIRE server does, is read by the bundle that is held and by
// the SPIFFE ID that is expected, and by no other.
func TestReadingGoSpiffesServer(t *testing.T) {
	bravo := newParty(t, "bravo.example", "x")
	domain := spiffeid.RequireTrustDomainFromString("bravo.example")
	theirs := spiffebundle.FromX509Authorities(domain, bravo.own.Roots)
	theirs.SetSequenceNumber(12)
	handler, err := spiffed.NewHandler(domain, theirs)
	if err != nil {
		t.Fatal(err)
	}
	svid := &x509svid.SVID{
		ID: spiffeid.RequireFromString(bravo.node.URI()), Certificates: bravo.chain,
		PrivateKey: bravo.cert.PrivateKey.(*ecdsa.PrivateKey), //nolint:forcetypeassert // a test
	}
	srv := httptest.NewUnstartedServer(handler)
	srv.Listener = tls.NewListener(srv.Listener, tlsconfig.TLSServerConfig(svid))
	srv.Start()
	defer srv.Close()
	source := Source{URL: "https://" + srv.Listener.Addr().String(), Profile: "https_spiffe", Server: bravo.node.URI()}
	b, err := Asker{}.Fetch(t.Context(), "bravo.example", source, bravo.own, nil)
	if err != nil || b.Sequence != 12 || len(b.Roots) != 1 {
		t.Fatalf("%+v, %v", b, err)
	}
	source.Server = "spiffe://bravo.example/node/y"
	if _, err := (Asker{}).Fetch(t.Context(), "bravo.example", source, bravo.own, nil); err == nil {
		t.Error("another of that organisation is believed to be its bundle's server")
	}
	source.Server = bravo.node.URI()
	other := newParty(t, "bravo.example", "x")
	if _, err := (Asker{}).Fetch(t.Context(), "bravo.example", source, other.own, nil); err == nil {
		t.Error("a server is believed by roots that did not sign it")
	}
}

// An organisation's web server says how its bundle is read: that, and what is served there, is proposed.
func TestDiscovering(t *testing.T) {
	acme := newParty(t, "acme.example", "a")
	at, roots := onTheWeb(t, acme)
	p, err := Asker{}.Discover(t.Context(), "acme.example", at, roots)
	if err != nil || p.Unread != nil {
		t.Fatal(err, p)
	}
	if want := (Source{URL: "https://" + at + BundlePath, Profile: "https_web"}); p.Source != want ||
		p.Bundle.Digest() != acme.own.Digest() {
		t.Errorf("proposed: %+v", p)
	}
	if _, err := (Asker{}).Discover(t.Context(), "bravo.example", at, roots); err == nil {
		t.Error("a server is believed to be bravo.example's, whose name its certificate does not have")
	}
	if _, err := (Asker{}).Discover(t.Context(), "acme.example", at, x509.NewCertPool()); err == nil {
		t.Error("a server is believed by roots that did not sign it")
	}
}

// What a web server answers instead is no proposal: another's document, none, a redirect. A bundle endpoint that is
// down, or whose server only SPIFFE could prove, is one without a bundle.
func TestWhatIsNoProposal(t *testing.T) {
	doc := func(domain, uri, profile any) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			_ = json.NewEncoder(w).Encode(map[string]any{
				domainProperty: domain, uriProperty: uri, profileProperty: profile, "signing_algorithms": []string{"ES384"},
			})
		}
	}
	body := func(s string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(s)) }
	}
	for what, c := range map[string]struct {
		h                http.HandlerFunc
		want, wantUnread string
	}{
		"another organisation's":   {doc("bravo.example", "https://x.example/b", "https_web"), `is "bravo.example"`, ""},
		"in plain HTTP":            {doc("acme.example", "http://x.example/b", "https_web"), "want https://", ""},
		"with a user":              {doc("acme.example", "https://u:p@x.example/b", "https_web"), "without user", ""},
		"of an unknown profile":    {doc("acme.example", "https://x.example/b", "https_magic"), "profile", ""},
		"with an empty address":    {doc("acme.example", "", "https_web"), "bundleEndpoint", ""},
		"of another type":          {doc("acme.example", "https://x.example/b", 3), "is no string", ""},
		"with null":                {doc(nil, "https://x.example/b", "https_web"), "is no string", ""},
		"no JSON":                  {body("<html>"), "no JSON object", ""},
		"null":                     {body("null"), "no JSON object", ""},
		"one property alone":       {body(`{"spiffe_trust_domain_name": "acme.example"}`), "is missing", ""},
		"in other letters":         {body(`{"SPIFFE_TRUST_DOMAIN_NAME": "acme.example"}`), "is missing", ""},
		"longer than a bundle may": {body(strings.Repeat(" ", maxBody+2)), "longer than", ""},
		"a redirect":               {http.RedirectHandler("https://x.example/", http.StatusFound).ServeHTTP, "redirect", ""},
		"not there":                {http.NotFound, "404", ""},
		"an endpoint that is down": {doc("acme.example", "https://127.0.0.1:1/bundle", "https_web"), "", "refused"},
		"over https_spiffe":        {doc("acme.example", "https://x.example/b", "https_spiffe"), "", "SPIFFE ID"},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			at, roots := webServer(t, "acme.example", c.h)
			p, err := Asker{}.Discover(t.Context(), "acme.example", at, roots)
			switch {
			case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
				t.Errorf("%+v, %v: want %q", p, err, c.want)
			case c.wantUnread != "" && (err != nil || p.Bundle != nil || !strings.Contains(p.Unread.Error(), c.wantUnread)):
				t.Errorf("%+v, %v: want no bundle since %q", p, err, c.wantUnread)
			}
		})
	}
}

// The document is given to whoever asks for this organisation's, as its address is computed, and to nobody else.
func TestWhoseDocumentIsServed(t *testing.T) {
	acme := newParty(t, "acme.example", "a")
	e := NewEndpoint(newBook(t, acme).Book, acme, slog.New(slog.DiscardHandler), nil)
	h, err := e.Web("acme.example", "https://acme.example/bundle")
	if err != nil {
		t.Fatal(err)
	}
	ask := func(h http.Handler, host, path, tag string) *httptest.ResponseRecorder {
		r := httptest.NewRequest(http.MethodGet, path, http.NoBody)
		r.Host = host
		r.Header.Set("If-None-Match", tag)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		return w
	}
	for _, c := range []struct {
		host, path string
		want       int
	}{
		{"acme.example", DiscoveryPath, http.StatusOK}, {"acme.example:443", DiscoveryPath, http.StatusOK},
		{"bravo.example", DiscoveryPath, http.StatusNotFound}, {"acme.example:8443", DiscoveryPath, http.StatusNotFound},
		{"acme.example", DiscoveryPath + "?x=1", http.StatusNotFound}, {"other.example", BundlePath, http.StatusOK},
		{"acme.example", RedeemPath, http.StatusNotFound}, {"acme.example", ExchangePath, http.StatusNotFound},
	} {
		if w := ask(h, c.host, c.path, ""); w.Code != c.want {
			t.Errorf("%s%s: %d, want %d", c.host, c.path, w.Code, c.want)
		}
	}
	w := ask(h, "acme.example", DiscoveryPath, "")
	src, err := readDiscovery("acme.example", w.Body.Bytes())
	if err != nil || src != (Source{URL: "https://acme.example/bundle", Profile: "https_web"}) {
		t.Errorf("%+v, %v", src, err)
	}
	if again := ask(h, "acme.example", DiscoveryPath, w.Header().Get("ETag")); again.Code != http.StatusNotModified {
		t.Errorf("the same again: %d", again.Code)
	}
	without, err := e.Web("acme.example", "")
	if err != nil || ask(without, "acme.example", DiscoveryPath, "").Code != http.StatusNotFound {
		t.Error("a document is served without an address to name")
	}
	if _, err := e.Web("acme.example", "http://acme.example/bundle"); err == nil {
		t.Error("an address without TLS is named")
	}
}
