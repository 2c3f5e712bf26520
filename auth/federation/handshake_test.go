package federation

import (
	"strings"
	"testing"
	"time"

	"github.com/catalyst-router/catalyst/bgp"
)

// A neighbour tells of its own refusals of this node, within bounds, and of nothing else; of each certificate there is
// one story.
func TestWhatIsToldOfHandshakes(t *testing.T) {
	self, other := bgp.NodeID{Org: "acme.example", Name: "a"}, bgp.NodeID{Org: "bravo.example", Name: "x"}
	third := bgp.NodeID{Org: "delta.example", Name: "d"}
	at := time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)
	good := Handshake{By: other, Of: self, SHA256: "aa", Kind: FaultStaleBundle, Text: "no", First: at, Last: at, Times: 1}
	for name, edit := range map[string]func(h *Handshake){
		"another's refusal":      func(h *Handshake) { h.By = third },
		"of another":             func(h *Handshake) { h.Of = third },
		"a long text":            func(h *Handshake) { h.Text = strings.Repeat("x", 501) },
		"a long name":            func(h *Handshake) { h.Name = strings.Repeat("x", 301) },
		"a root that is none":    func(h *Handshake) { h.Tried.Pins = []string{"x"} },
		"never":                  func(h *Handshake) { h.Times = 0 },
		"a fingerprint too long": func(h *Handshake) { h.SHA256 = strings.Repeat("a", 65) },
	} {
		h := good
		edit(&h)
		if told := ToldBy(other, self, []Handshake{h}); len(told) > 0 {
			t.Errorf("%s is taken: %+v", name, told)
		}
	}
	odd := good
	odd.Text = "a\x1b[31mb"
	if told := ToldBy(other, self, []Handshake{odd}); len(told) != 1 || strings.Contains(told[0].Text, "\x1b") {
		t.Errorf("%+v", told)
	}
	var all []Handshake
	for i := range 3 {
		again := good
		again.First, again.Last = at.Add(time.Duration(i)*time.Second), at.Add(time.Duration(i)*time.Second)
		all = Remember(all, again)
	}
	if len(all) != 1 || all[0].Times != 3 || !all[0].First.Equal(at) || !all[0].Last.Equal(at.Add(2*time.Second)) {
		t.Errorf("%+v", all)
	}
	for i := range 50 {
		more := good
		more.SHA256, more.Last = strings.Repeat("b", i+1), at.Add(time.Duration(i)*time.Minute)
		all = Remember(all, more)
	}
	if len(all) != MaxHandshakes || len(all[0].SHA256) != 50 {
		t.Errorf("%d are remembered, the latest is %+v", len(all), all[0])
	}
}
