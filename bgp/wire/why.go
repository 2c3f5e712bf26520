package wire

import (
	"slices"

	"github.com/catalyst-router/catalyst/bgp"
)

// whyReplyBody writes a reply, cut to the limits that the receiver keeps as well.
func whyReplyBody(m *bgp.WhyReply) []byte {
	r := m.Bounded()
	b := appendFixed64(nil, 1, r.ID)
	b = appendUint(b, 2, uint64(r.Outcome))
	b = appendMessage(b, 3, fateBody(&r.Told))
	b = appendMessage(b, 4, fateBody(&r.Taken))
	return appendBool(b, 5, r.Announced)
}

func fateBody(f *bgp.Fate) []byte {
	return appendText(appendText(appendBool(nil, 1, f.OK), 2, f.Why), 3, f.Term)
}

// decodeWhyRequest reads a question; one about what is no service comes out without a name, which nobody answers.
func decodeWhyRequest(b []byte) (*bgp.WhyRequest, error) {
	m := &bgp.WhyRequest{}
	return m, fields(b, func(f field) error {
		switch f.number {
		case 1:
			m.ID = f.value
		case 2:
			m.Service = serviceOrNone(f.bytes)
		}
		return nil
	})
}

func decodeWhyReply(b []byte) (*bgp.WhyReply, error) {
	m := &bgp.WhyReply{}
	err := fields(b, func(f field) error {
		switch f.number {
		case 1:
			m.ID = f.value
		case 2:
			m.Outcome = bgp.WhyOutcome(min(f.value, uint64(bgp.WhyTooOften)))
		case 3:
			return decodeFate(f.bytes, &m.Told)
		case 4:
			return decodeFate(f.bytes, &m.Taken)
		case 5:
			m.Announced = f.value != 0
		}
		return nil
	})
	r := m.Bounded()
	return &r, err
}

func decodeFate(b []byte, out *bgp.Fate) error {
	return fields(b, func(f field) error {
		switch f.number {
		case 1:
			out.OK = f.value != 0
		case 2:
			out.Why = bgp.Printable(string(f.bytes))
		case 3:
			out.Term = bgp.Printable(string(f.bytes))
		}
		return nil
	})
}

func hopsBody(m *bgp.Hops) []byte {
	var b []byte
	for _, h := range m.Signed {
		b = appendText(b, 1, string(h))
	}
	return b
}

// decodeHops reads a signed path. Of one that is longer than it may be, or has a hop that is, nothing is left, which
// says nothing.
func decodeHops(b []byte) (*bgp.Hops, error) {
	m := &bgp.Hops{}
	bad := false
	err := fields(b, func(f field) error {
		if f.number != 1 || bad {
			return nil
		}
		if bad = len(m.Signed) == bgp.MaxPathHops || len(f.bytes) > bgp.MaxHopSize; !bad {
			m.Signed = append(m.Signed, slices.Clone(f.bytes))
		}
		return nil
	})
	if bad {
		m.Signed = nil
	}
	return m, err
}
