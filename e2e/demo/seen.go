package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/catalyst-router/catalyst/e2e/lab"
)

// seen shows calls as an operator sees them: a line each, whatever the nodes that they crossed.
func (s *show) seen(ctx context.Context) error {
	say("What passes is seen at every node. The newest call of books at c: catalyst tap books --recent 1")
	if err := s.tapped(ctx, s.c, "books", "--recent", "1"); err != nil {
		return err
	}
	say("And what was denied at a in the last minute: catalyst tap --denied --last 1m")
	return s.tapped(ctx, s.a, "--denied", "--last", "1m", "--recent", "2")
}

func (s *show) tapped(ctx context.Context, at *lab.Node, args ...string) error {
	return lab.Eventually(ctx, "the calls are told", func(ctx context.Context) error {
		out, err := at.CLI(ctx, append([]string{"tap"}, args...)...)
		if err == nil && strings.TrimSpace(out) == "" {
			err = errors.New("none yet")
		}
		if err == nil {
			fmt.Print("    " + strings.ReplaceAll(strings.TrimSpace(out), "\n", "\n    ") + "\n")
		}
		return err
	})
}
