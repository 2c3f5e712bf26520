package api

import (
	"testing"

	"pgregory.net/rapid"
)

// edits is the dumb version of distance: the definition, by recursion.
func edits(a, b string) int {
	switch {
	case a == "":
		return len(b)
	case b == "":
		return len(a)
	case a[0] == b[0]:
		return edits(a[1:], b[1:])
	}
	return 1 + min(edits(a[1:], b), edits(a, b[1:]), edits(a[1:], b[1:]))
}

func TestDistanceAgreesWithItsDefinition(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		word := rapid.StringOfN(rapid.SampledFrom([]rune("abc")), 0, 7, -1)
		a, b := word.Draw(t, "a"), word.Draw(t, "b")
		got, want := distance(a, b, 3), edits(a, b)
		if want <= 3 && got != want || want > 3 && got <= 3 {
			t.Fatalf("distance(%q, %q) = %d, want %d", a, b, got, want)
		}
	})
}
