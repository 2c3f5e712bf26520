package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"syscall"

	"github.com/catalyst-router/catalyst/e2e/lab"
)

// crash kills b's control plane while traffic flows, and brings it back.
func (s *show) crash(ctx context.Context) error {
	say("Now b's control plane is killed (kill -9), while the application at c goes on calling books once every few " +
		"milliseconds:")
	pid := s.b.EnvoyPID()
	stop, result := s.traffic(ctx)
	if err := s.b.Stop(syscall.SIGKILL); err != nil {
		return err
	}
	shows("b's process is dead; its Envoy %d runs on, and a and c keep b's routes as stale", pid)
	if err := s.b.Start(ctx); err != nil {
		return err
	}
	if err := lab.Eventually(ctx, "b has its sessions back", func(ctx context.Context) error {
		out, err := s.b.CLI(ctx, "peer", "list")
		if err == nil && strings.Count(out, "Established") != 2 {
			err = errors.New("not all are established")
		}
		return err
	}); err != nil {
		return err
	}
	stop()
	r := <-result
	shows("b is back and has adopted Envoy %d: %d requests meanwhile, %d failed", s.b.EnvoyPID(), r.total, r.failed)
	if r.failed > 0 || s.b.EnvoyPID() != pid {
		return fmt.Errorf("%d of %d requests failed while b's control plane was away: %s", r.failed, r.total, r.why)
	}
	return nil
}
