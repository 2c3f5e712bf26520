package bgp

import (
	"fmt"
	"strings"
	"time"
)

// Limits of a walk. A reply that keeps them all fits into one message.
const (
	MaxWalkHops   = 32               // nodes that a walk may cross, and of one reply
	MaxWalkSteps  = 16               // of one hop
	MaxWalkName   = 16               // bytes of a step's name
	MaxWalkText   = 240              // bytes of what a step found
	MaxWalkAdvice = 160              // bytes of what to do about it
	MaxWalkBudget = 10 * time.Second // for the whole rest of a walk
)

// WalkRequest asks the peer how a call to a service would go on from it (catalyst trace). It is answered by a
// WalkReply of the same id.
type WalkRequest struct {
	// drawn at random where the walk begins, and kept over every hop, so that a node knows a walk that comes back to it
	ID      uint64
	Service Service
	TTL     uint8         // nodes that may still be asked, the receiver included; at most MaxWalkHops
	Budget  time.Duration // how long the asker waits; at most MaxWalkBudget
	// Search is set where the asker has no route itself: the receiver says what it knows of the name, or who does.
	Search bool
}

// WalkReply answers a WalkRequest: the receiver's own hop first, then those beyond it.
type WalkReply struct {
	ID   uint64
	Hops []WalkHop
}

// WalkHop is what one node says, or what is said of one that does not answer.
type WalkHop struct {
	Node  NodeID
	Note  string // why there is nothing of the node itself, or what qualifies it; "" if nothing does
	Steps []WalkStep
}

// WalkStep is one thing that has to hold for a call to go on.
type WalkStep struct {
	Name   string
	State  WalkState
	Text   string // what was found
	Advice string // what to do about it; "" if nothing is to be done
	Took   time.Duration
}

// WalkState is the outcome of a step.
type WalkState uint8

// The outcomes. Their numbers are those of the wire.
const (
	WalkUnknown WalkState = iota // it could not be found out
	WalkOK
	WalkFailed
)

// String names the outcome.
func (s WalkState) String() string {
	switch s {
	case WalkUnknown:
		return "unknown"
	case WalkOK:
		return "ok"
	case WalkFailed:
		return "failed"
	}
	return fmt.Sprintf("state(%d)", uint8(s))
}

// Bounded returns the hops cut to the limits of one reply; texts lose their ends, hops and steps beyond the limit are
// left out.
func Bounded(hops []WalkHop) []WalkHop {
	out := make([]WalkHop, 0, min(len(hops), MaxWalkHops))
	for _, h := range hops[:min(len(hops), MaxWalkHops)] {
		b := WalkHop{Node: h.Node, Note: cut(h.Note, MaxWalkText)}
		for _, s := range h.Steps[:min(len(h.Steps), MaxWalkSteps)] {
			b.Steps = append(b.Steps, WalkStep{
				Name:   cut(s.Name, MaxWalkName),
				State:  s.State,
				Text:   cut(s.Text, MaxWalkText),
				Advice: cut(s.Advice, MaxWalkAdvice),
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

func (*WalkRequest) message() {}
func (*WalkReply) message()   {}
