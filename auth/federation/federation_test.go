package federation

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/catalyst-router/catalyst/auth/bundle"
	"github.com/catalyst-router/catalyst/auth/ca"
	"github.com/catalyst-router/catalyst/auth/disk"
	"github.com/catalyst-router/catalyst/bgp"
)

// memory is a Store that forgets.
type memory struct {
	mu   sync.Mutex
	rows map[string]json.RawMessage
	err  error
}

func (m *memory) SaveTrust(_ context.Context, put map[string]json.RawMessage, drop []string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.err != nil {
		return m.err
	}
	if m.rows == nil {
		m.rows = map[string]json.RawMessage{}
	}
	maps.Copy(m.rows, put)
	for _, k := range drop {
		delete(m.rows, k)
	}
	return nil
}

func (m *memory) Trust(context.Context) (map[string]json.RawMessage, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return maps.Clone(m.rows), nil
}

// party is an organisation with one node.
type party struct {
	node  bgp.NodeID
	root  *ca.Authority
	own   *bundle.Bundle
	cert  tls.Certificate
	chain []*x509.Certificate
}

func newParty(t *testing.T, org bgp.Org, name string) *party {
	t.Helper()
	p := &party{node: bgp.NodeID{Org: org, Name: name}}
	var err error
	if p.root, err = ca.NewRoot(org, 24*time.Hour); err != nil {
		t.Fatal(err)
	}
	if p.own, err = bundle.FromPEM(org, p.root.Roots(), nil); err != nil {
		t.Fatal(err)
	}
	p.own.Sequence = 10
	p.cert = certificate(t, p.root, name)
	for _, der := range p.cert.Certificate {
		c, err := x509.ParseCertificate(der)
		if err != nil {
			t.Fatal(err)
		}
		p.chain = append(p.chain, c)
	}
	return p
}

func certificate(t *testing.T, root *ca.Authority, name string) tls.Certificate {
	t.Helper()
	dir := t.TempDir()
	if _, _, err := disk.IssueNode(root, dir, name, time.Hour); err != nil {
		t.Fatal(err)
	}
	cert, err := disk.Own(dir).Pair()
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

// Bundle implements Own.
func (p *party) Bundle() (*bundle.Bundle, error) { return p.own, nil }

type bookOf struct {
	*Book
	store *memory
	now   time.Time
	mu    sync.Mutex
	told  []Event
}

func newBook(t *testing.T, p *party) *bookOf {
	t.Helper()
	b := &bookOf{store: &memory{}, now: time.Now()}
	cfg := Config{
		Node: p.node, Store: b.store, Now: func() time.Time { return b.now }, Log: slog.New(slog.DiscardHandler),
		Audit: func(e Event) { b.mu.Lock(); b.told = append(b.told, e); b.mu.Unlock() },
	}
	var err error
	if b.Book, err = Open(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	return b
}

func (b *bookOf) invite(t *testing.T, p *party, with bgp.Org, role string) *Invitation {
	t.Helper()
	inv, err := b.Offer(t.Context(), Invite{
		With: with, Address: "192.0.2.1:7443", Bundle: p.own, Terms: Terms{Offer: []string{"books.acme.example"}, Role: role},
	})
	if err != nil {
		t.Fatal(err)
	}
	return inv
}

func redemption(t *testing.T, p *party, inv *Invitation) *Redemption {
	t.Helper()
	doc, err := p.own.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	return &Redemption{Secret: inv.secret, Node: p.node, Bundle: doc, Terms: Terms{Role: Opposite(inv.Terms.Role)}}
}

// Everybody who misuses an invitation is refused by name, and it is written down; the one it was for is not hindered
// by any of it, and its secret is good once.
func TestMisusedInvitations(t *testing.T) {
	acme, bravo, evil := newParty(t, "acme.example", "a"), newParty(t, "bravo.example", "x"),
		newParty(t, "evil.example", "e")
	book := newBook(t, acme)
	inv := book.invite(t, acme, "bravo.example", "customer")
	impostor := newParty(t, "bravo.example", "x") // a CA of the same name
	for _, c := range []struct {
		name, want string
		by         *party
		chain      []*x509.Certificate
		change     func(*Redemption)
	}{
		{"another secret", "secret", bravo, bravo.chain, func(r *Redemption) { r.Secret = make([]byte, secretBytes) }},
		{"a short secret", "malformed", bravo, bravo.chain, func(r *Redemption) { r.Secret = r.Secret[:8] }},
		{"another organisation", "organisation", evil, evil.chain, nil},
		{"its own organisation", "organisation", acme, acme.chain, nil},
		{"no certificate", "certificate", bravo, nil, nil},
		{"a certificate of another", "certificate", bravo, evil.chain, nil},
		{"a certificate of another CA", "certificate", bravo, impostor.chain, nil},
		{"another's bundle", "bundle", bravo, bravo.chain, func(r *Redemption) { r.Bundle, _ = evil.own.Marshal() }},
		{"no bundle", "bundle", bravo, bravo.chain, func(r *Redemption) { r.Bundle = nil }},
		{"a role of its own choice", "role", bravo, bravo.chain, func(r *Redemption) { r.Terms.Role = "peer" }},
		{"no address", "malformed", bravo, bravo.chain, func(r *Redemption) { r.Addresses = []string{"nowhere"} }},
	} {
		r := redemption(t, c.by, inv)
		if c.change != nil {
			c.change(r)
		}
		_, _, err := book.Redeem(t.Context(), r, c.chain, acme.own, "192.0.2.9:1")
		var bad *Misuse
		if !errors.As(err, &bad) || bad.Kind != c.want {
			t.Errorf("%s: %v, want %s", c.name, err, c.want)
		}
		if last := book.told[len(book.told)-1]; last.Action != "refuse" || last.Kind != c.want || last.From == "" {
			t.Errorf("%s: the audit says %+v", c.name, last)
		}
	}
	answer, p, err := book.Redeem(t.Context(), redemption(t, bravo, inv), bravo.chain, acme.own, "")
	if err != nil || p.Org != "bravo.example" || answer.Terms.Offer[0] != "books.acme.example" {
		t.Fatalf("the one it is for: %v, %+v", err, p)
	}
	if _, _, err := book.Redeem(t.Context(), redemption(t, bravo, inv), bravo.chain, acme.own, ""); err != nil {
		t.Errorf("asked again by the same, since the answer may be lost: %v", err)
	}
	y := certificate(t, bravo.root, "y")
	leaf, _ := x509.ParseCertificate(y.Certificate[0])
	other := redemption(t, bravo, inv)
	other.Node.Name = "y"
	_, _, err = book.Redeem(t.Context(), other, []*x509.Certificate{leaf}, acme.own, "")
	var bad *Misuse
	if !errors.As(err, &bad) || bad.Kind != "used" || !strings.Contains(bad.Text, "bravo.example/x") {
		t.Errorf("by another node: %v", err)
	}
	for k, spec := range book.store.rows {
		if strings.Contains(string(spec), fmt.Sprintf("%q", inv.secret)) ||
			strings.Contains(string(spec), jsonText(inv.secret)) {
			t.Errorf("%s holds the secret", k)
		}
	}
}

func jsonText(b []byte) string { s, _ := json.Marshal(b); return string(s) }

// An invitation that is over, or was withdrawn, is worthless; so is one to a peering that has ended since.
func TestInvitationsEnd(t *testing.T) {
	acme, bravo := newParty(t, "acme.example", "a"), newParty(t, "bravo.example", "x")
	for want, end := range map[string]func(*bookOf, *Invitation){
		"expired":   func(b *bookOf, i *Invitation) { b.now = i.Expires },
		"withdrawn": func(b *bookOf, i *Invitation) { _, _ = b.Withdraw(context.Background(), i.ID()) },
		"used": func(b *bookOf, i *Invitation) {
			if _, _, err := b.Redeem(context.Background(), redemption(t, bravo, i), bravo.chain, acme.own, ""); err != nil {
				t.Error(err)
			}
			_, _ = b.End(context.Background(), "bravo.example", "")
		},
	} {
		book := newBook(t, acme)
		inv := book.invite(t, acme, "bravo.example", "")
		end(book, inv)
		_, _, err := book.Redeem(t.Context(), redemption(t, bravo, inv), bravo.chain, acme.own, "")
		var bad *Misuse
		if !errors.As(err, &bad) || bad.Kind != want || book.Peering("bravo.example") != nil {
			t.Errorf("got %v, want %s", err, want)
		}
	}
	book := newBook(t, acme)
	inv := book.invite(t, acme, "bravo.example", "")
	if p, err := book.End(t.Context(), "bravo.example", ""); err != nil || p == nil {
		t.Errorf("an open invitation is not ended: %v", err)
	}
	if _, _, err := book.Redeem(t.Context(), redemption(t, bravo, inv), bravo.chain, acme.own, ""); err == nil {
		t.Error("an invitation to what has ended is honoured")
	}
}

// If it cannot be kept, it is not done: the invitation is good still.
func TestRedemptionThatIsNotKept(t *testing.T) {
	acme, bravo := newParty(t, "acme.example", "a"), newParty(t, "bravo.example", "x")
	book := newBook(t, acme)
	inv := book.invite(t, acme, "bravo.example", "")
	book.store.err = errors.New("the disk is full")
	if _, _, err := book.Redeem(t.Context(), redemption(t, bravo, inv), bravo.chain, acme.own, ""); err == nil {
		t.Fatal("it is honoured, and not kept")
	}
	book.store.err = nil
	if _, _, err := book.Redeem(t.Context(), redemption(t, bravo, inv), bravo.chain, acme.own, ""); err != nil {
		t.Error(err)
	}
}

// What is printed, logged and formatted has no secret; the text has all, and is read again.
func TestInvitationText(t *testing.T) {
	acme := newParty(t, "acme.example", "a")
	book := newBook(t, acme)
	inv := book.invite(t, acme, "bravo.example", "")
	text, err := inv.Text()
	if err != nil {
		t.Fatal(err)
	}
	again, err := ParseInvitation(" " + text + "\n")
	if err != nil || again.ID() != inv.ID() || again.Bundle.Digest() != acme.own.Digest() ||
		!again.Expires.Equal(inv.Expires) {
		t.Errorf("%v: %+v", err, again)
	}
	if s := fmt.Sprint(inv, inv.LogValue()); strings.Contains(s, string(inv.secret)) ||
		!strings.Contains(s, "bravo.example") {
		t.Error(s)
	}
	for _, bad := range []string{"", "catalyst-peering-", text[:len(text)-9], "catalyst-join-" + text, text + "?"} {
		if _, err := ParseInvitation(bad); err == nil {
			t.Errorf("%.40q is taken for an invitation", bad)
		}
	}
}

// A lower sequence, other keys under the same one, and documents without roots never replace what is held.
func TestTrustIsNeverLowered(t *testing.T) {
	acme, bravo := newParty(t, "acme.example", "a"), newParty(t, "bravo.example", "x")
	other := newParty(t, "bravo.example", "x")
	book := newBook(t, acme)
	if err := book.Put(t.Context(), Peering{Org: "bravo.example"}, bravo.own); err != nil {
		t.Fatal(err)
	}
	with := func(of *bundle.Bundle, seq uint64) *bundle.Bundle { b := *of; b.Sequence = seq; return &b }
	none := &bundle.Bundle{Org: "bravo.example", Sequence: 12}
	skipped := &bundle.Bundle{Org: "bravo.example", Sequence: 12, Skipped: []string{"keys[0]: its use is new"}}
	for _, c := range []struct {
		name    string
		b       *bundle.Bundle
		by      string
		changed bool
		want    error
	}{
		{"the same", with(bravo.own, 10), ByPeering, false, nil},
		{"lower", with(other.own, 9), ByPeering, false, ErrOlder},
		{"lower, from the endpoint", with(other.own, 9), ByPoll, false, ErrOlder},
		{"other keys", with(other.own, 10), ByPeering, false, ErrContradicts},
		{"no sequence", with(other.own, 0), ByPeering, false, ErrOlder},
		{"nothing that is known", skipped, ByPeering, false, ErrNoRoots},
		{"of nobody", &bundle.Bundle{Org: "evil.example", Sequence: 99, Roots: other.own.Roots}, ByPeering, false,
			ErrNoPeering},
		{"higher, the same", with(bravo.own, 11), ByPeering, false, nil},
		{"lower than that", with(other.own, 10), ByPeering, false, ErrOlder},
		{"withdrawn", none, ByPeering, true, nil},
		{"an older one after that", with(bravo.own, 11), ByPeering, false, ErrOlder},
		{"newer", with(other.own, 13), ByPeering, true, nil},
	} {
		changed, err := book.Take(t.Context(), c.b, c.by)
		if changed != c.changed || !errors.Is(err, c.want) {
			t.Errorf("%s: %t, %v, want %t, %v", c.name, changed, err, c.changed, c.want)
		}
	}
	again, err := Open(t.Context(), book.cfg)
	if err != nil || again.Held("bravo.example").Digest() != other.own.Digest() {
		t.Errorf("after a restart: %v", err)
	}
}
