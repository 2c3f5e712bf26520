package sim

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/catalyst-router/catalyst/bgp"
	"github.com/catalyst-router/catalyst/bgp/attest"
	"github.com/catalyst-router/catalyst/bgp/speaker"
)

// authority signs what acme.example attests.
type authority struct {
	t   *testing.T
	key *ecdsa.PrivateKey
	pub attest.Key
}

func newAuthority(t *testing.T, n int64) authority {
	t.Helper()
	key, err := ecdsa.ParseRawPrivateKey(elliptic.P384(), big.NewInt(n+1000).FillBytes(make([]byte, 48)))
	if err != nil {
		t.Fatal(err)
	}
	id, err := attest.KeyID(&key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	return authority{t, key, attest.Key{ID: id, Public: &key.PublicKey}}
}

func (a authority) sign(s *attest.Set) speaker.AttestSet {
	a.t.Helper()
	m, c, err := attest.Sign(s, a.key, a.pub.ID, rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	return speaker.AttestSet{Signed: m, Chunks: c}
}

func keysOf(t *testing.T, org bgp.Org, all ...authority) speaker.AttestKeys {
	t.Helper()
	var keys []attest.Key
	for _, a := range all {
		keys = append(keys, a.pub)
	}
	b, err := attest.FormatKeys(keys)
	if err != nil {
		t.Fatal(err)
	}
	return speaker.AttestKeys{Org: org, Keys: b}
}

func list(n *Net, serial uint64, life time.Duration, entries ...attest.Entry) *attest.Set {
	return &attest.Set{
		Org: "acme.example", Serial: serial, NotBefore: n.Now.Add(-time.Minute), NotAfter: n.Now.Add(life), Entries: entries,
	}
}

// became says what became of the paths to a service at a node.
func became(n *Net, at bgp.NodeID, svc bgp.Service) string {
	var all []string
	for _, c := range n.Node(at).sp.Table().Explain(svc) {
		all = append(all, c.Origin.String()+": "+c.Reject.String()+" "+c.Invalid)
	}
	return strings.Join(all, "; ")
}

func wants(t *testing.T, n *Net, at bgp.NodeID, svc bgp.Service, text string) {
	t.Helper()
	if got := became(n, at, svc); !strings.Contains(got, text) {
		t.Errorf("%s of %s: %q, want %q", svc, at, got, text)
	}
}

// Acme attests what it offers, bravo carries it, carol asks for attestations: what acme did not sign never counts, and
// a changed list, a new key, the end of a set and a node that comes late change that in place, with the sessions up.
func TestOriginsAreAttested(t *testing.T) {
	n := New(1)
	a, b, c := id("a"), id("b@bravo"), id("c@carol")
	peered(n, a, b, bgp.RoleNone, bgp.RoleNone)
	peered(n, b, c, bgp.RoleNone, bgp.RoleNone)
	p := n.Node(c).peers[b]
	p.Attested = true
	n.SetPeer(c, p)
	one, two := newAuthority(t, 1), newAuthority(t, 2)
	for _, at := range []bgp.NodeID{a, b, c} {
		n.Do(at, keysOf(t, "acme.example", one))
	}
	n.Announce(a, books, http)
	n.Announce(a, "films.acme.example", http)
	n.Announce(b, "shop.bravo.example", http)
	n.Run(3 * time.Second)
	wants(t, n, b, books, "not-found: accepted")
	wants(t, n, c, books, "no attestation of it can be verified")
	wants(t, n, c, "shop.bravo.example", "no attestation of it can be verified")

	carried := attest.Entry{Names: string(books), Carriers: []string{"bravo.example"}}
	n.Do(a, one.sign(list(n, 1, time.Hour, carried)))
	n.Run(3 * time.Second)
	wants(t, n, b, books, "valid: accepted")
	wants(t, n, c, books, "valid: accepted")
	wants(t, n, b, "films.acme.example", "acme.example does not attest films.acme.example")

	// the list changes: who may carry it on
	n.Do(a, one.sign(list(n, 2, time.Hour, attest.Entry{Names: "*.acme.example"})))
	n.Run(3 * time.Second)
	wants(t, n, b, "films.acme.example", "valid: accepted")
	wants(t, n, c, books, "does not let bravo.example carry")
	if _, has := n.Node(c).Table[books]; has {
		t.Error("an invalid route is used")
	}

	// rotation: both keys are trusted, the new one signs, the old one goes; the set is over after a while
	for _, at := range []bgp.NodeID{a, b, c} {
		n.Do(at, keysOf(t, "acme.example", one, two))
	}
	n.Do(a, two.sign(list(n, 3, time.Minute, carried)))
	n.Run(time.Second)
	for _, at := range []bgp.NodeID{a, b, c} {
		n.Do(at, keysOf(t, "acme.example", two))
	}
	n.Run(time.Second)
	wants(t, n, c, books, "valid: accepted")
	n.Run(2 * time.Minute)
	wants(t, n, c, books, "not-found: no attestation")
	wants(t, n, b, books, "not-found: accepted")

	// one that comes late, and is given the key only after the session is up
	n.Do(a, two.sign(list(n, 4, time.Hour, carried)))
	d := id("d@delta")
	peered(n, b, d, bgp.RoleNone, bgp.RoleNone)
	n.Run(3 * time.Second)
	wants(t, n, d, books, "not-found: accepted")
	n.Do(d, keysOf(t, "acme.example", two))
	n.Run(3 * time.Second)
	wants(t, n, d, books, "valid: accepted")
	for _, at := range []bgp.NodeID{b, c} {
		for _, v := range n.Node(at).sp.Peers() {
			if v.Counters.Sessions != 1 {
				t.Errorf("%s had %d sessions with %s", at, v.Counters.Sessions, v.Config.Node)
			}
		}
	}
}

// A neighbour replays an older set, sends one of another key, chunks of nothing and garbage: each is counted by its
// kind, and what counted before counts on.
func TestSetsThatLie(t *testing.T) {
	n := New(1)
	a, b := id("a@bravo"), id("b@carol")
	peered(n, a, b, bgp.RoleNone, bgp.RoleNone)
	one, evil := newAuthority(t, 1), newAuthority(t, 66)
	n.Do(b, keysOf(t, "acme.example", one))
	all := attest.Entry{Names: "*.acme.example", Carriers: []string{"bravo.example"}}
	old := one.sign(list(n, 1, time.Hour, all, attest.Entry{Names: "gone.acme.example", Carriers: []string{"*"}}))
	n.Do(b, one.sign(list(n, 2, time.Hour, attest.Entry{Names: string(books), Carriers: []string{"bravo.example"}})))
	n.Run(2 * time.Second)
	conn := n.Node(b).sp.ConnOf(a)
	say := func(m *bgp.Attest) { n.Do(b, speaker.Received{Conn: conn, Msg: m}) }
	say(&bgp.Attest{Signed: old.Signed})
	forged := evil.sign(list(n, 3, time.Hour, all))
	say(&bgp.Attest{Signed: forged.Signed})
	say(&bgp.Attest{Signed: []byte("no manifest")})
	over := one.sign(list(n, 4, time.Second, all))
	n.Run(2 * time.Second)
	say(&bgp.Attest{Signed: over.Signed})
	good := one.sign(list(n, 5, time.Hour, all))
	say(&bgp.Attest{Signed: good.Signed})
	say(&bgp.Attest{Chunk: []byte("none of its chunks")})
	say(&bgp.Attest{Chunk: good.Chunks[0]}) // belongs to nothing any more
	v, _ := n.Node(b).sp.Peer(a)
	for kind, want := range map[string]uint64{"older set": 1, "bad signature": 1, "malformed set": 2, "expired set": 1} {
		got := v.Counters.Faults[speaker.FaultKind{Degree: speaker.AttributeDropped, Attribute: "attestation: " + kind}]
		if got != want {
			t.Errorf("%s: counted %d, want %d", kind, got, want)
		}
	}
	if h, _ := n.Node(b).sp.Table().Attested().Held("acme.example"); h.Serial != 2 {
		t.Errorf("serial %d counts", h.Serial)
	}
	for range 1000 {
		say(&bgp.Attest{Signed: forged.Signed})
	}
	v, _ = n.Node(b).sp.Peer(a)
	many := v.Counters.Faults[speaker.FaultKind{Degree: speaker.AttributeDropped, Attribute: "attestation: too many"}]
	if many < 700 {
		t.Errorf("of 1000 signatures at once %d were not looked at", many)
	}
}
