package ads

import (
	"context"
	"errors"

	"github.com/catalyst-router/catalyst/bgp"
	"github.com/catalyst-router/catalyst/xds"
)

// This file holds what differs from Envoy to Envoy: of the scopes of services, each seat is given those that it uses.
// A seat is what its Envoys prove themselves by: the name of a certificate, or "" for those on the Unix socket, which
// share one.

// Why Await ends without the Envoy's having a service.
var (
	ErrGone    = errors.New("nobody announces the service")
	ErrRefused = errors.New("the service is refused by Envoy, see catalyst envoy status")
)

// uses tells whether a stream's Envoy is given a resource.
func (st *stream) uses(ref xds.Ref) bool {
	if st.s.cfg.Uses == nil {
		return true
	}
	svc, ok := xds.Scoped(ref)
	return !ok || st.s.cfg.Uses(st.certified, svc)
}

// Reconsider has the Envoys of a seat given, or lose, services of which Config.Uses says something else than before.
func (s *Server) Reconsider(seat string, services []bgp.Service) {
	s.mu.Lock()
	defer s.unlock()
	for st := range s.streams {
		if st.certified != seat {
			continue
		}
		for _, svc := range services {
			st.changed(xds.ScopeOf(svc))
		}
		st.poke()
	}
	for _, svc := range services {
		s.stir(xds.ScopeOf(svc))
		s.waits.settle(xds.ScopeOf(svc)) // it may have been the only one that had not answered
	}
}

// Await waits until an Envoy of a seat has taken a service's scope, in whatever version, or until all of them have. It
// returns ErrGone if there is none, ErrRefused if the Envoy does not take it, or the cause of ctx.
func (s *Server) Await(ctx context.Context, seat string, svc bgp.Service, all bool) error {
	ref := xds.ScopeOf(svc)
	for {
		done, again, err := s.has(seat, ref, all)
		if done || err != nil {
			return err
		}
		select {
		case <-again:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// has tells whether one Envoy of a seat has a resource, or all of them, and otherwise what is closed when that may be
// different.
func (s *Server) has(seat string, ref xds.Ref, all bool) (bool, <-chan struct{}, error) {
	s.mu.Lock()
	defer s.unlock()
	e := s.view.get(ref)
	if e == nil || e.now == nil {
		return false, nil, ErrGone
	}
	having, lacking := 0, 0
	for st := range s.streams {
		sub := st.subs[ref.Type]
		switch {
		case st.certified != seat || sub == nil || !sub.covers(ref.Name):
		case sub.acked[ref.Name].version != "":
			having++
		case s.quarantine.serves(st, ref) == nil && st.uses(ref) && len(s.quarantine.refusals[st.node]) > 0:
			return false, nil, ErrRefused
		default:
			lacking++
		}
	}
	if having > 0 && (lacking == 0 || !all) {
		return true, nil, nil
	}
	again := s.awaited[ref]
	if again == nil {
		again = make(chan struct{})
		s.awaited[ref] = again
	}
	return false, again, nil
}

// stir has whoever waits for a resource look again. The caller holds mu.
func (b *books) stir(ref xds.Ref) {
	if again := b.awaited[ref]; again != nil {
		close(again)
		delete(b.awaited, ref)
	}
}

// stirAll has everybody look again: what an Envoy refuses may be what a service that is waited for needs. The caller
// holds mu.
func (b *books) stirAll() {
	for ref := range b.awaited {
		b.stir(ref)
	}
}

// Using counts the scopes of services that the Envoys of each seat have taken.
func (s *Server) Using() map[string]int {
	s.mu.Lock()
	defer s.unlock()
	n := map[string]int{}
	for st := range s.streams {
		if sub := st.subs[xds.TypeScope]; sub != nil {
			for name := range sub.acked {
				if _, ok := xds.Scoped(xds.Ref{Type: xds.TypeScope, Name: name}); ok {
					n[st.certified]++
				}
			}
		}
	}
	return n
}
