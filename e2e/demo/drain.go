package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"syscall"

	"github.com/catalyst-router/catalyst/e2e/examples"
	"github.com/catalyst-router/catalyst/e2e/lab"
)

// drain takes a node out for maintenance while traffic flows through it.
func (s *show) drain(ctx context.Context) error {
	say("Maintenance without a failed request: d joins beside a, with the book shop too. a is drained, then stopped " +
		"for good; c goes on calling.")
	d, err := s.Add(ctx, "d")
	if err != nil {
		return err
	}
	second, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	go serve("second shop", func() error {
		return examples.ServeHTTP(ctx, second,
			examples.HTTPAPI("the book shop beside d"))
	})
	if _, err := d.CLI(ctx, "route", "add", "books", "--addr", second.Addr().String()); err != nil {
		return err
	}
	if err := lab.Peer(ctx, d, s.b); err != nil {
		return err
	}
	if err := s.bothShops(ctx); err != nil {
		return err
	}
	stop, result := s.traffic(ctx)
	shows("at a: catalyst drain")
	if _, err := s.a.CLI(ctx, "drain"); err != nil {
		return err
	}
	if err := s.onlyFrom(ctx, "the book shop beside d"); err != nil {
		return err
	}
	shows("all traffic has moved to d; a is stopped for good (SIGINT)")
	err = s.a.Stop(syscall.SIGINT)
	for range 20 { // and traffic goes on for a while
		if _, more := s.shops(ctx); more != nil {
			err = errors.Join(err, more)
		}
	}
	stop()
	r := <-result
	shows("%d requests meanwhile, %d failed", r.total, r.failed)
	if r.failed > 0 {
		err = errors.Join(err, fmt.Errorf("%d of %d requests failed while a was drained: %s", r.failed, r.total, r.why))
	}
	if err != nil {
		return err
	}
	return s.restarted(ctx, d)
}

// restarted brings a back, and lets d go.
func (s *show) restarted(ctx context.Context, d *lab.Node) error {
	if err := s.a.Start(ctx); err != nil {
		return err
	}
	if _, err := s.a.CLI(ctx, "drain", "--off"); err != nil {
		return err
	}
	if err := s.bothShops(ctx); err != nil {
		return err
	}
	shows("a is back from maintenance, and d leaves")
	if _, err := d.CLI(ctx, "route", "remove", "books"); err != nil {
		return err
	}
	return errors.Join(s.onlyFrom(ctx, "the book shop beside a"), d.Stop(syscall.SIGINT))
}

// bothShops waits until c's requests are shared by the shops beside a and d.
func (s *show) bothShops(ctx context.Context) error {
	return lab.Eventually(ctx, "both shops answer", func(ctx context.Context) error {
		seen, err := s.shops(ctx)
		if err == nil && len(seen) != 2 {
			err = fmt.Errorf("answers come from %v", seen)
		}
		return err
	})
}

// onlyFrom waits until all of c's requests are answered by one shop.
func (s *show) onlyFrom(ctx context.Context, shop string) error {
	return lab.Eventually(ctx, "only "+shop+" answers", func(ctx context.Context) error {
		seen, err := s.shops(ctx)
		if err == nil && (len(seen) != 1 || !seen[shop]) {
			err = fmt.Errorf("answers come from %v", seen)
		}
		return err
	})
}

// shops asks for books a few times, and returns who answered.
func (s *show) shops(ctx context.Context) (map[string]bool, error) {
	seen := map[string]bool{}
	for range 12 {
		instance, _, err := s.askHTTP(ctx)
		if err != nil {
			return nil, err
		}
		seen[instance] = true
	}
	return seen, nil
}
