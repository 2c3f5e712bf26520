package forwarding

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/catalyst-router/catalyst/bgp"
	"github.com/catalyst-router/catalyst/bgp/speaker"
	"github.com/catalyst-router/catalyst/xds/ads"
)

// maxComplaints is how many services the node has something against at a time; further ones are in the log alone.
const maxComplaints = 1000

// quarantine follows what the data plane has against services: what an Envoy refuses, and what could not be compiled.
// The operator here sees it on the route, and the originator is told.
type quarantine struct {
	signal chan struct{}

	mu       sync.Mutex
	problems map[bgp.Service]speaker.Problem // guarded by mu
}

func newQuarantine() *quarantine {
	return &quarantine{signal: make(chan struct{}, 1), problems: map[bgp.Service]speaker.Problem{}}
}

// poke has it look again. It never blocks.
func (q *quarantine) poke() {
	select {
	case q.signal <- struct{}{}:
	default:
	}
}

// of returns what the data plane has against a service; "" for nothing.
func (q *quarantine) of(svc bgp.Service) string {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.problems[svc].Text
}

// counts returns the services by kind.
func (q *quarantine) counts() map[bgp.ReportKind]int64 {
	q.mu.Lock()
	defer q.mu.Unlock()
	n := map[bgp.ReportKind]int64{bgp.ReportRefused: 0, bgp.ReportNoForward: 0}
	for _, p := range q.problems {
		n[p.Kind]++
	}
	return n
}

// run tells the speaker of each problem that is new, another, or no more. Look returns all that there are.
func (q *quarantine) run(ctx context.Context, router Router, look func() map[bgp.Service]speaker.Problem) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-q.signal:
		}
		next := look()
		q.mu.Lock()
		last := q.problems
		q.problems = next
		q.mu.Unlock()
		for _, p := range differences(last, next) {
			if err := router.Do(ctx, p); err != nil {
				return nil //nolint:nilerr // the node is stopping
			}
		}
	}
}

// problemsOf says of each service what is the matter with it. What could not be compiled comes before what was refused.
func problemsOf(notCompiled map[bgp.Service]string, refused []ads.Quarantined) map[bgp.Service]speaker.Problem {
	all := map[bgp.Service]speaker.Problem{}
	add := func(p speaker.Problem) {
		if _, had := all[p.Service]; !had && len(all) < maxComplaints {
			all[p.Service] = p
		}
	}
	for _, svc := range slices.Sorted(maps.Keys(notCompiled)) {
		add(speaker.Problem{Service: svc, Kind: bgp.ReportNoForward, Text: notCompiled[svc]})
	}
	for i := range refused {
		x := &refused[i]
		stays := "it has nothing of the service"
		if x.Serving {
			stays = "what it took before stays"
		}
		add(speaker.Problem{
			Service: x.Service,
			Kind:    bgp.ReportRefused,
			Text:    fmt.Sprintf("Envoy %s refuses %s, %s: %s", x.Node, x.Resource.Name, stays, x.Error),
		})
	}
	return all
}

// differences returns what has to be said so that who knows last knows next, by service.
func differences(last, next map[bgp.Service]speaker.Problem) []speaker.Problem {
	var all []speaker.Problem
	for _, svc := range slices.Sorted(maps.Keys(last)) {
		if _, still := next[svc]; !still {
			all = append(all, speaker.Problem{Service: svc, Kind: bgp.ReportResolved})
		}
	}
	for _, svc := range slices.Sorted(maps.Keys(next)) {
		if last[svc] != next[svc] {
			all = append(all, next[svc])
		}
	}
	return all
}
