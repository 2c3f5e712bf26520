package revoke

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"net/url"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/catalyst-router/catalyst/auth/token"
)

const issuer = "https://auth.acme.example"

var now = time.Unix(1_800_000_000, 0)

func delta(after int64, entries ...Entry) *Delta {
	d := &Delta{Issuer: issuer, After: after, Seq: after, Issued: now.Unix(), Interval: 5}
	for _, e := range entries {
		d.Seq++
		e.Seq = d.Seq
		if e.Expires == 0 {
			e.Expires = now.Add(time.Hour).Unix()
		}
		d.Entries = append(d.Entries, e)
	}
	return d
}

func apply(t *testing.T, s *Set, d *Delta, at time.Time) {
	t.Helper()
	if err := s.Apply(d, at); err != nil {
		t.Fatal(err)
	}
}

func claims() *token.Claims {
	return &token.Claims{ID: "1", Issuer: issuer, Subject: "spiffe://acme.example/node/a", IssuedAt: now, KeyID: "k1",
		Bound: token.Thumbprint{1}}
}

func TestEachKind(t *testing.T) {
	leaf := &x509.Certificate{Raw: []byte("leaf"), SerialNumber: big.NewInt(0xabc),
		URIs: []*url.URL{{Scheme: "spiffe", Host: "acme.example", Path: "/node/a"}}}
	for name, c := range map[string]struct {
		entry                 Entry
		token, certificateToo bool
	}{
		"jti":         {Entry{Kind: Token, Value: "1"}, true, false},
		"another jti": {Entry{Kind: Token, Value: "2"}, false, false},
		"subject":     {Entry{Kind: Subject, Value: "spiffe://acme.example/node/a", At: now.Unix()}, true, false},
		"subject, before": {Entry{Kind: Subject, Value: "spiffe://acme.example/node/a", At: now.Unix() - 1}, false,
			false},
		"key":                      {Entry{Kind: Key, Value: "k1"}, true, false},
		"certificate of the token": {Entry{Kind: Certificate, Value: token.Thumbprint{1}.String()}, true, false},
		"certificate":              {Entry{Kind: Certificate, Value: token.ThumbprintOf(leaf).String()}, false, true},
		"serial":                   {Entry{Kind: Serial, Value: "abc"}, false, true},
		"node":                     {Entry{Kind: Node, Value: "spiffe://acme.example/node/a"}, true, true},
	} {
		t.Run(name, func(t *testing.T) {
			s := NewSet(issuer)
			apply(t, s, delta(0), now)
			if err := s.Check(claims(), now); err != nil {
				t.Fatal(err)
			}
			changed := s.Changed()
			apply(t, s, delta(0, c.entry), now)
			select {
			case <-changed:
			default:
				t.Error("nobody was told")
			}
			if got := token.ReasonOf(s.Check(claims(), now)) == token.Revoked; got != c.token {
				t.Errorf("token revoked: %v, want %v", got, c.token)
			}
			if got := s.CheckCertificate(leaf) != nil; got != c.certificateToo {
				t.Errorf("certificate revoked: %v, want %v", got, c.certificateToo)
			}
			c.entry.Lifted = true
			apply(t, s, delta(1, c.entry), now)
			if err := errors.Join(s.Check(claims(), now), s.CheckCertificate(leaf)); err != nil {
				t.Errorf("after it was lifted: %v", err)
			}
		})
	}
}

func TestOrder(t *testing.T) {
	s := NewSet(issuer)
	a, b, c := delta(0, Entry{Kind: Token, Value: "1"}), delta(1, Entry{Kind: Token, Value: "2"}), delta(2,
		Entry{Kind: Token, Value: "2", Lifted: true})
	apply(t, s, a, now)
	if gap, ok := errors.AsType[*Gap](s.Apply(c, now)); !ok || gap.Have != 1 || gap.Got != 2 {
		t.Errorf("got %v, want a gap", gap)
	}
	apply(t, s, b, now)
	apply(t, s, c, now)
	apply(t, s, b, now) // again, out of order: an attacker replays it
	apply(t, s, a, now)
	if s.Seq() != 3 || s.Len() != 1 {
		t.Errorf("got %d entries up to %d", s.Len(), s.Seq())
	}
	apply(t, s, delta(0, a.Entries[0], b.Entries[0], c.Entries[0], Entry{Kind: Key, Value: "k"}),
		now) // all of it, and one more
	if s.Seq() != 4 || s.Len() != 2 {
		t.Errorf("got %d entries up to %d", s.Len(), s.Seq())
	}
}

func TestStale(t *testing.T) {
	s := NewSet(issuer)
	if token.ReasonOf(s.Check(claims(), now)) != token.Stale || token.ReasonOf(s.CheckSensitive(now)) != token.Stale {
		t.Error("nothing heard yet: want stale")
	}
	apply(t, s, delta(0), now)
	for _, c := range []struct {
		after          time.Duration
		all, sensitive bool
	}{{0, true, true}, {10 * time.Second, true, true}, {11 * time.Second, true, false}, {50 * time.Second, true,
		false}, {51 * time.Second, false, false}} {
		at := now.Add(c.after)
		if all, sensitive := s.Check(claims(), at) == nil, s.CheckSensitive(at) == nil; all != c.all ||
			sensitive != c.sensitive {
			t.Errorf("after %s: all %v, sensitive %v; want %v, %v", c.after, all, sensitive, c.all, c.sensitive)
		}
	}
	// A delta that somebody held back for an hour does not make it fresh.
	apply(t, s, delta(0), now.Add(time.Hour))
	if token.ReasonOf(s.Check(claims(), now.Add(time.Hour))) != token.Stale {
		t.Error("a delta held back: want stale")
	}
	b := NewBook()
	if token.ReasonOf(b.Check(claims(), now)) != token.Stale {
		t.Error("an issuer without a feed: want stale")
	}
	b.Without(issuer)
	if err := b.Check(claims(), now); err != nil {
		t.Error(err)
	}
}

func TestForgets(t *testing.T) {
	s := NewSet(issuer)
	apply(t, s, delta(0, Entry{Kind: Token, Value: "1", Expires: now.Unix()}), now)
	apply(t, s, delta(1), now.Add(skew))
	if s.Len() != 1 {
		t.Error("forgotten too early")
	}
	apply(t, s, delta(1), now.Add(skew+time.Minute+time.Second))
	if s.Len() != 0 {
		t.Error("not forgotten")
	}
}

func signer(t testing.TB) *token.Signer {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	s, err := token.NewSigner(k)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestSignedDeltas(t *testing.T) {
	s, other := signer(t), signer(t)
	trusted := &token.Issuer{Name: issuer, Keys: token.KeySet{s.Key().ID: s.Key()}}
	good := delta(3, Entry{Kind: Token, Value: "1"})
	raw, err := Sign(good, s)
	if err != nil {
		t.Fatal(err)
	}
	if d, err := Open(t.Context(), raw, trusted); err != nil || fmt.Sprint(d) != fmt.Sprint(good) {
		t.Fatalf("got %v, %v", d, err)
	}
	forged, err := Sign(good, other)
	if err != nil {
		t.Fatal(err)
	}
	foreign := delta(3)
	foreign.Issuer = "https://evil.example"
	stray := delta(3, Entry{Kind: Token, Value: "1"})
	stray.Entries[0].Seq = 99
	text := func(v any) []byte {
		b, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	document := func(typ string, b []byte) string {
		raw, err := s.SignDocument(typ, b)
		if err != nil {
			t.Fatal(err)
		}
		return raw
	}
	for name, raw := range map[string]string{
		"another key": forged, "one bit": raw[:len(raw)-4] + "AAAA",
		"another kind": document("catalyst-roa+jwt", text(good)), "another issuer": document(Type, text(foreign)),
		"a stray entry": document(Type, text(stray)), "empty": "", "no JSON": document(Type, []byte("x")),
		"too large": document(Type, make([]byte, MaxBytes)),
	} {
		if d, err := Open(t.Context(), raw, trusted); err == nil {
			t.Errorf("%s: got %v", name, d)
		}
	}
	// A delta is no access token, though it is signed by the same key.
	v, err := token.NewVerifier(token.Config{Audience: "a", Issuers: token.IssuerMap{issuer: trusted},
		Revocations: token.NothingRevoked{}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := v.Verify(context.Background(), raw, token.Thumbprint{}); token.ReasonOf(err) != token.WrongType {
		t.Errorf("got %v", err)
	}
	if _, err := s.SignDocument(token.TypeJWT, nil); err == nil {
		t.Error("a document that looks like a token: want an error")
	}
}

// TestDeltasInAnyPortions has the same changes come in portions, some of them twice: the set is the same in the end.
func TestDeltasInAnyPortions(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var all []Entry
		for i := range rapid.IntRange(1, 30).Draw(t, "changes") {
			all = append(all, Entry{
				Seq: int64(i + 1), Kind: rapid.SampledFrom([]Kind{Token, Node}).Draw(t, "kind"),
				Value:   fmt.Sprint(rapid.IntRange(0, 5).Draw(t, "value")),
				Expires: now.Add(time.Hour).Unix(), Lifted: rapid.Bool().Draw(t, "lifted"),
			})
		}
		whole, portions := NewSet(issuer), NewSet(issuer)
		d := func(from, to int) *Delta {
			return &Delta{Issuer: issuer, After: int64(from), Seq: int64(to), Issued: now.Unix(), Interval: 5,
				Entries: all[from:to]}
		}
		if err := whole.Apply(d(0, len(all)), now); err != nil {
			t.Fatal(err)
		}
		for int(portions.Seq()) < len(all) {
			from := rapid.IntRange(0, len(all)-1).Draw(t, "from")
			to := rapid.IntRange(from, len(all)).Draw(t, "to")
			err := portions.Apply(d(from, to), now)
			if _, gap := errors.AsType[*Gap](err); err != nil && !gap {
				t.Fatal(err)
			}
		}
		if fmt.Sprint(whole.entries) != fmt.Sprint(portions.entries) {
			t.Fatalf("got  %v\nwant %v", portions.entries, whole.entries)
		}
	})
}

// BenchmarkCheck looks tokens up among a million revocations.
func BenchmarkCheck(b *testing.B) {
	s := NewSet(issuer)
	all := make([]Entry, 1_000_000)
	for i := range all {
		all[i] = Entry{Seq: int64(i + 1), Kind: Token, Value: fmt.Sprintf("7d444840-9dc0-11d1-b245-%012d", i),
			Expires: now.Add(time.Hour).Unix()}
	}
	if err := s.Apply(&Delta{Issuer: issuer, Seq: int64(len(all)), Issued: now.Unix(), Interval: 5, Entries: all},
		now); err != nil {
		b.Fatal(err)
	}
	c := claims()
	b.Run("good", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if s.Check(c, now) != nil {
				b.Fatal("revoked")
			}
		}
	})
	revoked := claims()
	revoked.ID = all[77].Value
	b.Run("revoked", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if s.Check(revoked, now) == nil {
				b.Fatal("not revoked")
			}
		}
	})
}

// A serial number is the same however a tool writes it, and what is none is refused.
func TestParseSerial(t *testing.T) {
	for _, text := range []string{"2a83e4b", "02A83E4B", "02:a8:3e:4b", "0002a83e4b"} {
		if got, err := ParseSerial(text); err != nil || got != "2a83e4b" {
			t.Errorf("%s: %q, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "0", "-2a", "0x2a", "serial=2a", "2a83e4b\n", strings.Repeat("f", 41)} {
		if got, err := ParseSerial(text); err == nil {
			t.Errorf("%q: %s", text, got)
		}
	}
}
