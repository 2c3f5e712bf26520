package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/catalyst-router/catalyst/e2e/lab"
)

// broken breaks a hop on purpose and lets trace find it.
func (s *show) broken(ctx context.Context) error {
	say("A hop is broken on purpose: stock is announced again at a, with a port where nobody listens. At c: catalyst " +
		"trace stock")
	if _, err := s.a.CLI(ctx, "route", "update", "stock", "--addr", "127.0.0.1:1", "--protocol", "grpc"); err != nil {
		return err
	}
	if err := s.traceSays(ctx, "Broken at acme.example/a, backend"); err != nil {
		return err
	}
	shows("The address is put right, and trace finds nothing:")
	if _, err := s.a.CLI(ctx, "route", "update", "stock", "--addr", s.rpcAddr, "--protocol", "grpc"); err != nil {
		return err
	}
	return s.traceSays(ctx, "Everything on the way holds")
}

// traceSays waits until a trace of stock at c says something, and shows it: all of what is broken, or the last line
// of what is not.
func (s *show) traceSays(ctx context.Context, want string) error {
	return lab.Eventually(ctx, "trace says: "+want, func(ctx context.Context) error {
		out, err := s.c.CLI(ctx, "trace", "stock")
		if !strings.Contains(out, want) {
			return errors.Join(err, fmt.Errorf("it says %s", out))
		}
		lines := strings.Split(strings.TrimSpace(out), "\n")
		if err == nil {
			lines = lines[len(lines)-1:]
		}
		fmt.Print("    " + strings.Join(lines, "\n    ") + "\n")
		return nil
	})
}
