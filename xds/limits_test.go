package xds

import (
	"testing"
	"time"
)

func TestConnectionsAreAsYoungAsLeavesWant(t *testing.T) {
	for _, c := range []struct{ configured, life, want time.Duration }{
		{0, time.Minute, 30 * time.Second}, {0, 24 * time.Hour, time.Hour}, {0, 90 * time.Minute, 45 * time.Minute},
		{time.Minute, time.Hour, time.Minute}, {-1, time.Minute, -1}, {0, 0, time.Hour},
	} {
		if got := (Limits{MeshConnection: c.configured}).ForLeaves(c.life).MeshConnection; got != c.want {
			t.Errorf("%s, with certificates of %s: %s, want %s", c.configured, c.life, got, c.want)
		}
	}
}
