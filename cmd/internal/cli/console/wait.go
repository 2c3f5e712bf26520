package console

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/catalyst-router/catalyst/graphql/operator/client"
)

// WaitReady asks the node until it serves.
func (a *App) WaitReady(ctx context.Context, most time.Duration) error {
	return Retried(ctx, most, func(ctx context.Context) error {
		resp, err := client.GetNode(ctx, a.Client())
		if err == nil && len(resp.Node.Missing) > 0 {
			err = fmt.Errorf("the node does not serve after %s: %s", most, strings.Join(resp.Node.Missing, "; "))
		}
		return err
	})
}

// Retried does something until it succeeds, for at most a time, and returns its last error; 0 does it once.
func Retried(ctx context.Context, most time.Duration, do func(context.Context) error) error {
	if most <= 0 {
		return do(ctx)
	}
	ctx, cancel := context.WithTimeout(ctx, most)
	defer cancel()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	var last error
	for {
		err := do(ctx)
		if err == nil {
			return nil
		}
		if ctx.Err() == nil || last == nil { // that the time is over is not why it does not succeed
			last = err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return last
		}
	}
}
