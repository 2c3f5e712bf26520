package measure

import "testing"

func TestText(t *testing.T) {
	n := Text(`"""type X { a: Int }""" type A { a: Int, b(x: Int): String } # type B
		enum E { X Y } extend type A @key(fields: "type C { d }") { c: [A!]! } scalar S "type" input I { x: Int = 3 } directive @d(a: Int) on FIELD typed`)
	if n.Types != 6 || n.Fields < 7 || n.Fields > 20 {
		t.Errorf("got %+v, want 6 types and about 10 fields", n)
	}
}
