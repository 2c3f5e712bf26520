package federation

import (
	"strings"
	"testing"
	"time"

	"github.com/catalyst-router/catalyst/bgp"
)

// Tokens of an organisation are believed as its peering says, for none after its end, also by whoever reads the store
// anew, and as before where there never was a peering.
func TestWhoseTokensAreHonoured(t *testing.T) {
	store := &memory{}
	now := time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)
	open := func() *Book {
		b, err := Open(t.Context(), Config{
			Node: bgp.NodeID{Org: "acme.example", Name: "a"}, Store: store, Now: func() time.Time { return now },
		})
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	b := open()
	says := func(b *Book, service, want string) {
		t.Helper()
		err := b.Honours("bravo.example", service)
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%q: %v, want %q", service, err, want)
		}
	}
	put := func(tokens ...string) {
		t.Helper()
		if err := b.Put(t.Context(), Peering{Org: "bravo.example", Terms: Terms{Tokens: tokens}}, nil); err != nil {
			t.Fatal(err)
		}
	}
	says(b, "books.acme.example", "")
	put()
	says(b, "", "believed for any service")
	put("books.acme.example", "*.shop.acme.example")
	for service, want := range map[string]string{
		"": "", "books.acme.example": "", "x.shop.acme.example": "", "prices.acme.example": "--tokens",
		"bookshop.acme.example": "--tokens", "shop.acme.example": "--tokens",
	} {
		says(b, service, want)
	}
	if _, err := b.End(t.Context(), "bravo.example", ""); err != nil {
		t.Fatal(err)
	}
	for _, b := range []*Book{b, open()} {
		says(b, "", "has ended at 2026-11-30T12:00:00Z")
		says(b, "books.acme.example", "has ended")
	}
	put("books.acme.example")
	says(open(), "books.acme.example", "")
	if len(open().ended) > 0 {
		t.Error("an end is remembered beside a new peering")
	}
}
