package peering

import (
	"context"
	"sync"

	"github.com/catalyst-router/catalyst/bgp/speaker"
)

// boxRoom is how many messages of one stream are read and not yet taken. Reading stops beyond, so that TCP pushes back.
const boxRoom = 8

// An inbox holds what the speaker has yet to take, in a box for each stream, and one more for what belongs to none.
// One event of each box is taken in turn: a stream that sends all the time has one message taken in each round, and
// so has a stream that sends one message an hour.
type inbox struct {
	signal chan struct{} // something was put in

	mu    sync.Mutex
	ready []*box // guarded by mu: those that are not empty, in the order of their turns
	n     int    // guarded by mu: events in all boxes
}

// box is the part of an inbox that one stream fills.
type box struct {
	in    *inbox
	cost  account         // of what is taken from it
	room  chan struct{}   // something was taken
	queue []speaker.Event // guarded by in.mu
}

func newInbox() *inbox { return &inbox{signal: make(chan struct{}, 1)} }

func (in *inbox) newBox() *box { return &box{in: in, room: make(chan struct{}, 1)} }

// put leaves an event, and waits for room if it is a message. It returns false if ctx ends first.
func (b *box) put(ctx context.Context, ev speaker.Event) bool {
	for !b.tryPut(ev) {
		select {
		case <-b.room:
		case <-ctx.Done():
			return false
		}
	}
	return ctx.Err() == nil
}

func (b *box) tryPut(ev speaker.Event) bool {
	b.in.mu.Lock()
	defer b.in.mu.Unlock()
	if _, message := ev.(speaker.Received); message && len(b.queue) >= boxRoom {
		return false
	}
	if len(b.queue) == 0 {
		b.in.ready = append(b.in.ready, b)
	}
	b.queue = append(b.queue, ev)
	b.in.n++
	poke(b.in.signal)
	return true
}

// take returns the next event of the box whose turn it is; nil if nothing waits.
func (in *inbox) take() speaker.Event {
	in.mu.Lock()
	defer in.mu.Unlock()
	if len(in.ready) == 0 {
		return nil
	}
	b := in.ready[0]
	in.ready[0] = nil
	in.ready = in.ready[1:]
	ev := b.queue[0]
	b.queue[0] = nil
	if b.queue = b.queue[1:]; len(b.queue) > 0 {
		in.ready = append(in.ready, b)
	}
	in.n--
	poke(b.room)
	return ev
}

// waiting returns how many events wait, and in how many boxes.
func (in *inbox) waiting() (events, boxes int) {
	in.mu.Lock()
	defer in.mu.Unlock()
	return in.n, len(in.ready)
}

// poke says something on a channel that need not hear it twice.
func poke(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
