package probe

import (
	"fmt"
	"math"
	"math/rand/v2"
	"time"

	"github.com/catalyst-router/catalyst/bgp"
)

// Hold-down of a service that flaps (after RFC 2439): each time that it goes down counts 1, and the sum halves every
// flapHalfLife. From flapSuppress on it stays down, however well it answers, until the sum is below flapReuse. Going
// down is never held up.
const (
	flapHalfLife = 30 * time.Second
	flapSuppress = 3.5
	flapReuse    = 2.0
	flapMost     = 8.0 // so it is held down for a minute at the most
)

// Machine turns the results of one service's checks into its health. It reads no clock and asks nobody.
type Machine struct {
	check   Check
	rnd     *rand.Rand
	status  Status
	run     int     // results in a row that speak against the status
	flaps   float64 // as of flapsAt
	flapsAt time.Time
	held    bool
}

// Status is what is known of a service's health.
type Status struct {
	Health bgp.Health // HealthUnknown before the first result, and without a check
	Since  time.Time  // of that health; zero while it is unknown
	// Error is what the last failed check said; "" when the service is up and the last check succeeded.
	Error   string
	Checked time.Time // when the last check ended; zero before the first
	// HeldUntil is set while a flapping service answers and is kept down all the same.
	HeldUntil time.Time
	// KeepAlive is the shortest time for which the workload has said that it keeps a connection without a request, since
	// it came up; 0 if it has not said any.
	KeepAlive time.Duration
}

// TargetStatus is what is known of one workload.
type TargetStatus struct {
	Target Target
	Status Status
}

// Merge is the health of a service: up while one of its workloads is, down when all of them are. Its error names
// those that are down.
func Merge(all []TargetStatus) Status {
	if len(all) == 1 {
		return all[0].Status
	}
	var out Status
	down, words := 0, ""
	for _, t := range all {
		st := t.Status
		switch st.Health {
		case bgp.HealthUp:
			if out.Health != bgp.HealthUp || st.Since.Before(out.Since) {
				out.Health, out.Since = bgp.HealthUp, st.Since
			}
		case bgp.HealthDown:
			if down++; words == "" {
				words = t.Target.Address + ": " + st.Error
			}
		case bgp.HealthUnknown, bgp.HealthDraining:
		}
		if st.Checked.After(out.Checked) {
			out.Checked = st.Checked
		}
	}
	if down > 0 {
		out.Error = fmt.Sprintf("%d of %d workloads are down: %s", down, len(all), words)
	}
	if down == len(all) && down > 0 {
		out.Health = bgp.HealthDown
		for _, t := range all { // since the last of them went, and until the first may come back
			if t.Status.Since.After(out.Since) {
				out.Since = t.Status.Since
			}
			if u := t.Status.HeldUntil; !u.IsZero() && (out.HeldUntil.IsZero() || u.Before(out.HeldUntil)) {
				out.HeldUntil = u
			}
		}
	}
	return out
}

// NewMachine returns a machine that knows nothing yet; chance is for the jitter.
func NewMachine(c Check, rnd *rand.Rand) *Machine { return &Machine{check: c.withDefaults(), rnd: rnd} }

// Status returns what is known.
func (m *Machine) Status() Status { return m.status }

// Next returns how long to wait from the beginning of one check to the next: the interval, up to a tenth more or
// less, so that the checks of many services do not come at once.
func (m *Machine) Next() time.Duration {
	spread := int64(m.check.Interval) / 5
	return m.check.Interval - time.Duration(spread/2) + time.Duration(m.rnd.Int64N(spread+1))
}

// Result takes what one check found, "" for success, and tells whether the health changed.
func (m *Machine) Result(now time.Time, failure string) (changed bool) {
	s := &m.status
	s.Checked, s.HeldUntil = now, time.Time{}
	found := bgp.HealthUp
	if failure != "" {
		found = bgp.HealthDown
		s.Error = failure
	}
	if found == s.Health {
		m.run = 0
		if found == bgp.HealthUp {
			s.Error = ""
		}
		return false
	}
	m.run++
	switch {
	case s.Health == bgp.HealthUnknown: // the first result decides
	case found == bgp.HealthDown && m.run < m.check.Fall, found == bgp.HealthUp && m.run < m.check.Rise:
		return false
	case found == bgp.HealthUp && m.suppressed(now):
		s.HeldUntil = now.Add(m.untilReuse())
		return false
	}
	if found == bgp.HealthDown && s.Health == bgp.HealthUp {
		m.flapped(now)
	}
	if found == bgp.HealthUp {
		s.Error = ""
	}
	s.Health, s.Since, m.run = found, now, 0
	if found == bgp.HealthDown { // what comes up again may be configured in another way
		s.KeepAlive = 0
	}
	return true
}

// Keeps takes how long a workload says that it keeps connections, 0 for nothing said, and tells whether that is
// shorter than what it said before. Longer times do not count: several servers may answer at one address.
func (m *Machine) Keeps(said time.Duration) (shorter bool) {
	was := m.status.KeepAlive
	if said == 0 || was != 0 && said >= was {
		return false
	}
	m.status.KeepAlive = said
	return true
}

// decay brings the sum of flaps to now.
func (m *Machine) decay(now time.Time) {
	m.flaps *= math.Exp2(-now.Sub(m.flapsAt).Seconds() / flapHalfLife.Seconds())
	m.flapsAt = now
}

func (m *Machine) flapped(now time.Time) {
	m.decay(now)
	m.flaps = min(m.flaps+1, flapMost)
	m.held = m.held || m.flaps >= flapSuppress
}

func (m *Machine) suppressed(now time.Time) bool {
	m.decay(now)
	m.held = m.held && m.flaps >= flapReuse
	return m.held
}

func (m *Machine) untilReuse() time.Duration {
	return time.Duration(math.Log2(m.flaps/flapReuse) * float64(flapHalfLife))
}
