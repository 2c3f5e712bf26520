package peering

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/catalyst-router/catalyst/bgp"
	"github.com/catalyst-router/catalyst/bgp/fsm"
	"github.com/catalyst-router/catalyst/bgp/speaker"
)

// question names what this node asks a peer.
type question struct {
	peer bgp.NodeID
	id   uint64
}

// questions are those of this node that wait for a reply. The zero value is empty. It is safe for concurrent use.
type questions[R any] struct {
	mu    sync.Mutex
	asked map[question]chan R
}

// put enters a question; false if the peer is being asked it already. Its reply comes at most once; done forgets it.
func (q *questions[R]) put(k question) (reply <-chan R, done func(), ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.asked[k] != nil {
		return nil, nil, false
	}
	if q.asked == nil {
		q.asked = map[question]chan R{}
	}
	c := make(chan R, 1)
	q.asked[k] = c
	return c, func() {
		q.mu.Lock()
		defer q.mu.Unlock()
		delete(q.asked, k)
	}, true
}

// answer hands a reply to whoever waits for it; nobody may.
func (q *questions[R]) answer(k question, r R) {
	q.mu.Lock()
	reply := q.asked[k]
	q.mu.Unlock()
	if reply == nil {
		return
	}
	select {
	case reply <- r:
	default: // it has answered before
	}
}

// ask sends a question to a peer, and waits for its reply or the end of ctx. It fails at once if the session is not
// established, or if can says of the peer's capabilities that it answers no such questions; the error is declines
// then. put is called before the question goes out, and returns where the reply will come.
func ask[R any](ctx context.Context, r *Router, peer bgp.NodeID, m bgp.Message, can func(bgp.Capabilities) bool,
	declines error, put func() (<-chan R, func(), bool)) (R, error) {
	var no R
	var err error
	query := r.Query(ctx, func(s *speaker.Speaker) {
		v, known := s.Peer(peer)
		switch {
		case !known || v.State != fsm.Established:
			err = fmt.Errorf("there is no session with %s to ask it over", peer)
		case !can(v.Caps):
			err = fmt.Errorf("%s %w", peer, declines)
		}
	})
	if err := errors.Join(query, err); err != nil {
		return no, err
	}
	reply, done, ok := put()
	if !ok {
		return no, fmt.Errorf("%s is being asked already", peer)
	}
	defer done()
	if err := r.Do(ctx, speaker.Say{Peer: peer, Msg: m}); err != nil {
		return no, err
	}
	select {
	case answer := <-reply:
		return answer, nil
	case <-ctx.Done():
		return no, fmt.Errorf("%s has not answered in time", peer)
	case <-r.done:
		return no, ErrStopped
	}
}

// ErrDeclines tells that a peer does not say why it tells or takes what.
var ErrDeclines = errors.New("does not say: its operator declines (peering.explain), or it is too old to be " +
	"asked") //nolint:gochecknoglobals // a sentinel

// ErrTooOften tells that a peer was asked more often than it answers.
var ErrTooOften = errors.New("is asked too often just now: try again in a few " +
	"seconds") //nolint:gochecknoglobals // a sentinel

// Why asks a peer with an established session what it tells this node of a service and what it takes, and waits for
// its answer or the end of ctx.
func (r *Router) Why(ctx context.Context, peer bgp.NodeID, svc bgp.Service) (*bgp.WhyReply, error) {
	req := &bgp.WhyRequest{ID: NewTraceID(), Service: svc}
	answer, err := ask(ctx, r, peer, req, func(c bgp.Capabilities) bool { return c.Why }, ErrDeclines,
		func() (<-chan *bgp.WhyReply, func(), bool) { return r.whys.put(question{peer, req.ID}) })
	switch {
	case err != nil:
		return nil, err
	case answer.Outcome == bgp.WhyTooOften:
		return nil, fmt.Errorf("%s %w", peer, ErrTooOften)
	case answer.Outcome != bgp.WhyAnswered:
		return nil, fmt.Errorf("%s %w", peer, ErrDeclines)
	}
	return answer, nil
}
