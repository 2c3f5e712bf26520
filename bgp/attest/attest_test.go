package attest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"math/big"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/catalyst-router/catalyst/bgp"
)

var update = flag.Bool("update", false, "write the golden files anew")

var start = time.Unix(1_800_000_000, 0)

// signer makes a key from a number, so that tests are the same each time.
func signer(t testing.TB, n int64) (*ecdsa.PrivateKey, Key) {
	t.Helper()
	d := new(big.Int).Add(big.NewInt(n), big.NewInt(1000)).FillBytes(make([]byte, 48))
	key, err := ecdsa.ParseRawPrivateKey(elliptic.P384(), d)
	if err != nil {
		t.Fatal(err)
	}
	id, err := KeyID(&key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	return key, Key{ID: id, Public: &key.PublicKey}
}

func setOf(serial uint64, entries ...Entry) *Set {
	return &Set{
		Org: "acme.example", Serial: serial, NotBefore: start, NotAfter: start.Add(24 * time.Hour), Entries: entries,
	}
}

func signed(t testing.TB, s *Set, n int64) (manifest []byte, chunks [][]byte) {
	t.Helper()
	key, pub := signer(t, n)
	m, chunks, err := Sign(s, key, pub.ID, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return m, chunks
}

func trusting(t testing.TB, numbers ...int64) *Store {
	t.Helper()
	var keys []Key
	for _, n := range numbers {
		_, k := signer(t, n)
		keys = append(keys, k)
	}
	s := &Store{}
	s.SetKeys(start, "acme.example", keys)
	return s
}

func TestStates(t *testing.T) {
	s := trusting(t, 1)
	m, c := signed(t, setOf(1,
		Entry{Names: "books.acme.example", Protocols: []bgp.Protocol{bgp.HTTP}, Origins: []string{"edge-1"}},
		Entry{Names: "*.open.acme.example", Carriers: []string{Anyone}},
		Entry{Names: "*.shop.acme.example", Carriers: []string{"bravo.example"}},
		Entry{Names: "*.acme.example", Origins: []string{"hub"}, Carriers: []string{"carol.example"}},
	), 1)
	if err := s.Add(start, m, c); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		service, origin, via string
		protocol             bgp.Protocol
		want                 bgp.OriginState
		why                  string
	}{
		{"books.acme.example", "edge-1", "", bgp.HTTP, bgp.OriginValid, ""},
		{"books.acme.example", "edge-1", "", bgp.GRPC, bgp.OriginInvalid, "protocol grpc"},
		{"books.acme.example", "edge-2", "", bgp.HTTP, bgp.OriginInvalid, "acme.example/edge-2 may not announce"},
		{"books.acme.example", "edge-1", "bravo.example", bgp.HTTP, bgp.OriginInvalid, "does not let bravo.example carry"},
		{"books.acme.example", "hub", "carol.example", bgp.TCP, bgp.OriginValid, ""},
		{"a.open.acme.example", "x", "bravo.example carol.example", bgp.TCP, bgp.OriginValid, ""},
		{"a.b.shop.acme.example", "x", "bravo.example", bgp.TCP, bgp.OriginValid, ""},
		{"a.shop.acme.example", "x", "bravo.example evil.example", bgp.TCP, bgp.OriginInvalid, "evil.example"},
		{"*.shop.acme.example", "x", "", bgp.TCP, bgp.OriginValid, ""},
		{"other.acme.example", "x", "", bgp.TCP, bgp.OriginInvalid, "may not announce"},
	} {
		r := Route{
			Service: bgp.Service(tt.service), Protocol: tt.protocol, Origin: bgp.NodeID{Org: "acme.example", Name: tt.origin},
		}
		for _, o := range strings.Fields(tt.via) {
			r.Via = append(r.Via, bgp.Org(o))
		}
		if got, why := s.Validate(&r); got != tt.want || !strings.Contains(why, tt.why) {
			t.Errorf("%+v: %s, %q, want %s", r, got, why, tt.want)
		}
	}
	none := Route{Service: "a.bravo.example", Origin: bgp.NodeID{Org: "bravo.example", Name: "x"}, Protocol: bgp.TCP}
	if got, _ := s.Validate(&none); got != bgp.OriginNotFound {
		t.Errorf("an organisation that is not known: %s", got)
	}
	empty, chunks := signed(t, setOf(2), 1)
	if err := s.Add(start, empty, chunks); err != nil {
		t.Fatal(err)
	}
	r := Route{Service: books, Protocol: bgp.HTTP, Origin: bgp.NodeID{Org: "acme.example", Name: "edge-1"}}
	if got, why := s.Validate(&r); got != bgp.OriginInvalid || !strings.Contains(why, "does not attest") {
		t.Errorf("a name that is attested no more: %s, %s", got, why)
	}
}

const books = bgp.Service("books.acme.example")

func state(s *Store) bgp.OriginState {
	got, _ := s.Validate(&Route{Service: books, Protocol: bgp.HTTP, Origin: bgp.NodeID{Org: "acme.example", Name: "a"}})
	return got
}

// A set that is older, of another key, of an unknown organisation, over, or changed on the way is refused by kind; what
// was there before counts on.
func TestWhatIsRefused(t *testing.T) {
	s := trusting(t, 1)
	ok := Entry{Names: string(books)}
	m, c := signed(t, setOf(5, ok), 1)
	if err := s.Add(start, m, c); err != nil {
		t.Fatal(err)
	}
	m6, c6 := signed(t, setOf(6, Entry{Names: "x.acme.example"}), 1)
	broken := append([]byte{}, m6...)
	broken[len(broken)-1] ^= 1
	otherKey, _ := signed(t, setOf(7, ok), 2)
	old, oldChunks := signed(t, setOf(4, ok), 1)
	over := setOf(8, ok)
	over.NotAfter = start.Add(time.Second)
	late, lateChunks := signed(t, over, 1)
	foreign := setOf(9, Entry{Names: "x.bravo.example"})
	foreign.Org = "bravo.example"
	unknown, unknownChunks := signed(t, foreign, 1)
	for _, tt := range []struct {
		name   string
		signed []byte
		chunks [][]byte
		at     time.Time
		want   error
	}{
		{"the same again", m, c, start, ErrSame},
		{"an older one", old, oldChunks, start, ErrOlder},
		{"a bit of the signature", broken, c6, start, ErrSignature},
		{"another key", otherKey, c, start, ErrSignature},
		{"another's chunks", m6, c, start, ErrMalformed},
		{"a chunk is missing", m6, nil, start, ErrMalformed},
		{"it is over", late, lateChunks, start.Add(time.Minute), ErrExpired},
		{"an organisation without keys", unknown, unknownChunks, start, ErrUnknown},
		{"nothing", nil, nil, start, ErrMalformed},
		{"too long", make([]byte, MaxManifest+1), nil, start, ErrMalformed},
	} {
		if err := s.Add(tt.at, tt.signed, tt.chunks); !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, want %v", tt.name, err, tt.want)
		}
	}
	if got := state(s); got != bgp.OriginValid {
		t.Errorf("after all that: %s", got)
	}
}

// Three rotations: the next key is trusted first, then signs, then the old one goes. A set counts from its first second
// to its last, and as long as its key is trusted; its serial is remembered beyond that.
func TestRotationAndExpiry(t *testing.T) {
	s := trusting(t, 0)
	serial := uint64(0)
	for n := range int64(3) {
		_, next := signer(t, n+1)
		_, now := signer(t, n)
		s.SetKeys(start, "acme.example", []Key{now, next})
		serial++
		m, c := signed(t, setOf(serial, Entry{Names: string(books)}), n+1)
		if err := s.Add(start, m, c); err != nil {
			t.Fatal(err)
		}
		if s.SetKeys(start, "acme.example", []Key{next}) || state(s) != bgp.OriginValid {
			t.Fatalf("rotation %d: %s", n, state(s))
		}
	}
	if !s.SetKeys(start, "acme.example", nil) || state(s) != bgp.OriginNotFound {
		t.Errorf("without keys: %s", state(s))
	}
	_, key := signer(t, 3)
	s.SetKeys(start, "acme.example", []Key{key})
	end := s.NextChange(start)
	if !end.Equal(start.Add(24 * time.Hour)) {
		t.Errorf("it ends at %s", end)
	}
	if len(s.Expire(end.Add(-time.Second))) != 0 || len(s.Expire(end)) != 1 || state(s) != bgp.OriginNotFound {
		t.Errorf("at its end: %s", state(s))
	}
	m, c := signed(t, setOf(2, Entry{Names: string(books)}), 3)
	if err := s.Add(start, m, c); !errors.Is(err, ErrOlder) {
		t.Errorf("an older one after the end: %v", err)
	}
}

// A changed list of many sends few chunks.
func TestAChangeSendsTheChunksThatChanged(t *testing.T) {
	var entries []Entry
	for i := range 100_000 {
		entries = append(entries, Entry{Names: fmt.Sprintf("s%d.acme.example", i), Carriers: []string{"bravo.example"}})
	}
	s := trusting(t, 1)
	m, c := signed(t, setOf(1, entries...), 1)
	if err := s.Add(start, m, c); err != nil || len(c) < 20 {
		t.Fatal(err, len(c))
	}
	m, c = signed(t, setOf(2, append(entries, Entry{Names: "s5x.acme.example"})...), 1)
	in, err := s.Begin(start, m)
	if err != nil {
		t.Fatal(err)
	}
	if in.left > 4 {
		t.Errorf("%d of %d chunks are new", in.left, len(c))
	}
	for _, chunk := range c {
		if err := in.Chunk(chunk); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Finish(start, in); err != nil {
		t.Fatal(err)
	}
	if held, _ := s.Held("acme.example"); held.Entries != 100_001 {
		t.Errorf("%d entries", held.Entries)
	}
}

func TestCheckNamesEveryProblem(t *testing.T) {
	s := Set{Org: "ACME", Entries: []Entry{
		{Names: "books.bravo.example"}, {Names: "a.acme.example", Carriers: []string{"X"}}, {Names: "bad name"},
	}}
	err := s.Check()
	for _, want := range []string{"org:", "serial:", "notAfter:", "entries[0]", "entries[1]", "entries[2]"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not in:\n%v", want, err)
		}
	}
}

// The format is for ever: what was signed once is read the same way (docs/attestation.md). Signatures are drawn
// anew each time, so the golden file holds one.
func TestFormat(t *testing.T) {
	const file = "testdata/set.hex"
	set := setOf(7,
		Entry{
			Names: "books.acme.example", Protocols: []bgp.Protocol{bgp.HTTP, bgp.GRPC}, Origins: []string{"edge-1"},
			Carriers: []string{"bravo.example"},
		},
		Entry{Names: "*.open.acme.example", Carriers: []string{Anyone}},
	)
	if *update {
		m, c := signed(t, set, 1)
		text := "manifest " + hex.EncodeToString(m) + "\nchunk " + hex.EncodeToString(c[0]) + "\n"
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	words := strings.Fields(string(text))
	m, _ := hex.DecodeString(words[1])
	c, _ := hex.DecodeString(words[3])
	s := trusting(t, 1)
	if err := s.Add(start, m, [][]byte{c}); err != nil {
		t.Fatal(err)
	}
	fresh, chunks := signed(t, set, 1)
	if string(chunks[0]) != string(c) {
		t.Error("the chunk is encoded in another way now")
	}
	was, _, _ := split(m)
	is, _, _ := split(fresh)
	if string(was) != string(is) {
		t.Errorf("the manifest is encoded in another way now:\n%x\n%x", was, is)
	}
	keys := []Key{s.orgs["acme.example"].keys[0]}
	jwks, err := FormatKeys(keys)
	if err != nil {
		t.Fatal(err)
	}
	back, err := ParseKeys(jwks)
	if err != nil || len(back) != 1 || back[0].ID != keys[0].ID || !back[0].Public.Equal(keys[0].Public) {
		t.Errorf("%s: %v, %v", jwks, back, err)
	}
	mixed := `{"keys":[{"kty":"OKP","use":"x509-svid"},{"kty":"EC","crv":"P-256","use":"catalyst-attestation"}]}`
	if got, err := ParseKeys([]byte(mixed)); err != nil || len(got) != 0 {
		t.Errorf("keys of other kinds: %v, %v", got, err)
	}
}

// Nothing that a peer sends may panic, and whatever is taken is encoded in one way.
func FuzzManifest(f *testing.F) {
	m, c := signed(f, setOf(3, Entry{Names: string(books), Origins: []string{"a"}}), 1)
	f.Add(m, c[0])
	f.Add([]byte{0x0a, 0}, []byte{})
	f.Fuzz(func(t *testing.T, manifest, chunk []byte) {
		s := trusting(t, 1)
		if err := s.Add(start, manifest, [][]byte{chunk}); err == nil && s.NextChange(start).IsZero() {
			t.Error("a set that never ends")
		}
		if m, err := decodeManifest(manifest); err == nil && string(m.encode()) != string(manifest) {
			t.Errorf("%x is encoded as %x", manifest, m.encode())
		}
		ix, err := newIndex("acme.example", [][]byte{chunk})
		if err != nil {
			return
		}
		var again []byte
		for _, r := range ix.refs {
			e := ix.rules[r.rules]
			e.Names = string(chunk[r.at : r.at+uint32(r.size)])
			again = append(again, appendBytes(nil, fieldEntry, encodeEntry(&e))...)
		}
		if string(again) != string(chunk) {
			t.Errorf("%x is encoded as %x", chunk, again)
		}
	})
}

// The cost of one look-up, and of a set of 100,000 entries.
func BenchmarkValidate(b *testing.B) {
	var entries []Entry
	for i := range 100_000 {
		entries = append(entries, Entry{Names: fmt.Sprintf("s%d.acme.example", i)})
	}
	s := trusting(b, 1)
	m, c := signed(b, setOf(1, entries...), 1)
	if err := s.Add(start, m, c); err != nil {
		b.Fatal(err)
	}
	r := Route{Service: "s77.acme.example", Protocol: bgp.HTTP, Origin: bgp.NodeID{Org: "acme.example", Name: "a"}}
	b.ReportAllocs()
	for b.Loop() {
		if got, _ := s.Validate(&r); got != bgp.OriginValid {
			b.Fatal(got)
		}
	}
}
