package wire

import (
	"math"
	"strings"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/catalyst-router/catalyst/bgp"
)

func appendFixed64(dst []byte, field protowire.Number, v uint64) []byte {
	if v == 0 {
		return dst
	}
	return protowire.AppendFixed64(protowire.AppendTag(dst, field, protowire.Fixed64Type), v)
}

func walkRequestBody(m *bgp.WalkRequest) []byte {
	b := appendFixed64(nil, 1, m.ID)
	b = appendText(b, 2, string(m.Service))
	b = appendUint(b, 3, uint64(m.TTL))
	b = appendUint(b, 4, millis(m.Budget))
	return appendBool(b, 5, m.Search)
}

// walkReplyBody writes a reply, cut to the limits that the receiver keeps as well.
func walkReplyBody(m *bgp.WalkReply) []byte {
	b := appendFixed64(nil, 1, m.ID)
	for _, h := range bgp.Bounded(m.Hops) {
		hop := appendText(nil, 1, h.Node.String())
		hop = appendText(hop, 2, h.Note)
		for _, s := range h.Steps {
			step := appendText(nil, 1, s.Name)
			step = appendUint(step, 2, uint64(s.State))
			step = appendText(step, 3, s.Text)
			step = appendText(step, 4, s.Advice)
			step = appendUint(step, 5, uint64(max(0, s.Took.Microseconds())))
			hop = appendMessage(hop, 3, step)
		}
		b = appendMessage(b, 2, hop)
	}
	return b
}

// decodeWalkRequest reads a request; one for what is no service comes out without a name, which nobody answers.
func decodeWalkRequest(b []byte) (*bgp.WalkRequest, error) {
	m := &bgp.WalkRequest{}
	err := fields(b, func(f field) error {
		switch f.number {
		case 1:
			m.ID = f.value
		case 2:
			if svc := bgp.Service(f.bytes); svc.Check() == nil {
				m.Service = bgp.Service(strings.Clone(string(svc)))
			}
		case 3:
			m.TTL = uint8(min(f.value, bgp.MaxWalkHops))
		case 4:
			m.Budget = min(duration(f.value), bgp.MaxWalkBudget)
		case 5:
			m.Search = f.value != 0
		}
		return nil
	})
	return m, err
}

func decodeWalkReply(b []byte) (*bgp.WalkReply, error) {
	m := &bgp.WalkReply{}
	err := fields(b, func(f field) error {
		switch {
		case f.number == 1:
			m.ID = f.value
		case f.number == 2 && len(m.Hops) < bgp.MaxWalkHops:
			h, err := decodeWalkHop(f.bytes)
			if err == nil && !h.Node.IsZero() {
				m.Hops = append(m.Hops, h)
			}
			return err
		}
		return nil
	})
	return m, err
}

func decodeWalkHop(b []byte) (bgp.WalkHop, error) {
	var h bgp.WalkHop
	err := fields(b, func(f field) error {
		switch f.number {
		case 1:
			if node, err := bgp.ParseNodeID(string(f.bytes)); err == nil {
				h.Node = node
			}
		case 2:
			h.Note = printable(f.bytes, bgp.MaxWalkText)
		case 3:
			if len(h.Steps) == bgp.MaxWalkSteps {
				return nil
			}
			s, err := decodeWalkStep(f.bytes)
			h.Steps = append(h.Steps, s)
			return err
		}
		return nil
	})
	return h, err
}

func decodeWalkStep(b []byte) (bgp.WalkStep, error) {
	var s bgp.WalkStep
	err := fields(b, func(f field) error {
		switch f.number {
		case 1:
			s.Name = printable(f.bytes, bgp.MaxWalkName)
		case 2:
			if s.State = bgp.WalkState(min(f.value, math.MaxUint8)); s.State > bgp.WalkFailed {
				s.State = bgp.WalkUnknown
			}
		case 3:
			s.Text = printable(f.bytes, bgp.MaxWalkText)
		case 4:
			s.Advice = printable(f.bytes, bgp.MaxWalkAdvice)
		case 5:
			s.Took = time.Duration(min(f.value, uint64(bgp.MaxWalkBudget/time.Microsecond))) * time.Microsecond
		}
		return nil
	})
	return s, err
}
