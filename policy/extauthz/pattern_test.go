package extauthz

import "testing"

// A route may be a pattern's: then the service is the name that is called, if it is below the pattern.
func TestCalledByAPattern(t *testing.T) {
	for _, tt := range []struct{ route, authority, want string }{
		{"books.acme.example", "books.acme.example", "books.acme.example"},
		{"books.acme.example", "other.acme.example", "books.acme.example"},
		{"*.eu.acme.example", "books.eu.acme.example", "books.eu.acme.example"},
		{"*.eu.acme.example", "Books.EU.acme.example", "books.eu.acme.example"},
		{"*.eu.acme.example", "bookseu.acme.example", "*.eu.acme.example"},
		{"*.eu.acme.example", "pay.bravo.example", "*.eu.acme.example"},
	} {
		if got := calledBy(tt.route, map[string][]string{":authority": {tt.authority}}); got != tt.want {
			t.Errorf("%s by the route of %s is %q, want %q", tt.authority, tt.route, got, tt.want)
		}
	}
	two := map[string][]string{":authority": {"a.eu.acme.example", "b.eu.acme.example"}}
	if got := calledBy("*.eu.acme.example", two); got != "*.eu.acme.example" {
		t.Errorf("a request with two authorities is one for %q", got)
	}
}
