package speaker

import (
	"fmt"
	"time"
)

// Damping of a session that is lost again and again, or ended for what the peer sends (after RFC 2439, RFC 4271 §8.1
// DampPeerOscillations, and what BFD implementations do): the first loss costs nothing, each further one twice the time of the one before, until the peer has kept quiet for long enough.
const (
	holdDownMin = 2 * time.Second
	holdDownMax = 2 * time.Minute
	forgetAfter = 10 * time.Minute // without a loss
)

// damping is a peer's penalty.
type damping struct {
	losses int       // sessions lost to silence or to an error of the peer's, each within forgetAfter of the one before
	last   time.Time // when
	until  time.Time // neither dialled nor let in before; zero if never held down
	why    string
}

// lost enters a session that ended in silence, or for an error of the peer's.
func (d *damping) lost(now time.Time) {
	if now.Sub(d.last) > forgetAfter {
		d.losses = 0
	}
	d.losses++
	d.last = now
	if d.losses > 1 {
		d.until = now.Add(min(holdDownMin<<min(d.losses-2, 16), holdDownMax))
		d.why = fmt.Sprintf("its session was lost %d times", d.losses)
	}
}

// holds tells whether the peer is held down.
func (d *damping) holds(now time.Time) bool { return now.Before(d.until) }

// after returns t, or the end of the hold-down if that is later.
func (d *damping) after(t time.Time) time.Time {
	if t.Before(d.until) {
		return d.until
	}
	return t
}
