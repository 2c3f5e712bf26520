package attest

import (
	"crypto/rand"
	"encoding/hex"
	"os"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/catalyst-router/catalyst/bgp"
)

// An entry with neighbours covers a name that one of them was told, and no other; the receiver is the neighbour where
// nobody is between.
func TestNeighboursAreThoseThatTheOriginTells(t *testing.T) {
	s := trusting(t, 1)
	m, c := signed(t, setOf(1, Entry{
		Names: "*.acme.example", Carriers: []string{Anyone}, Neighbours: []string{"bravo.example", "carol.example"},
	}), 1)
	if err := s.Add(start, m, c); err != nil {
		t.Fatal(err)
	}
	for first, want := range map[bgp.Org]bgp.OriginState{
		"bravo.example": bgp.OriginValid, "carol.example": bgp.OriginValid, "mallory.example": bgp.OriginInvalid,
	} {
		got, why := s.Validate(&Route{
			Service: "pay.acme.example", Protocol: bgp.HTTP, Origin: bgp.NodeID{Org: "acme.example", Name: "a"},
			Via: []bgp.Org{"dave.example", first}, First: first,
		})
		if got != want || got == bgp.OriginInvalid && !strings.Contains(why, "and not mallory.example (neighbours)") {
			t.Errorf("%s: %s %q", first, got, why)
		}
	}
	bad := setOf(1, Entry{Names: "x.acme.example", Neighbours: []string{"Bravo"}})
	if err := bad.Check(); err == nil || !strings.Contains(err.Error(), "neighbours") {
		t.Errorf("a bad neighbour: %v", err)
	}
}

// path makes acme's set, and the path over bravo to carol, with keys 7 and 8.
func path(t testing.TB) (*Store, [][]byte) {
	t.Helper()
	s := trusting(t, 1)
	_, list := signer(t, 1)
	acme, acmeKey := signer(t, 7)
	bravo, bravoKey := signer(t, 8)
	acmeKey.Path, bravoKey.Path = true, true
	s.SetKeys(start, "acme.example", []Key{list, acmeKey})
	s.SetKeys(start, "bravo.example", []Key{bravoKey})
	m, c := signed(t, setOf(1, Entry{Names: "*.acme.example"}), 1)
	if err := s.Add(start, m, c); err != nil {
		t.Fatal(err)
	}
	set, _ := s.CurrentSet("acme.example")
	until := start.Add(time.Hour)
	first := Hop{From: "acme.example", To: "bravo.example", Set: set, Until: until, KeyID: acmeKey.ID}
	second := Hop{From: "bravo.example", To: "carol.example", Set: set, Before: HopDigest(first), Until: until,
		KeyID: bravoKey.ID}
	a, err := SignHop(first.Encode(), acme, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	b, err := SignHop(second.Encode(), bravo, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return s, [][]byte{a, b}
}

func free() error { return nil }

// The encoding of a hop is as the documentation says: this file is read by other implementations.
func TestHopIsAsDocumented(t *testing.T) {
	h := Hop{From: "bravo.example", To: "carol.example", Until: start, KeyID: "k"}
	h.Set[0], h.Before[47] = 1, 2
	got := hex.EncodeToString(h.Encode()) + "\n"
	const file = "testdata/hop.hex"
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil || got != string(want) {
		t.Errorf("%s, %v; want\n%s", got, err, want)
	}
}

// One byte of a signed path is another, wherever: it is not taken. What is not changed is, and is not new twice.
func TestNoBitOfAPathIsFree(t *testing.T) {
	s, hops := path(t)
	rapid.Check(t, func(t *rapid.T) {
		changed := [][]byte{append([]byte(nil), hops[0]...), append([]byte(nil), hops[1]...)}
		h := changed[rapid.IntRange(0, 1).Draw(t, "hop")]
		at := rapid.IntRange(0, len(h)-1).Draw(t, "at")
		h[at] ^= byte(rapid.IntRange(1, 255).Draw(t, "bits"))
		if p, _, err := s.AddPath(start, "carol.example", changed, free); err == nil {
			t.Fatalf("taken with byte %d changed: %v", at, p.Orgs)
		}
	})
	p, fresh, err := s.AddPath(start, "carol.example", hops, free)
	if err != nil || !fresh || PathText(p.Orgs) != "bravo.example acme.example" {
		t.Fatalf("%v %v %v", p, fresh, err)
	}
	if _, fresh, err := s.AddPath(start, "carol.example", hops, free); err != nil || fresh {
		t.Errorf("again: %v %v", fresh, err)
	}
	if len(s.Expire(start.Add(time.Hour))) == 0 {
		t.Error("it does not end")
	}
	if _, ok := s.PathSigned("bravo.example acme.example"); ok {
		t.Error("it counts after its end")
	}
}
