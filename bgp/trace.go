package bgp

import (
	"fmt"
	"strings"
	"time"
)

// Limits of a trace. A reply that keeps them all fits into one message.
const (
	MaxTraceHops   = 32               // nodes that a trace may cross, and of one reply
	MaxTraceSteps  = 16               // of one hop
	MaxTraceName   = 16               // bytes of a step's name
	MaxTraceText   = 240              // bytes of what a step found
	MaxTraceAdvice = 160              // bytes of what to do about it
	MaxTraceBudget = 10 * time.Second // for the whole rest of a trace
	MaxCallID      = 64               // bytes of a call's id
)

// TraceRequest asks the peer how a call to a service would go on from it (catalyst trace). It is answered by a
// TraceReply of the same id.
type TraceRequest struct {
	// drawn at random where the trace begins, and kept over every hop, so that a node knows a trace that comes back to it
	ID      uint64
	Service Service
	TTL     uint8         // nodes that may still be asked, the receiver included; at most MaxTraceHops
	Budget  time.Duration // how long the asker waits; at most MaxTraceBudget
	// Search is set where the asker has no route itself: the receiver says what it knows of the name, or who does.
	Search bool
	// Call, if it is not empty, is the id of one call of the service (x-request-id): the receiver says what it remembers
	// of it, and asks on away from the asker. Nothing is tried.
	Call string
}

// TraceReply answers a TraceRequest: the receiver's own hop first, then those beyond it.
type TraceReply struct {
	ID   uint64
	Hops []TraceHop
}

// TraceHop is what one node says, or what is said of one that does not answer.
type TraceHop struct {
	Node  NodeID
	Note  string // why there is nothing of the node itself, or what qualifies it; "" if nothing does
	Steps []TraceStep
}

// TraceStep is one thing that has to hold for a call to go on.
type TraceStep struct {
	Name   string
	State  TraceState
	Text   string // what was found
	Advice string // what to do about it; "" if nothing is to be done
	Took   time.Duration
}

// TraceState is the outcome of a step.
type TraceState uint8

// The outcomes. Their numbers are those of the wire.
const (
	TraceUnknown TraceState = iota // it could not be found out
	TraceOK
	TraceFailed
)

// String names the outcome.
func (s TraceState) String() string {
	switch s {
	case TraceUnknown:
		return "unknown"
	case TraceOK:
		return "ok"
	case TraceFailed:
		return "failed"
	}
	return fmt.Sprintf("state(%d)", uint8(s))
}

// Bounded returns the hops cut to the limits of one reply; texts lose their ends, hops and steps beyond the limit are
// left out.
func Bounded(hops []TraceHop) []TraceHop {
	out := make([]TraceHop, 0, min(len(hops), MaxTraceHops))
	for _, h := range hops[:min(len(hops), MaxTraceHops)] {
		b := TraceHop{Node: h.Node, Note: cut(h.Note, MaxTraceText)}
		for _, s := range h.Steps[:min(len(h.Steps), MaxTraceSteps)] {
			b.Steps = append(b.Steps, TraceStep{
				Name:   cut(s.Name, MaxTraceName),
				State:  s.State,
				Text:   cut(s.Text, MaxTraceText),
				Advice: cut(s.Advice, MaxTraceAdvice),
				Took:   s.Took,
			})
		}
		out = append(out, b)
	}
	return out
}

// cut returns at most so many bytes of a text, between characters.
func cut(s string, most int) string {
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most-3], "") + "…"
}

func (*TraceRequest) message() {}
func (*TraceReply) message()   {}
