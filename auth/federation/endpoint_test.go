package federation

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/catalyst-router/catalyst/auth/bundle"
)

// served runs an endpoint of a party on loopback and returns its address.
func served(t *testing.T, p *party, book *Book) (address string, made *atomic.Int32) {
	t.Helper()
	made = new(atomic.Int32)
	e := NewEndpoint(book, p, slog.New(slog.DiscardHandler),
		func(context.Context, *Peering) error { made.Add(1); return nil })
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 2)
	go func() { done <- e.Run(ctx) }()
	go func() {
		for {
			raw, err := lis.Accept()
			if err != nil {
				done <- nil
				return
			}
			conn := tls.Server(raw, &tls.Config{
				Certificates: []tls.Certificate{p.cert}, ClientAuth: tls.RequestClientCert, MinVersion: tls.VersionTLS12,
			})
			go func() {
				if conn.HandshakeContext(ctx) != nil {
					_ = conn.Close()
					return
				}
				e.Take(ctx, conn)
			}()
		}
	}()
	t.Cleanup(func() {
		cancel()
		_ = lis.Close()
		for range 2 {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
	})
	return lis.Addr().String(), made
}

// Over real TLS: an invitation is redeemed; whoever poses as the inviting node gets no secret.
func TestRedeemOverTLS(t *testing.T) {
	acme, bravo := newParty(t, "acme.example", "a"), newParty(t, "bravo.example", "x")
	book := newBook(t, acme)
	at, made := served(t, acme, book.Book)
	inv := book.invite(t, acme, "bravo.example", "")
	asker := Asker{Mine: func() (*tls.Certificate, error) { return &bravo.cert, nil }}

	evil := newParty(t, "acme.example", "a") // another CA of that name
	inv.Address, _ = served(t, evil, newBook(t, evil).Book)
	if _, err := asker.Redeem(t.Context(), inv, *redemption(t, bravo, inv)); err == nil ||
		!strings.Contains(err.Error(), "root") {
		t.Errorf("redeemed at an impostor: %v", err)
	}
	inv.Address = at
	mine := *redemption(t, bravo, inv)
	if _, err := (Asker{}).Redeem(t.Context(), inv, mine); err == nil || made.Load() != 0 {
		t.Errorf("redeemed without a certificate: %v", err)
	}
	answer, err := asker.Redeem(t.Context(), inv, mine)
	if err != nil || made.Load() != 1 {
		t.Fatalf("%v, %d made", err, made.Load())
	}
	if b, err := bundle.Parse("acme.example", answer.Bundle); err != nil || b.Digest() != acme.own.Digest() {
		t.Errorf("the answer's bundle: %v", err)
	}
	other := newBook(t, bravo)
	if _, err := other.Accepted(t.Context(), inv, answer, Terms{}); err != nil || other.Held("acme.example") == nil {
		t.Error(err)
	}
	var bad *Misuse
	inv.secret[0]++
	if _, err := asker.Redeem(t.Context(), inv, mine); !errors.As(err, &bad) || bad.Kind != "secret" {
		t.Errorf("got %v", err)
	}
}

// Bundles are read over both profiles; redirects, other servers and garbage are refused.
func TestFetch(t *testing.T) {
	acme := newParty(t, "acme.example", "a")
	at, _ := served(t, acme, newBook(t, acme).Book)
	url := "https://" + at + BundlePath
	spiffe := Source{URL: url, Profile: "https_spiffe", Server: acme.node.URI()}
	if b, err := (Asker{}).Fetch(t.Context(), "acme.example", spiffe, acme.own, nil); err != nil ||
		b.Digest() != acme.own.Digest() {
		t.Errorf("https_spiffe: %v", err)
	}
	other := newParty(t, "acme.example", "a")
	if _, err := (Asker{}).Fetch(t.Context(), "acme.example", spiffe, other.own, nil); err == nil {
		t.Error("a server is believed whose root is not held")
	}
	spiffe.Server = "spiffe://acme.example/node/b"
	if _, err := (Asker{}).Fetch(t.Context(), "acme.example", spiffe, acme.own, nil); err == nil {
		t.Error("another server of the organisation is believed")
	}
	if _, err := (Asker{}).Fetch(t.Context(), "acme.example", spiffe, nil, nil); err == nil ||
		!strings.Contains(err.Error(), "by hand") {
		t.Errorf("without a bundle: %v", err)
	}
	doc, _ := acme.own.Marshal()
	web := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/bundle":
			_, _ = w.Write(doc)
		case "/moved":
			http.Redirect(w, r, "/bundle", http.StatusFound)
		case "/long":
			_, _ = w.Write(make([]byte, maxBody+1))
		default:
			_, _ = w.Write([]byte("<html>"))
		}
	}))
	defer web.Close()
	roots := x509.NewCertPool()
	roots.AddCert(web.Certificate())
	for path, want := range map[string]string{"/bundle": "", "/moved": "redirect", "/long": "longer", "/page": "no JSON"} {
		_, err := (Asker{}).Fetch(t.Context(), "acme.example", Source{URL: web.URL + path, Profile: "https_web"}, nil, roots)
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %v, want %q", path, err, want)
		}
	}
	if _, err := (Asker{}).Fetch(t.Context(), "acme.example", Source{URL: web.URL + "/bundle", Profile: "https_web"},
		nil, nil); err == nil {
		t.Error("a web server is believed that no root of the web vouches for")
	}
}

// A flood of connections that say nothing is bounded.
func TestEndpointIsBounded(t *testing.T) {
	acme := newParty(t, "acme.example", "a")
	at, _ := served(t, acme, newBook(t, acme).Book)
	closed := make(chan struct{}, 2*mostConns)
	for range 2 * mostConns {
		c, err := tls.Dial("tcp", at, &tls.Config{InsecureSkipVerify: true})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() })
		go func() { _, _ = c.Read(make([]byte, 1)); closed <- struct{}{} }()
	}
	for range mostConns { // the others are turned away; those that are in are ended by their deadline
		<-closed
	}
}
