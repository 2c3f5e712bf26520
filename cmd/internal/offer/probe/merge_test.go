package probe

import (
	"context"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/catalyst-router/catalyst/bgp"
)

// A service is up while one of its workloads is, and says which are not.
func TestMerge(t *testing.T) {
	at := func(s int64) time.Time { return time.Unix(s, 0) }
	of := func(all ...Status) []TargetStatus {
		var out []TargetStatus
		for i, s := range all {
			out = append(out, TargetStatus{Target{Address: "10.0.0." + string(rune('1'+i)) + ":80"}, s})
		}
		return out
	}
	up, later := Status{Health: bgp.HealthUp, Since: at(10)}, Status{Health: bgp.HealthUp, Since: at(20)}
	down, last := Status{Health: bgp.HealthDown, Since: at(5), Error: "refused"},
		Status{Health: bgp.HealthDown, Since: at(30), Error: "500", HeldUntil: at(90)}
	for name, tt := range map[string]struct {
		all  []TargetStatus
		want Status
	}{
		"none":    {nil, Status{}},
		"one":     {of(down), down},
		"both up": {of(later, up), Status{Health: bgp.HealthUp, Since: at(10)}},
		"one down": {of(down, later), Status{
			Health: bgp.HealthUp,
			Since:  at(20),
			Error:  "1 of 2 workloads are down: 10.0.0.1:80: refused",
		}},
		"all down": {of(down, last), Status{
			Health:    bgp.HealthDown,
			Since:     at(30),
			Error:     "2 of 2 workloads are down: 10.0.0.1:80: refused",
			HeldUntil: at(90),
		}},
		"not all checked": {of(Status{}, down), Status{Error: "1 of 2 workloads are down: 10.0.0.2:80: refused"}},
	} {
		if got := Merge(tt.all); got != tt.want {
			t.Errorf("%s: got %+v, want %+v", name, got, tt.want)
		}
	}
}

// A workload is reached in whichever family it listens; one that listens in neither says why.
func TestDial(t *testing.T) {
	for _, listens := range []string{"127.0.0.1:0", "[::1]:0"} {
		l, err := net.Listen("tcp", listens)
		if err != nil {
			t.Fatal(err)
		}
		_, port, _ := net.SplitHostPort(l.Addr().String())
		four, six := "127.0.0.1:"+port, "[::1]:"+port
		for _, order := range [][2]string{{four, six}, {six, four}} {
			conn, err := Dial(t.Context(), order[0], order[1])
			if err != nil || conn.RemoteAddr().String() != l.Addr().String() {
				t.Errorf("%s by %v: %v, %v", listens, order, conn, err)
			}
			if err == nil {
				_ = conn.Close()
			}
		}
		_ = l.Close()
		if _, err := Dial(t.Context(), four, six); err == nil || !strings.Contains(err.Error(), "refused") {
			t.Errorf("nobody listens: %v", err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Dial(ctx, "127.0.0.1:1", "[::1]:1"); err == nil {
		t.Error("a context that is over reaches something")
	}
}
