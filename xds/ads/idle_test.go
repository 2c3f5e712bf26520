package ads_test

import (
	"context"
	"flag"
	"net"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health"
	health1 "google.golang.org/grpc/health/grpc_health_v1"

	"github.com/catalyst-router/catalyst/bgp"
	"github.com/catalyst-router/catalyst/xds"
)

// idle is long enough for three pings of Envoy's too many, which grpc-go ends a connection at. Envoys ping every second
// here; with -idle longer than a minute, as often as they do at nodes.
var idle = flag.Duration("idle", 8*time.Second, "how long an Envoy has nothing to say")

// Where Envoy meets a gRPC server, an idle connection has to last: the ADS stream of an Envoy to which nothing
// happens, and the stream of a call to a workload that says nothing for a while, here grpc.health.v1.Health/Watch of
// a server as grpc-go makes it.
func TestIdleStreamsLast(t *testing.T) {
	t.Parallel()
	const greeter = bgp.Service("greeter.acme.example")
	org := newAuthority(t, "acme.example")
	often := func(p *plane) {
		if *idle <= time.Minute {
			p.cfg.Pings = time.Second
		}
	}
	a, c := newPlaneConfigured(t, org, "a", often), newPlaneConfigured(t, org, "c", often)
	for _, p := range []*plane{a, c} {
		p.server.Open()
	}
	a.apply(to(greeter, bgp.GRPC, []xds.Target{backend(grpcWorkload(t))}))
	c.apply(to(greeter, bgp.GRPC, []xds.Target{a.hop()}))
	waitFor(t, "both Envoys are connected", func() bool { return len(a.server.Status())+len(c.server.Status()) == 2 })
	since := []time.Time{a.server.Status()[0].Since, c.server.Status()[0].Since}

	conn, err := grpc.NewClient(c.egress, grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithAuthority(string(greeter)))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	var watch health1.Health_WatchClient
	waitFor(t, "the call goes through", func() bool {
		if watch, err = health1.NewHealthClient(conn).Watch(t.Context(), &health1.HealthCheckRequest{}); err != nil {
			return false
		}
		_, err = watch.Recv()
		return err == nil
	})
	ended := make(chan error, 1)
	go func() { _, err := watch.Recv(); ended <- err }()
	select {
	case err := <-ended:
		t.Errorf("a call that says nothing has ended: %v", err)
	case <-time.After(*idle):
	}
	for i, p := range []*plane{a, c} {
		if now := p.server.Status(); len(now) != 1 || !now[0].Since.Equal(since[i]) {
			t.Errorf("the Envoy of %s lost its idle ADS stream: connected at %s, now %+v", p.id, since[i], now)
		}
	}
}

// grpcWorkload serves grpc.health.v1 with the defaults of grpc-go.
func grpcWorkload(t *testing.T) string {
	t.Helper()
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	srv := grpc.NewServer()
	health1.RegisterHealthServer(srv, health.NewServer())
	done := make(chan struct{})
	go func() { defer close(done); _ = srv.Serve(lis) }()
	stop := context.AfterFunc(t.Context(), srv.Stop)
	t.Cleanup(func() { stop(); srv.Stop(); <-done })
	return lis.Addr().String()
}
