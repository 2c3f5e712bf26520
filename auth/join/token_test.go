package join

import (
	"slices"
	"strings"
	"testing"
)

func TestATokenReadsAsItWasWritten(t *testing.T) {
	want := Token{
		Org: "acme.example", Node: "b", Address: "127.0.0.1:7480", Pin: [32]byte{1, 2}, Secret: make([]byte, SecretBytes),
		Peers: []Peer{{"a", "127.0.0.1:7443"}, {"hub", "hub.acme.example:7443"}},
	}
	got, err := ParseToken(" " + want.Text() + "\n")
	if err != nil {
		t.Fatal(err)
	}
	if got.Org != want.Org || got.Node != want.Node || got.Address != want.Address || got.Pin != want.Pin ||
		!slices.Equal(got.Secret, want.Secret) || !slices.Equal(got.Peers, want.Peers) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if text := got.String(); strings.Contains(text, "AAAA") || !strings.Contains(text, "acme.example/b") {
		t.Errorf("it prints %q", text)
	}
}

func TestWhatIsNoTokenIsRefused(t *testing.T) {
	good := Token{Org: "acme.example", Node: "b", Address: "127.0.0.1:7480", Secret: make([]byte, SecretBytes)}
	change := func(f func(*Token)) string {
		c := good
		f(&c)
		return c.Text()
	}
	many := make([]Peer, MaxPeers+1)
	for i := range many {
		many[i] = Peer{"a", "127.0.0.1:1"}
	}
	for name, text := range map[string]string{
		"nothing":            "",
		"something else":     "catalyst-join-%%%",
		"half":               good.Text()[:40],
		"long":               tokenPrefix + strings.Repeat("A", 5000),
		"a short secret":     change(func(t *Token) { t.Secret = t.Secret[:31] }),
		"no address":         change(func(t *Token) { t.Address = "nowhere" }),
		"no name":            change(func(t *Token) { t.Node = "BAD NAME" }),
		"a peer without one": change(func(t *Token) { t.Peers = []Peer{{"", "127.0.0.1:1"}} }),
		"a peer nowhere":     change(func(t *Token) { t.Peers = []Peer{{"a", "nowhere"}} }),
		"too many peers":     change(func(t *Token) { t.Peers = many }),
	} {
		if _, err := ParseToken(text); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
}
