package judge

import (
	"testing"

	"github.com/catalyst-router/catalyst/bgp"
)

// Names are hidden where calls of this node's own applications are decided, and none to the service is permitted.
func TestHidden(t *testing.T) {
	j := open(t, t.TempDir())
	if _, err := j.Apply(t.Context(), source(
		`permit (principal, action, resource == CATALYST::Service::"books.acme.example");`), "joe", "", false); err != nil {
		t.Fatal(err)
	}
	select {
	case <-j.Changed():
	default:
		t.Error("nobody is told of another set")
	}
	for _, tt := range []struct {
		egress, shadow, tcp bool
		service             string
		want                bool
	}{
		{true, false, false, "films.acme.example", true}, {true, false, false, "books.acme.example", false},
		{false, false, false, "films.acme.example", false}, {true, true, false, "films.acme.example", false},
		{true, false, true, "films.acme.example", false},
	} {
		j.cfg.Egress, j.cfg.Shadow = tt.egress, tt.shadow
		if why, got := j.Hidden(bgp.Service(tt.service), "acme.example", tt.tcp); got != tt.want || (why != "") != tt.want {
			t.Errorf("%+v: %t, %q", tt, got, why)
		}
	}
}
