package trace

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/catalyst-router/catalyst/bgp"
	"github.com/catalyst-router/catalyst/xds"
)

// Seen is a call as this node's Envoy told of it when it had ended.
type Seen struct {
	Where    string     // the listener
	From     bgp.NodeID // that sent it; zero for an application beside this node
	Upstream string     // IP:PORT that it went to, "" if it went nowhere
	Failed   bool
	Took     time.Duration
	Text     string // what was asked and answered
	More     string // how the operator here finds out more
}

const (
	maxSeen      = 4 // of one node: a call that was tried again is seen more than once
	notAnswered  = "does not tell of calls to others: its tap.join, or its peering.trace, does not name them"
	notMentioned = "not asked: tap.join of %s does not name %s"
)

// Call returns what every node on the way of a call remembers of it, the caller's first. Each node asks the next, away
// from this one, and over a border only where both organisations name each other (Source.Joins).
func (t *Tracer) Call(ctx context.Context, svc bgp.Service, id string) ([]bgp.TraceHop, error) {
	ctx, cancel := context.WithTimeout(ctx, Budget)
	defer cancel()
	req := bgp.TraceRequest{ID: t.newID(), Service: svc, TTL: bgp.MaxTraceHops, Budget: Budget, Call: id}
	f, err := t.src.Facts(ctx, svc)
	if err != nil {
		return nil, err
	}
	seen, told := t.src.Calls(svc, id)
	own := t.part(seen, told)
	if len(seen) == 0 {
		return []bgp.TraceHop{own}, nil
	}
	last := seen[len(seen)-1]
	from, next := last.From, nextOf(f, last)
	back := make(chan []bgp.TraceHop, 1)
	go func() { back <- t.beside(ctx, from, req) }() // ends with ctx
	var ahead []bgp.TraceHop
	if next != from {
		ahead = t.beside(ctx, next, req)
	}
	before := <-back
	slices.Reverse(before)
	return append(append(before, own), ahead...), nil
}

// answerCall says what is remembered of a call, for a peer on its way: whoever did not send it here, and was not sent
// it, hears the same as of one that there never was. The id is the caller's choice, and proves nothing.
func (t *Tracer) answerCall(ctx context.Context, asker bgp.NodeID, req bgp.TraceRequest) []bgp.TraceHop {
	silent := func(why string) []bgp.TraceHop { return []bgp.TraceHop{{Node: t.src.Self(), Note: why}} }
	if asker.Org != t.src.Self().Org && !t.src.Joins(asker.Org) {
		return silent(notAnswered)
	}
	f, err := t.src.Facts(ctx, req.Service)
	if err != nil {
		return silent("cannot answer now: " + err.Error())
	}
	seen, told := t.src.Calls(req.Service, req.Call)
	var here, onward []Seen // that the asker sent here, and that it was sent
	for _, s := range seen {
		switch {
		case s.From == asker:
			here = append(here, s)
		case nextOf(f, s) == asker:
			onward = append(onward, s)
		}
	}
	if len(here) > 0 {
		return append([]bgp.TraceHop{t.part(here, told)}, t.beside(ctx, nextOf(f, here[len(here)-1]), req)...)
	}
	hops := []bgp.TraceHop{t.part(onward, told)}
	if len(onward) > 0 {
		hops = append(hops, t.beside(ctx, onward[len(onward)-1].From, req)...)
	}
	return hops
}

const (
	noSuchCall = "remembers no such call: Envoy did not tell of it (tap.share), or it was forgotten for newer ones"
	notTold    = "is not told of calls (tap.enabled)"
)

// part is what this node says of a call.
func (t *Tracer) part(seen []Seen, told bool) bgp.TraceHop {
	hop := bgp.TraceHop{Node: t.src.Self()}
	switch {
	case !told:
		hop.Note = notTold
	case len(seen) == 0:
		hop.Note = noSuchCall
	}
	for _, s := range seen[max(0, len(seen)-maxSeen):] {
		state := bgp.TraceOK
		if s.Failed {
			state = bgp.TraceFailed
		}
		hop.Steps = append(hop.Steps, bgp.TraceStep{Name: s.Where, State: state, Text: s.Text, Advice: s.More, Took: s.Took})
	}
	return hop
}

// nextOf is the node that a call went on to; zero if it ended here, or nobody knows any more.
func nextOf(f *Facts, s Seen) bgp.NodeID {
	for i := range f.Paths {
		if p := &f.Paths[i]; !p.Local && s.Upstream != "" && p.NextHop.Address == s.Upstream {
			return p.NextHop.Node
		}
	}
	return bgp.NodeID{}
}

// beside asks a node before or after this one; nothing for none.
func (t *Tracer) beside(ctx context.Context, node bgp.NodeID, req bgp.TraceRequest) []bgp.TraceHop {
	self := t.src.Self()
	silent := func(why string) []bgp.TraceHop { return []bgp.TraceHop{{Node: node, Note: why}} }
	switch {
	case node.IsZero() || node == self:
		return nil
	case node.Org != self.Org && !t.src.Joins(node.Org):
		return silent(fmt.Sprintf(notMentioned, self, node.Org))
	case req.TTL <= 1:
		return silent(fmt.Sprintf("not asked: the call has crossed %d nodes", bgp.MaxTraceHops))
	}
	req.TTL--
	req.Budget = max(reserve, req.Budget-reserve)
	ctx, cancel := context.WithTimeout(ctx, req.Budget)
	defer cancel()
	hops, err := t.src.Ask(ctx, node, req)
	switch {
	case err != nil:
		return silent(err.Error())
	case len(hops) == 0 || hops[0].Node != node:
		return silent("answers in the name of another node")
	case hops[0].Note == "" && !tellsOfCalls(hops[0]):
		return silent("is too old to tell of calls")
	}
	return hops
}

// tellsOfCalls tells whether an answer is of a node that knows what it was asked: an older one traces the service.
func tellsOfCalls(h bgp.TraceHop) bool {
	return !slices.ContainsFunc(h.Steps, func(s bgp.TraceStep) bool {
		return s.Name != xds.TapEgress && s.Name != xds.TapIngress && s.Name != xds.TapTCP
	})
}
