package wire

import (
	"math"
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

func traceRequestBody(m *bgp.TraceRequest) []byte {
	b := appendFixed64(nil, 1, m.ID)
	b = appendText(b, 2, string(m.Service))
	b = appendUint(b, 3, uint64(m.TTL))
	b = appendUint(b, 4, millis(m.Budget))
	b = appendBool(b, 5, m.Search)
	return appendText(b, 6, m.Call)
}

// traceReplyBody writes a reply, cut to the limits that the receiver keeps as well.
func traceReplyBody(m *bgp.TraceReply) []byte {
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

// serviceOrNone reads the name of a service; one that is none is "".
func serviceOrNone(b []byte) bgp.Service {
	svc := bgp.Service(b) // a copy
	if svc.Check() != nil {
		return ""
	}
	return svc
}

// decodeTraceRequest reads a request; one for what is no service comes out without a name, which nobody answers.
func decodeTraceRequest(b []byte) (*bgp.TraceRequest, error) {
	m := &bgp.TraceRequest{}
	err := fields(b, func(f field) error {
		switch f.number {
		case 1:
			m.ID = f.value
		case 2:
			m.Service = serviceOrNone(f.bytes)
		case 3:
			m.TTL = uint8(min(f.value, bgp.MaxTraceHops))
		case 4:
			m.Budget = min(duration(f.value), bgp.MaxTraceBudget)
		case 5:
			m.Search = f.value != 0
		case 6:
			m.Call = printable(f.bytes, bgp.MaxCallID)
		}
		return nil
	})
	return m, err
}

func decodeTraceReply(b []byte) (*bgp.TraceReply, error) {
	m := &bgp.TraceReply{}
	err := fields(b, func(f field) error {
		switch {
		case f.number == 1:
			m.ID = f.value
		case f.number == 2 && len(m.Hops) < bgp.MaxTraceHops:
			h, err := decodeTraceHop(f.bytes)
			if err == nil && !h.Node.IsZero() {
				m.Hops = append(m.Hops, h)
			}
			return err
		}
		return nil
	})
	return m, err
}

func decodeTraceHop(b []byte) (bgp.TraceHop, error) {
	var h bgp.TraceHop
	err := fields(b, func(f field) error {
		switch f.number {
		case 1:
			if node, err := bgp.ParseNodeID(string(f.bytes)); err == nil {
				h.Node = node
			}
		case 2:
			h.Note = printable(f.bytes, bgp.MaxTraceText)
		case 3:
			if len(h.Steps) == bgp.MaxTraceSteps {
				return nil
			}
			s, err := decodeTraceStep(f.bytes)
			h.Steps = append(h.Steps, s)
			return err
		}
		return nil
	})
	return h, err
}

func decodeTraceStep(b []byte) (bgp.TraceStep, error) {
	var s bgp.TraceStep
	err := fields(b, func(f field) error {
		switch f.number {
		case 1:
			s.Name = printable(f.bytes, bgp.MaxTraceName)
		case 2:
			if s.State = bgp.TraceState(min(f.value, math.MaxUint8)); s.State > bgp.TraceFailed {
				s.State = bgp.TraceUnknown
			}
		case 3:
			s.Text = printable(f.bytes, bgp.MaxTraceText)
		case 4:
			s.Advice = printable(f.bytes, bgp.MaxTraceAdvice)
		case 5:
			s.Took = time.Duration(min(f.value, uint64(bgp.MaxTraceBudget/time.Microsecond))) * time.Microsecond
		}
		return nil
	})
	return s, err
}
