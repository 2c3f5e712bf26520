package main

import (
	"context"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/catalyst-router/catalyst/e2e/examples"
	"github.com/catalyst-router/catalyst/e2e/lab"
)

// live adds a service while everything runs.
func (s *show) live(ctx context.Context) error {
	say("A service added live: films, beside b.")
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	go serve("films", func() error { return examples.ServeHTTP(ctx, l, examples.HTTPAPI("the cinema beside b")) })
	if status, body, err := s.c.Get(ctx, "films.acme.example", "/books"); err == nil {
		shows("before: %d %s", status, strings.TrimSpace(body))
	}
	began := time.Now()
	if _, err := s.b.CLI(ctx, "route", "add", "films", "--addr", l.Addr().String()); err != nil {
		return err
	}
	err = lab.Eventually(ctx, "films answers", func(ctx context.Context) error {
		status, _, err := s.c.Get(ctx, "films.acme.example", "/books")
		if err == nil && status != 200 {
			err = fmt.Errorf("status %d", status)
		}
		return err
	})
	shows("after: 200 at c, %s after the command was typed at b", time.Since(began).Round(time.Millisecond))
	return err
}
