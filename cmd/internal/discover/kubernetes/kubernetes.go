// Package kubernetes finds services among the Services of a Kubernetes cluster. A Service with the annotation
// catalyst.service is offered at the addresses of its ready endpoints, and as long as it has any:
//
//	metadata:
//	  annotations: {catalyst.service: books, catalyst.port: "80"}
//
// The annotations are the labels of containers (package labels). Services and EndpointSlices are watched: a Pod that
// becomes ready, or is told to end, counts from the moment on at which the EndpointSlice says so.
package kubernetes

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/catalyst-router/catalyst/cmd/internal/cluster"
	"github.com/catalyst-router/catalyst/cmd/internal/discover"
)

const together = 25 * time.Millisecond // in which changes are looked at as one

// Source is the Services of a cluster.
type Source struct {
	name     string
	cluster  *cluster.Cluster
	services []*cluster.Objects[cluster.Service] // by namespace
	slices   []*cluster.Objects[cluster.EndpointSlice]
	events   *events
	changed  chan struct{}
}

var _ discover.Source = (*Source)(nil)

// New returns the source of the Services in some namespaces, none for all namespaces. name is how it stands in the
// configuration.
func New(name string, c *cluster.Cluster, namespaces []string, log *slog.Logger) *Source {
	s := &Source{name: name, cluster: c, changed: make(chan struct{}, 1), events: newEvents(c, log)}
	if len(namespaces) == 0 {
		namespaces = []string{""}
	}
	for _, n := range namespaces {
		s.services = append(s.services, cluster.Follow(c, cluster.Services(), n, "", annotated, s.change))
		s.slices = append(s.slices, cluster.Follow(c, cluster.Slices(), n, cluster.ServiceNameLabel, bare, s.change))
	}
	return s
}

// annotated keeps what counts of a Service that is to be offered.
func annotated(s cluster.Service) (cluster.Service, bool) {
	if _, ok := s.Annotations[Annotation]; !ok {
		return s, false
	}
	for key := range s.Annotations {
		if !strings.HasPrefix(key, Prefix) {
			delete(s.Annotations, key)
		}
	}
	s.ManagedFields = nil
	return s, true
}

// bare keeps what counts of an EndpointSlice.
func bare(s cluster.EndpointSlice) (cluster.EndpointSlice, bool) {
	s.ManagedFields, s.Annotations, s.OwnerReferences = nil, nil, nil
	return s, s.Labels[cluster.ManagedByLabel] != cluster.Manager
}

// Name implements discover.Source.
func (s *Source) Name() string { return s.name }

func (s *Source) change() {
	select {
	case s.changed <- struct{}{}:
	default:
	}
}

// Follow implements discover.Source.
func (s *Source) Follow(ctx context.Context, tell func(discover.Set, error)) error {
	tasks, ctx := errgroup.WithContext(ctx)
	for i := range s.services {
		tasks.Go(func() error { s.services[i].Run(ctx); return nil })
		tasks.Go(func() error { s.slices[i].Run(ctx); return nil })
	}
	tasks.Go(func() error { s.events.run(ctx); return nil })
	tasks.Go(func() error { s.follow(ctx, tell); return nil })
	return tasks.Wait()
}

// follow tells what is found after each change.
func (s *Source) follow(ctx context.Context, tell func(discover.Set, error)) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.changed:
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(together):
		}
		set, services, err := s.look()
		if tell(set, err); err == nil {
			s.events.tell(set.Problems, services)
		}
	}
}

// look is the whole set, and the Services of which it was made.
func (s *Source) look() (discover.Set, []*cluster.Service, error) {
	var all []*cluster.Service
	var slicesOf []*cluster.EndpointSlice
	for i := range s.services {
		found, err := s.services[i].All()
		if err != nil {
			return discover.Set{}, nil, fmt.Errorf("services: %w", err)
		}
		all = append(all, found...)
		its, err := s.slices[i].All()
		if err != nil {
			return discover.Set{}, nil, fmt.Errorf("endpointslices: %w", err)
		}
		slicesOf = append(slicesOf, its...)
	}
	return services(all, slicesOf), all, nil
}
