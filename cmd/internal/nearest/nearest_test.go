package nearest_test

import (
	"slices"
	"testing"

	"github.com/catalyst-router/catalyst/cmd/internal/nearest"
)

func TestHint(t *testing.T) {
	t.Parallel()
	known := []string{"service", "protocol", "port", "part"}
	for word, want := range map[string]string{
		"servce": "; did you mean x.service?",
		"pert":   "; did you mean x.port?", // the first of two that are as near
		"weight": "",
		"":       "",
	} {
		if got := nearest.Hint(word, 3, "x.", slices.Values(known)); got != want {
			t.Errorf("%q: %q, want %q", word, got, want)
		}
	}
}
