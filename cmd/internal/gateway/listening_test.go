package gateway

import (
	"context"
	"strings"
	"testing"
	"time"
)

// A node is not ready before its gateway listens, nor after that has ended.
func TestReadinessCountsTheListener(t *testing.T) {
	g, _ := configured(t, "", map[string]string{"gateway-listen": "127.0.0.1:0"})
	silent := func(when string) {
		t.Helper()
		if why := g.NotListening(); !strings.Contains(why, "127.0.0.1:0 (gateway.listen)") {
			t.Errorf("%s: %q, want the address and its field", when, why)
		}
	}
	silent("before it runs")
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	done := make(chan error, 1)
	l, err := g.Listen(ctx)
	if err != nil {
		t.Fatal(err)
	}
	go func() { done <- g.Run(ctx, l) }()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for g.NotListening() != "" && ctx.Err() == nil {
		<-tick.C
	}
	if why := g.NotListening(); why != "" {
		t.Error(why)
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	silent("after it ran")
}
