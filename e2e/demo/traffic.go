package main

import (
	"context"
	"fmt"
	"time"
)

type traffic struct {
	total, failed int
	why           string
}

// traffic calls books until it is stopped.
func (s *show) traffic(ctx context.Context) (stop context.CancelFunc, result <-chan traffic) {
	stopped := make(chan struct{})
	out := make(chan traffic, 1)
	go func() {
		var r traffic
		tick := time.NewTicker(3 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-stopped:
				out <- r
				return
			case <-tick.C:
			}
			status, body, err := s.c.Get(ctx, "books.acme.example", "/books")
			r.total++
			if err != nil || status != 200 {
				r.failed++
				r.why = fmt.Sprint(status, body, err)
			}
		}
	}()
	return func() { close(stopped) }, out
}
