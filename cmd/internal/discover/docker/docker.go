// Package docker finds services among the containers of a Docker Engine. A container with the label catalyst.service is
// a workload of that service, for as long as it runs and, where it has a HEALTHCHECK, is healthy:
//
//	docker run --label catalyst.service=books --label catalyst.port=8080 …
//
// Containers are followed by the engine's events. A container that is told to stop is left out from then on, before it
// has ended, so that it gets no new calls.
package docker

import (
	"context"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/catalyst-router/catalyst/cmd/internal/discover"
)

const (
	together  = 25 * time.Millisecond  // in which events are looked at as one
	relist    = time.Minute            // although no event came
	reconnect = 500 * time.Millisecond // after the engine has gone
	patience  = 10 * time.Second       // for a list
)

// Source is a Docker Engine.
type Source struct {
	name   string
	engine *engine

	mu       sync.Mutex
	stopping map[string]bool // containers that were told to stop, or have ended, by id; guarded by mu
}

var _ discover.Source = (*Source)(nil)

// New returns the source of the engine at a Unix socket. name is how it stands in the configuration.
func New(name, socket string) *Source {
	return &Source{name: name, engine: newEngine(socket), stopping: map[string]bool{}}
}

// Name implements discover.Source.
func (s *Source) Name() string { return s.name }

// Follow implements discover.Source.
func (s *Source) Follow(ctx context.Context, tell func(discover.Set, error)) error {
	for {
		if err := s.follow(ctx, tell); ctx.Err() == nil {
			tell(discover.Set{}, err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(reconnect):
		}
	}
}

// follow lists containers after each event, until the engine has gone.
func (s *Source) follow(ctx context.Context, tell func(discover.Set, error)) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	changed := make(chan struct{}, 1)
	change := func() {
		select {
		case changed <- struct{}{}:
		default:
		}
	}
	ended := make(chan error, 1)
	// Events are asked for before the first list, so that nothing is missed between the two.
	go func() {
		ended <- s.engine.events(ctx, change, func(ev event) {
			if s.take(ev) {
				change()
			}
		})
	}()
	timer := time.NewTimer(relist)
	defer timer.Stop()
	for soon := false; ; { // whether the timer is set for a change
		select {
		case err := <-ended:
			return err
		case <-changed:
			if !soon {
				soon = true
				timer.Reset(together)
			}
			continue
		case <-timer.C:
		}
		soon = false
		timer.Reset(relist)
		set, err := s.list(ctx)
		if err != nil {
			cancel()
			<-ended //nolint:errcheck // it ends with ctx
			return err
		}
		tell(set, nil)
	}
}

// take notes who is told to stop, and tells whether an event may have changed what is found. One that has ended is
// noted as well: Docker tells of it while it still lists the container as running.
func (s *Source) take(ev event) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case strings.HasPrefix(ev.Action, "exec_"): // a HEALTHCHECK is one, every few seconds
		return false
	case ev.Type != "container":
	case ev.Action == "die", ev.Action == "kill" && ends(ev.Actor.Attributes["signal"]):
		s.stopping[ev.Actor.ID] = true
	case ev.Action == "start", ev.Action == "destroy":
		delete(s.stopping, ev.Actor.ID)
	}
	return true
}

// ends tells whether a signal tells a container to stop: what docker stop sends, unless its image says otherwise, and
// those that images say.
func ends(signal string) bool {
	n, err := strconv.Atoi(signal)
	if err != nil {
		return false
	}
	switch syscall.Signal(n) {
	case syscall.SIGTERM, syscall.SIGINT, syscall.SIGQUIT, syscall.SIGKILL, syscall.SIGWINCH: // the last one is Apache's
		return true
	}
	return false
}

// list is the whole set.
func (s *Source) list(ctx context.Context) (discover.Set, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	all, err := s.engine.containers(ctx)
	if err != nil {
		return discover.Set{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	kept, still := all[:0], map[string]bool{}
	for i := range all {
		if s.stopping[all[i].ID] {
			still[all[i].ID] = true
		} else {
			kept = append(kept, all[i])
		}
	}
	s.stopping = still // without those whose end was not told, because the engine had gone
	return services(kept), nil
}
