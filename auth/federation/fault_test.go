package federation

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"testing"
	"time"

	"github.com/catalyst-router/catalyst/auth/bundle"
)

// Each of the eight faults is named for what it is; four of them before anything fails; and all is well when nothing
// is wrong.
func TestFaultsAreNamed(t *testing.T) {
	acme, bravo, other := newParty(t, "acme.example", "a"), newParty(t, "bravo.example", "x"),
		newParty(t, "bravo.example", "x")
	now := time.Now()
	good := func() *Seen {
		return &Seen{
			Now: now, Node: acme.node, Own: acme.own, Held: bravo.own, From: now.Add(-time.Minute), Until: now.Add(time.Hour),
			Root: acme.own.Pins()[0], Heard: now, Begun: now.Add(-time.Hour),
			Peering: &Peering{
				Org:   "bravo.example",
				Nodes: []Neighbour{{Node: bravo.node}},
				Terms: Terms{Role: "customer"},
				Trust: Trust{By: ByPeering},
			},
			View: &View{
				Node: bravo.node, Now: now, Serves: KeysOf(bravo.own), Holds: KeysOf(acme.own), Terms: Terms{Role: "provider"},
				From: now.Add(-time.Minute), Until: now.Add(time.Hour),
			},
		}
	}
	if all := Faults(good()); len(all) != 0 {
		t.Errorf("nothing is wrong, and it says %+v", all)
	}
	unknown := Chain(other.chain, bravo.own)
	two, err := bundle.FromPEM("acme.example", append(acme.own.PEM(), newParty(t, "acme.example", "a").own.PEM()...), nil)
	if err != nil {
		t.Fatal(err)
	}
	older := KeysOf(bravo.own)
	older.Sequence--
	for _, c := range []struct {
		name, want string
		foreseen   bool
		change     func(*Seen)
	}{
		{"another root signs", FaultStaleBundle, false, func(s *Seen) { s.Err = unknown }},
		{"the other does not believe us", FaultStaleBundle, false, func(s *Seen) { s.Err = misuse(FaultStaleBundle, "no") }},
		{"it never did", FaultWrongPin, false, func(s *Seen) { s.Err, s.Peering.Trust.By = unknown, ByHand }},
		{"a minute off", FaultClock, true, func(s *Seen) { s.View.Now = now.Add(-time.Minute) }},
		{"ten minutes off", FaultClock, false, func(s *Seen) { s.View.Now = now.Add(10 * time.Minute) }},
		{"ours ends", FaultExpiredLeaf, true, func(s *Seen) { s.Until = now.Add(10 * time.Second) }},
		{"ours has ended", FaultExpiredLeaf, false, func(s *Seen) { s.Until = now.Add(-time.Second) }},
		{"its ends", FaultExpiredLeaf, true, func(s *Seen) { s.View.Until = now.Add(10 * time.Second) }},
		{"a root that it has yet to get", FaultNotPublished, true, func(s *Seen) { s.Own = two }},
		{"a root that signs and that it has not", FaultNotPublished, false, func(s *Seen) { s.View.Holds = Keys{} }},
		{"roles", FaultRole, false, func(s *Seen) { s.View.Terms.Role = "peer" }},
		{"it serves an older one", FaultOlderSequence, true, func(s *Seen) { s.View.Serves = older }},
		{"an older one was refused", FaultOlderSequence, true, func(s *Seen) { s.Refused = fmt.Errorf("x: %w", ErrOlder) }},
		{"it refused an older one", FaultOlderSequence, true, func(s *Seen) { s.View.Refused = FaultOlderSequence }},
		{"nobody answers", FaultEndpointDown, false,
			func(s *Seen) { s.Err = &net.OpError{Op: "dial", Err: errors.New("refused")} }},
		{"nothing is heard", FaultEndpointDown, true, func(s *Seen) { s.Heard = now.Add(-time.Minute) }},
		{"its endpoint", FaultEndpointDown, true, func(s *Seen) { s.Poll = errors.New("it answers 503") }},
		{"no bundle yet", FaultNoBundle, false, func(s *Seen) { s.Held = nil }},
	} {
		s := good()
		c.change(s)
		all := Faults(s)
		i := slices.IndexFunc(all, func(f Fault) bool { return f.Kind == c.want && f.Error != c.foreseen })
		if i < 0 || all[i].Text == "" {
			t.Errorf("%s: %+v, want %s (error: %t)", c.name, all, c.want, !c.foreseen)
		}
	}
}

// A bundle that is signed by a node of the organisation is believed, by whomever it comes; nobody else's is.
func TestStatements(t *testing.T) {
	acme, bravo := newParty(t, "acme.example", "a"), newParty(t, "bravo.example", "x")
	impostor := newParty(t, "bravo.example", "x")
	text, err := Sign(&bravo.cert, bravo.node, "acme.example", bravo.own)
	if err != nil {
		t.Fatal(err)
	}
	if b, err := Verify(text, "acme.example", bravo.own); err != nil || b.Sequence != bravo.own.Sequence {
		t.Errorf("the node's own: %v", err)
	}
	forged, _ := Sign(&impostor.cert, bravo.node, "acme.example", impostor.own)
	others, _ := Sign(&acme.cert, bravo.node, "acme.example", acme.own)
	elsewhere, _ := Sign(&bravo.cert, bravo.node, "evil.example", bravo.own)
	changed := []byte(text)
	changed[10] ^= 1
	for name, text := range map[string]string{
		"of another CA": forged, "of another organisation": others, "to another organisation": elsewhere,
		"changed": string(changed), "cut": text[:len(text)/2], "nothing": "", "dots": "......",
	} {
		if b, err := Verify(text, "acme.example", bravo.own); err == nil {
			t.Errorf("%s is believed: %v", name, b)
		}
	}
}
