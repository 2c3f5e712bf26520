package kubernetes

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"log/slog"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/catalyst-router/catalyst/cmd/internal/cluster"
	"github.com/catalyst-router/catalyst/cmd/internal/discover"
)

const (
	patience   = 10 * time.Second
	mostEvents = 50              // that wait to be written
	pause      = 2 * time.Second // between two of them
)

// events tells whoever looks at a Service (kubectl describe) why it is not offered, once for each reason. The node's
// account may be denied to write them: then nothing is told there.
type events struct {
	cluster *cluster.Cluster
	log     *slog.Logger
	wake    chan struct{}

	mu      sync.Mutex
	told    map[string]bool // by name; what is no problem any more is forgotten; guarded by mu
	waiting []cluster.Event // guarded by mu
}

func newEvents(c *cluster.Cluster, log *slog.Logger) *events {
	return &events{cluster: c, log: log, wake: make(chan struct{}, 1), told: map[string]bool{}}
}

// tell notes problems that were not told of yet, but those that are only of this moment. It does not block.
func (e *events) tell(problems []discover.Problem, services []*cluster.Service) {
	of := map[string]*cluster.Service{}
	for _, s := range services {
		of[where(s)] = s
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	now := map[string]bool{}
	for _, p := range problems {
		s := of[p.In]
		if s == nil || p.Why == errNone.Error() {
			continue
		}
		ev := eventOf(s, p.Why)
		if now[ev.Name] = e.told[ev.Name]; !now[ev.Name] && len(e.waiting) < mostEvents {
			now[ev.Name] = true
			e.waiting = append(e.waiting, ev)
		}
	}
	e.told = now
	select {
	case e.wake <- struct{}{}:
	default:
	}
}

// eventOf is the Event of a problem. Its name follows from the problem: a node that is restarted, and another node of
// the same cluster, find it there already.
func eventOf(s *cluster.Service, why string) cluster.Event {
	sum := sha256.Sum256([]byte(string(s.UID) + "\n" + why))
	now := metav1.Now()
	return cluster.Event{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "Event"},
		ObjectMeta: metav1.ObjectMeta{Namespace: s.Namespace, Name: s.Name + "." + hex.EncodeToString(sum[:8])},
		InvolvedObject: cluster.Reference{
			APIVersion: "v1", Kind: "Service", Namespace: s.Namespace, Name: s.Name, UID: string(s.UID),
		},
		Type: "Warning", Reason: "NotOffered", Message: "Catalyst does not offer it: " + why,
		ReportingComponent: "catalyst", ReportingInstance: "catalyst",
		FirstTimestamp: now, LastTimestamp: now, Count: 1,
	}
}

// run writes events until ctx ends, a few of them and slowly: nothing waits for them.
func (e *events) run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-e.wake:
		}
		for ev, ok := e.next(); ok; ev, ok = e.next() {
			e.write(ctx, &ev)
			select {
			case <-ctx.Done():
				return
			case <-time.After(pause):
			}
		}
	}
}

func (e *events) next() (cluster.Event, bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(e.waiting) == 0 {
		return cluster.Event{}, false
	}
	ev := e.waiting[0]
	e.waiting = e.waiting[1:]
	return ev, true
}

func (e *events) write(ctx context.Context, ev *cluster.Event) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if err := e.cluster.Create(ctx, cluster.Events(), ev); err != nil && !cluster.Exists(err) {
		e.log.Debug("why a Service is not offered is not told there", "service", ev.InvolvedObject.Name, "error", err)
	}
}
