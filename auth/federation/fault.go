package federation

import (
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/catalyst-router/catalyst/auth/bundle"
	"github.com/catalyst-router/catalyst/bgp"
)

// Kinds of faults between two organisations. Both ends name them.
const (
	FaultStaleBundle   = "stale-bundle"       // what is held does not prove the other's certificate any more
	FaultWrongPin      = "wrong-pin"          // it never has: the bundle came by hand, and is another's
	FaultClock         = "clock"              // the two nodes' clocks differ
	FaultExpiredLeaf   = "expired-leaf"       // a node's certificate has ended, or will without being renewed
	FaultNotPublished  = "root-not-published" // the other side does not hold a root that is about to be used
	FaultRole          = "role-mismatch"      // what each is to the other is not said alike
	FaultOlderSequence = "older-sequence"     // a bundle with a lower number than the one that is held is served
	FaultEndpointDown  = "endpoint-down"      // the other side's endpoint does not answer, or nothing is heard of it
	FaultNoBundle      = "no-bundle"          // configured, no bundle yet
	FaultRefused       = "refused"            // any other refusal of the other side
)

// How much is too much.
const (
	ClockWarning = 30 * time.Second
	ClockError   = 5 * time.Minute // by which certificates are dated back
	Silence      = 45 * time.Second
)

// Fault is something that is wrong between two organisations, or will be.
type Fault struct {
	Kind   string
	Error  bool // calls or sessions fail; else they will
	Text   string
	Advice string
	Other  bool // the other side told it
}

// Seen is all that one side knows of a peering.
type Seen struct {
	Now     time.Time
	Node    bgp.NodeID // ours
	Peering *Peering
	Own     *bundle.Bundle
	Held    *bundle.Bundle // theirs; nil if none is held
	// From and Until are those of our own certificate; Root is the pin of the root that signed it.
	From, Until time.Time
	Root        string
	// View is what they said last, at Heard by our clock; nil if they have said nothing yet.
	View  *View
	Heard time.Time
	// Begun is since when they could have been heard of.
	Begun time.Time
	// Err is why the last exchange that this side began came to nothing, and Refused why their last bundle was not
	// taken; nil if all went well.
	Err, Refused error
	// Poll is why the endpoint of their bundle could not be read.
	Poll error
}

// KindOf is the kind of fault that an error of a certificate's verification or of an exchange means.
func KindOf(err error, p *Peering, held *bundle.Bundle) string {
	var bad *Misuse
	var unknown x509.UnknownAuthorityError
	var invalid x509.CertificateInvalidError
	switch {
	case errors.As(err, &bad):
		return bad.Kind
	case errors.As(err, &unknown):
		if p != nil && p.Trust.By == ByHand && held != nil {
			return FaultWrongPin
		}
		return FaultStaleBundle
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		if invalid.Cert != nil && time.Now().Before(invalid.Cert.NotBefore) {
			return FaultClock
		}
		return FaultExpiredLeaf
	case errors.Is(err, ErrOlder):
		return FaultOlderSequence
	}
	return FaultEndpointDown
}

// Faults names what is wrong with a peering, errors first.
func Faults(s *Seen) []Fault {
	var all []Fault
	add := func(f Fault) {
		if !slices.ContainsFunc(all, func(g Fault) bool { return g.Kind == f.Kind && g.Other == f.Other }) {
			all = append(all, f)
		}
	}
	org := s.Peering.Org
	if s.Held == nil {
		add(Fault{FaultNoBundle, true, fmt.Sprintf("no bundle of %s is held: nobody of it is believed", org),
			"give its bundle by hand, or an endpoint of it that answers", false})
	}
	s.failures(add)
	if s.View != nil {
		s.compare(add)
	}
	if left := s.Until.Sub(s.Now); left < s.Until.Sub(s.From)/4 {
		add(expiring(s.Node, s.Until, s.Now, false))
	}
	slices.SortStableFunc(all, func(x, y Fault) int {
		switch {
		case x.Error && !y.Error:
			return -1
		case y.Error && !x.Error:
			return 1
		}
		return strings.Compare(x.Kind, y.Kind)
	})
	return all
}

func expiring(node bgp.NodeID, until, now time.Time, other bool) Fault {
	f := Fault{FaultExpiredLeaf, false, fmt.Sprintf("the certificate of %s ends at %s and was not renewed", node,
		until.UTC().Format(time.RFC3339)), "see why its identity service does not renew it (catalyst status there)", other}
	if !now.Before(until) {
		f.Error, f.Text = true, fmt.Sprintf("the certificate of %s ended at %s", node, until.UTC().Format(time.RFC3339))
	}
	return f
}

// advices say what to do about what an exchange came to.
//
//nolint:gochecknoglobals // a constant table
var advices = map[string]string{
	FaultStaleBundle: "get the newer bundle from the operator of the side whose certificate it is (catalyst " +
		"peering bundle " +
		"there, catalyst peering update --bundle here)",
	FaultWrongPin:      "compare the pins with its operator over another channel: the bundle given by hand is not its",
	FaultClock:         "set the clocks of both nodes",
	FaultExpiredLeaf:   "see why its identity service does not renew it (catalyst status there)",
	FaultEndpointDown:  "see whether the node runs and can be reached at that address",
	FaultOlderSequence: "the node that serves it has lost what it knew, or is cut off from its identity service",
	"no-peering":       "the other side has ended the peering, or does not have it: end it here, or offer again",
}

// failures are faults that an exchange or a bundle came to.
func (s *Seen) failures(add func(Fault)) {
	org := s.Peering.Org
	if s.Err != nil {
		kind := KindOf(s.Err, s.Peering, s.Held)
		var bad *Misuse
		other := errors.As(s.Err, &bad)
		add(Fault{kind, true, bgp.Printable(s.Err.Error()), advices[kind], other})
	}
	if s.Refused != nil {
		kind := KindOf(s.Refused, s.Peering, s.Held)
		if !errors.Is(s.Refused, ErrOlder) {
			kind = FaultStaleBundle
		}
		add(Fault{kind, false, fmt.Sprintf("the bundle that %s serves is not taken: %s", org, s.Refused), advices[kind],
			false})
	}
	if s.Poll != nil {
		kind := KindOf(s.Poll, s.Peering, s.Held)
		add(Fault{kind, false, fmt.Sprintf("%s: %s", s.Peering.Source.URL, s.Poll), advices[kind], false})
	}
	heard := s.Heard
	if heard.Before(s.Begun) {
		heard = s.Begun
	}
	if len(s.Peering.Nodes) > 0 && s.Err == nil && s.Now.Sub(heard) > Silence {
		add(Fault{FaultEndpointDown, false, fmt.Sprintf("nothing has been heard of %s since %s", org,
			heard.UTC().Format(time.RFC3339)), advices[FaultEndpointDown], false})
	}
}

// compare names where the two sides' views do not fit.
func (s *Seen) compare(add func(Fault)) {
	v, org := s.View, s.Peering.Org
	if v.Refused != "" {
		add(Fault{v.Refused, false, fmt.Sprintf("%s does not take this organisation's bundle", v.Node),
			advices[v.Refused], true})
	}
	if skew := s.Heard.Sub(v.Now).Abs(); skew > ClockWarning {
		add(Fault{FaultClock, skew > ClockError, fmt.Sprintf("the clock of %s is %s off from this node's", v.Node,
			skew.Round(time.Second)), advices[FaultClock], false})
	}
	if Opposite(s.Peering.Terms.Role) != v.Terms.Role {
		add(Fault{FaultRole, true, fmt.Sprintf("%s is %s here, and says that this organisation is %s to it", org,
			roleWord(s.Peering.Terms.Role), roleWord(v.Terms.Role)),
			"agree on the roles, and set them with catalyst peering update --role", false})
	}
	for _, pin := range s.Own.Pins() {
		if !slices.Contains(v.Holds.Pins, pin) {
			add(Fault{FaultNotPublished, pin == s.Root, fmt.Sprintf("%s does not hold the root %s, by which certificates of "+
				"this organisation are or will be signed", v.Node, pin[:16]),
				"it gets it at the next exchange; until then do not finish the rotation (catalyst org rotate-ca)", false})
		}
	}
	if s.Held != nil {
		for _, pin := range v.Serves.Pins {
			if !slices.Contains(s.Held.Pins(), pin) {
				add(Fault{FaultNotPublished, false, fmt.Sprintf("this node does not hold the root %s that %s serves", pin[:16],
					v.Node), "it is taken at the next exchange, unless another fault says why not", true})
			}
		}
		if v.Serves.Sequence < s.Held.Sequence {
			add(Fault{FaultOlderSequence, false, fmt.Sprintf("%s serves its bundle with sequence %d, and %d is held here",
				v.Node, v.Serves.Sequence, s.Held.Sequence), advices[FaultOlderSequence], false})
		}
	}
	if left := v.Until.Sub(s.Now); left < v.Until.Sub(v.From)/4 {
		add(expiring(v.Node, v.Until, s.Now, true))
	}
}
