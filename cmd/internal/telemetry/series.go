package telemetry

import "sync"

// Series bounds the time series of a metric: so many keys, the first that come, have some of their own. It is safe for
// concurrent use.
type Series[K comparable] struct {
	most int

	mu  sync.Mutex
	has map[K]bool // guarded by mu
}

// NewSeries returns a bound of most keys.
func NewSeries[K comparable](most int) *Series[K] { return &Series[K]{most: most, has: map[K]bool{}} }

// Own tells whether a key has a series of its own, as long as there is room for another. Those that have not are
// counted together, as "other".
func (s *Series[K]) Own(k K) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.has[k] && len(s.has) < s.most {
		s.has[k] = true
	}
	return s.has[k]
}
