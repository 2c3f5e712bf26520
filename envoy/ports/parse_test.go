package ports

import (
	"slices"
	"testing"
)

func TestParse(t *testing.T) {
	got, err := Parse("[8000, [9000, 9002]]")
	if err != nil || !slices.Equal(got.Ports(), []uint16{8000, 9000, 9001, 9002}) || got.String() != "[8000,[9000,9002]]" {
		t.Errorf("got %v, %v", got, err)
	}
	for _, bad := range []string{"", "8000", "[0]", "[70000]", "[[9, 8]]", "[[1, 2, 3]]", "[1, 1]", "[1, [1, 2]]",
		`["x"]`} {
		if got, err := Parse(bad); err == nil {
			t.Errorf("%q gives %v", bad, got)
		}
	}
}
