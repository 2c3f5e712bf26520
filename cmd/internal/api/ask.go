package api

import (
	"context"
	"sync"
	"time"

	"github.com/catalyst-router/catalyst/bgp"
	"github.com/catalyst-router/catalyst/bgp/fsm"
	"github.com/catalyst-router/catalyst/bgp/speaker"
	"github.com/catalyst-router/catalyst/graphql/operator"
)

const (
	askTime  = 3 * time.Second // for all peers together
	maxAsked = 64              // peers with a session that are asked, in the order of their ids
)

// ask asks every peer with a session, all at once, what it tells this node of a service and what it takes.
func (a *API) ask(ctx context.Context, svc bgp.Service, peers []speaker.PeerView) []operator.PeerAnswer {
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	answers := []operator.PeerAnswer{}
	for i := range peers {
		if peers[i].State == fsm.Established && len(answers) < maxAsked {
			answers = append(answers, operator.PeerAnswer{Peer: peers[i].Config.Node.String()})
		}
	}
	var wg sync.WaitGroup
	for i := range answers {
		wg.Go(func() { a.askOne(ctx, svc, &answers[i]) })
	}
	wg.Wait()
	return answers
}

func (a *API) askOne(ctx context.Context, svc bgp.Service, out *operator.PeerAnswer) {
	peer, err := bgp.ParseNodeID(out.Peer)
	if err != nil {
		out.Error = err.Error()
		return
	}
	r, err := a.cfg.Router.Why(ctx, peer, svc)
	if err != nil {
		out.Error = err.Error()
		return
	}
	out.Told, out.ToldWhy, out.ToldTerm = r.Told.OK, r.Told.Why, r.Told.Term
	out.Announced = r.Announced
	out.Taken, out.TakenWhy, out.TakenTerm = r.Taken.OK, r.Taken.Why, r.Taken.Term
}
