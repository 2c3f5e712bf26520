package tap

import (
	"cmp"
	"math"
	"slices"
	"time"

	"github.com/catalyst-router/catalyst/bgp"
)

// Edge is the calls that went from one node to the next, or from an application into the first.
type Edge struct {
	From, To bgp.NodeID // From is zero for applications beside To
	// Calls is how many there were in all, with those of which Envoy did not tell (Config.Share); Denied and Failed are
	// of them.
	Calls, Denied, Failed int
	// Median and P95 are what half and 95 of 100 of those took at most that Envoy told of.
	Median, P95 time.Duration
}

// MostOnEdges is how many calls are looked at for edges, the newest.
const MostOnEdges = 50_000

// Edges counts calls, newest first as Find returns them, on the ways that way tells.
func (t *Tap) Edges(calls []*Call, way func(*Call) []bgp.NodeID) []Edge {
	type sum struct {
		calls          float64
		denied, failed int
		took           []time.Duration
	}
	type pair struct{ from, to bgp.NodeID }
	sums := map[pair]*sum{}
	for _, c := range calls {
		nodes := way(c)
		if len(nodes) == 0 {
			continue
		}
		for i, to := range nodes {
			p := pair{to: to}
			if i > 0 {
				p.from = nodes[i-1]
			}
			s := sums[p]
			if s == nil {
				s = &sum{}
				sums[p] = s
			}
			s.calls += t.stands(c)
			s.took = append(s.took, c.Took)
			switch c.Outcome {
			case Denied:
				s.denied++
			case Failed:
				s.failed++
			case OK:
			}
		}
	}
	edges := make([]Edge, 0, len(sums))
	for p, s := range sums {
		slices.Sort(s.took)
		n := len(s.took)
		edges = append(edges, Edge{
			From: p.from, To: p.to, Calls: int(math.Round(s.calls)), Denied: s.denied, Failed: s.failed,
			Median: s.took[(n-1)/2], P95: s.took[(n-1)*95/100],
		})
	}
	slices.SortFunc(edges, func(a, b Edge) int {
		return cmp.Or(cmp.Compare(b.Calls, a.Calls), cmp.Compare(a.From.String(), b.From.String()),
			cmp.Compare(a.To.String(), b.To.String()))
	})
	return edges
}

// stands is for how many calls one stands: of those that went well and were quick Envoy tells a share.
func (t *Tap) stands(c *Call) float64 {
	if c.Outcome != OK || t.cfg.Share <= 0 || t.cfg.Slow > 0 && c.Took >= t.cfg.Slow {
		return 1
	}
	return 100 / t.cfg.Share
}
