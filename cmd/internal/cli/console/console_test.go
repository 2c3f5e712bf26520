package console

import (
	"strings"
	"testing"
)

// What another node or an Envoy calls itself, or says, does not get at the operator's terminal.
func TestCellsArePrintable(t *testing.T) {
	var out strings.Builder
	Row(&out, "edge-1\x1b[2J", "refused:\nall is well", "", 7)
	if want := "edge-1\uFFFD[2J\trefused: all is well\t-\t7\n"; out.String() != want {
		t.Errorf("got %q, want %q", out.String(), want)
	}
}
