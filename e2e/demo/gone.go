package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/catalyst-router/catalyst/e2e/lab"
)

// gone stops a workload and withdraws its service.
func (s *show) gone(ctx context.Context) error {
	say("The book shop closes: its process ends, and then a withdraws the route.")
	s.stopAPI()
	if err := lab.Eventually(ctx, "books fails", func(ctx context.Context) error {
		status, body, err := s.c.Get(ctx, "books.acme.example", "/books")
		if err == nil && status == 200 {
			return errors.New("still answers")
		}
		shows("its process has ended: %d %s", status, strings.TrimSpace(body))
		return nil
	}); err != nil {
		return err
	}
	if _, err := s.a.CLI(ctx, "route", "remove", "books"); err != nil {
		return err
	}
	return lab.Eventually(ctx, "books is unknown", func(ctx context.Context) error {
		status, body, err := s.c.Get(ctx, "books.acme.example", "/books")
		if err == nil && status != 404 {
			err = fmt.Errorf("status %d", status)
		}
		if err == nil {
			shows("its route is withdrawn: %d %s", status, strings.TrimSpace(body))
		}
		return err
	})
}
