package peering

import (
	"context"
	"sync"
	"time"

	"github.com/catalyst-router/catalyst/bgp"
	"github.com/catalyst-router/catalyst/bgp/attr"
	"github.com/catalyst-router/catalyst/bgp/speaker"
)

// A peer's own routes are read at full speed until somebody else could feel it. Somebody could while others are there
// (a peer that sends little, or applications) and the machine has no core to spare, which shows in timers that go off
// late. Then the reader of that peer's stream pauses after each portion of 100 routes, so that TCP pushes back, and
// the work that follows behind the speaker (other peers, the compiler, Envoy) is put off as well. The pause is a
// multiple of the time that the speaker needs for the portion. The multiple doubles each time that a pause ends late
// and shrinks when one ends in time.
//
// An example: a peer announces a million routes. 100 routes cost the speaker 0.1 ms, and all that follows on this
// machine 14 ms. At a multiple of 300 a portion is read every 33 ms, and takes a fifth of two cores.
//
// A node that was restarted and has not got its tables back yet reads everything at full speed: what it does not hear
// of in time is withdrawn.
const (
	mostPause  = 300                    // the greatest multiple
	firstPause = 4                      // a stream's first
	tooLate    = time.Millisecond       // a pause that ends so much too late says that cores are wanting
	inTime     = 400 * time.Microsecond // at least so long is a pause, and so late may it end
	unpaid     = 100 * time.Microsecond // work after which a pause is due
	littleWork = 2 * time.Millisecond   // in a second: who makes no more sends little, and is never put off
	othersLast = 2 * time.Second        // so long somebody counts as there after his last word
	longest    = 200 * time.Millisecond // pause
)

// A pace knows whether anybody but those who send much is there.
type pace struct {
	serving func() bool     // tells whether applications are served at the moment; nil for unknown
	ready   <-chan struct{} // closed when the node has its tables, from its start or after a restart

	mu sync.Mutex
	at time.Time // guarded by mu: the last word of somebody who sends little
}

// heard notes that somebody who sends little said something.
func (p *pace) heard(now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.at = now
}

// charge enters what a stream's message costs, and notes that somebody is there if it is news of one that sends little.
// Own is isOwn of it.
func (p *pace) charge(to *account, ev speaker.Event, size int, own bool) {
	now := time.Now()
	little := !own || to.charge(now, costOf(ev, size))
	if little && isNews(ev) {
		p.heard(now)
	}
}

// others tells whether somebody would notice how long others' work takes.
func (p *pace) others(now time.Time) bool {
	p.mu.Lock()
	at := p.at
	p.mu.Unlock()
	return now.Sub(at) < othersLast || p.serving != nil && p.serving()
}

// An account is what one stream has cost.
type account struct {
	mu    sync.Mutex
	work  time.Duration // guarded by mu: that no pause has followed yet
	since time.Time     // guarded by mu: when it was 0
	times float64       // guarded by mu: the multiple; 0 before the first pause
	ahead time.Duration // guarded by mu: by how much the last pause was too long

	second       time.Time     // guarded by mu: when the present second began
	last, recent time.Duration // guarded by mu: work of the second before, and of the present one
}

// charge enters work, and tells whether the stream sends little.
func (a *account) charge(now time.Time, took time.Duration) (little bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.work == 0 || now.Sub(a.since) > time.Second {
		a.work, a.since = 0, now.Add(-took)
	}
	a.work += took
	if past := now.Sub(a.second); past > time.Second {
		if a.last = a.recent; past > 2*time.Second {
			a.last = 0
		}
		a.recent, a.second = 0, now
	}
	a.recent += took
	return a.little()
}

// little tells whether the stream sends little. The caller holds mu.
func (a *account) little() bool { return max(a.last, a.recent) <= littleWork }

// pause returns how long a pause is due; 0 for none.
func (a *account) pause(now time.Time) time.Duration {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.work < unpaid || a.work < now.Sub(a.since)/(mostPause+1) || a.little() {
		return 0
	}
	if a.times == 0 {
		a.times = firstPause
	}
	d := time.Duration(float64(a.work) * a.times)
	d = max(0, min(max(inTime, d), longest)-a.ahead)
	a.work, a.ahead = 0, 0
	return d
}

// paused is told how late a pause ended. The next pause is shorter by as much: after one that should have lasted 33 ms
// and lasted 34 comes one of 32, as long as the multiple stays. So a busy machine takes as many routes a second as an
// idle one.
func (a *account) paused(late time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.ahead = max(0, late)
	switch {
	case late > tooLate:
		a.times = min(2*max(a.times, 0.5), mostPause)
	case late < inTime:
		a.times *= 0.97
	}
}

// portions cuts what a peer says of its own while somebody else is there, so that others' turns come soon.
func (p *pace) portions(ev speaker.Event) []speaker.Event {
	got, ok := ev.(speaker.Received)
	u, update := got.Msg.(*bgp.Update)
	if !ok || !update || !p.others(time.Now()) {
		return []speaker.Event{ev}
	}
	var parts []speaker.Event
	for _, part := range portions(u, portionRoutes, portionBytes) {
		parts = append(parts, speaker.Received{Conn: got.Conn, Msg: part})
	}
	return parts
}

// await waits until the stream's next message may be read. It returns an error if ctx ends first.
func (p *pace) await(ctx context.Context, a *account) error {
	now := time.Now()
	due := a.pause(now)
	if due == 0 || !p.others(now) {
		return nil
	}
	select {
	case <-p.ready:
	default:
		return nil
	}
	timer := time.NewTimer(due)
	defer timer.Stop()
	select {
	case <-timer.C:
		a.paused(time.Since(now) - due)
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Whether a peer sends much is judged by what its messages hold, and not by a clock. On a machine without a core to
// spare a step of 20 µs may last until other processes have run: by the clock, a peer that says something 50 times a
// second would be one that sends much.
const (
	costOfMessage = 10 * time.Microsecond
	costOfRoute   = time.Microsecond
	costOfName    = 300 * time.Nanosecond
	costOfByte    = 2 * time.Nanosecond
)

// costOf is what the reader and the speaker have to do for an event that came in so many bytes.
func costOf(ev speaker.Event, size int) time.Duration {
	cost := costOfMessage + time.Duration(size)*costOfByte
	if got, ok := ev.(speaker.Received); ok {
		switch m := got.Msg.(type) {
		case *bgp.Update:
			cost += time.Duration(routesOf(m)) * costOfRoute
		case *bgp.Subscribe:
			cost += time.Duration(len(m.Services)) * costOfName
		}
	}
	return cost
}

// isOwn tells whether a message is about the sender's own routes. Those that it passes on do not count against it:
// the peer that they came from was slowed down at the node before, and a pause here would hold up what others behind
// the sender say.
func isOwn(ev speaker.Event) bool {
	got, ok := ev.(speaker.Received)
	if !ok {
		return false
	}
	u, ok := got.Msg.(*bgp.Update)
	if !ok || len(u.Announced) == 0 {
		return true
	}
	own := func(g bgp.Group) bool {
		sum, _ := attr.Check(g.Attributes)
		return sum.Hops <= 1
	}
	last := len(u.Announced) - 1
	return own(u.Announced[0]) || last > 0 && own(u.Announced[last])
}

// isNews tells whether an event of a stream changes routes, so that somebody waits for what follows.
func isNews(ev speaker.Event) bool {
	got, ok := ev.(speaker.Received)
	if !ok {
		return false
	}
	u, ok := got.Msg.(*bgp.Update)
	return ok && len(u.Announced)+len(u.Withdrawn) > 0
}
