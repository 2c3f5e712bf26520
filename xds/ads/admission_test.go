package ads_test

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	"github.com/catalyst-router/catalyst/xds"
	"github.com/catalyst-router/catalyst/xds/ads"
)

// serveAt serves on a listener until the test ends.
func serveAt(t *testing.T, network, address string) (*ads.Server, string) {
	t.Helper()
	s := ads.NewServer(ads.Config{Log: slog.New(slog.DiscardHandler)})
	lis, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx, lis) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	if network == "unix" {
		return s, "unix:" + lis.Addr().String()
	}
	return s, lis.Addr().String()
}

// client connects as an Envoy does.
func client(t *testing.T, target string) discovery.AggregatedDiscoveryServiceClient {
	t.Helper()
	conn, err := grpc.NewClient(target, grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.MaxCallSendMsgSize(1<<30), grpc.MaxCallRecvMsgSize(1<<30)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return discovery.NewAggregatedDiscoveryServiceClient(conn)
}

// scopeName is a long name, so that few of them make a large request: 230 bytes each, with a version.
func scopeName(i int) string {
	return fmt.Sprintf("route/s%07d.%s.acme.example", i, strings.Repeat("x", 170))
}

// reconnect sends the first request of an Envoy that has n scopes, and returns the first answer.
func reconnect(t *testing.T, c discovery.AggregatedDiscoveryServiceClient,
	n int) (*discovery.DeltaDiscoveryResponse, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
	t.Cleanup(cancel)
	stream, err := c.DeltaAggregatedResources(ctx)
	if err != nil {
		return nil, err
	}
	has := make(map[string]string, n)
	for i := range n {
		has[scopeName(i)] = "0123456789abcdef"
	}
	// its error is Recv's
	_ = stream.Send(&discovery.DeltaDiscoveryRequest{
		Node:                    &core.Node{Id: "c"},
		TypeUrl:                 xds.TypeScope,
		InitialResourceVersions: has,
	})
	return stream.Recv()
}

func scopesOf(n int) xds.Delta {
	var d xds.Delta
	for i := range n {
		d.Set = append(d.Set, xds.Resource{
			Type:    xds.TypeScope,
			Name:    scopeName(i),
			Version: "0123456789abcdef",
			Body:    []byte("x"),
		})
	}
	return d
}

// An Envoy names all that it has when it connects again: 6 MiB here, 13 with 200,000 services of usual names, where
// gRPC takes 4.
func TestAnEnvoyWithManyServicesConnectsAgain(t *testing.T) {
	const n = 30_000
	for _, network := range []string{"unix", "tcp"} {
		t.Run(network, func(t *testing.T) {
			address := "127.0.0.1:0"
			if network == "unix" {
				address = filepath.Join(t.TempDir(), "s")
			}
			s, target := serveAt(t, network, address)
			s.Publish(scopesOf(n))
			s.Publish(xds.Delta{Set: []xds.Resource{{Type: xds.TypeScope, Name: "route/new", Version: "1", Body: []byte("x")}}})
			s.Open()
			resp, err := reconnect(t, client(t, target), n)
			if err != nil || len(resp.GetResources()) != 1 || resp.GetResources()[0].GetName() != "route/new" {
				t.Fatalf("got %d resources, %v; want what is new alone", len(resp.GetResources()), err)
			}
			if cut := s.CutOffs(); len(cut) != 0 {
				t.Errorf("cut off: %+v", cut)
			}
		})
	}
}

// Over TLS a request is bounded by what the node could have sent. An Envoy above that is refused and said to be cut
// off; when the node has as much, it is served over a new connection, without being restarted.
func TestARequestBeyondWhatWasSentIsRefusedAndSaid(t *testing.T) {
	const n = 90_000 // 20 MiB
	s, target := serveAt(t, "tcp", "127.0.0.1:0")
	s.Open()
	c := client(t, target)
	_, err := reconnect(t, c, n)
	if status.Code(err) != codes.ResourceExhausted { // in gRPC's words
		t.Fatalf("got %v", err)
	}
	waitFor(t, "it is said", func() bool { return len(s.CutOffs()) == 1 })
	cut := s.CutOffs()
	if !cut[0].Expected || cut[0].Times != 1 || !strings.Contains(cut[0].Why, "Restart that Envoy") {
		t.Fatalf("cut off: %+v", cut)
	}
	s.Publish(scopesOf(n))
	waitFor(t, "the Envoy is served over a new connection", func() bool {
		_, err := reconnect(t, c, n) // nothing to send is an empty answer
		return err == nil
	})
	if cut := s.CutOffs(); len(cut) != 0 {
		t.Errorf("still cut off: %+v", cut)
	}
}

// Sixty-four Envoys are served; one more is told so, and counts as cut off until there is a place.
func TestThePlacesAreBounded(t *testing.T) {
	s, target := serveAt(t, "tcp", "127.0.0.1:0")
	s.Open()
	c := client(t, target)
	ctx, leave := context.WithCancel(t.Context())
	for range 64 {
		stream, err := client(t, target).DeltaAggregatedResources(ctx)
		if err != nil {
			t.Fatal(err)
		}
		_ = stream.Send(&discovery.DeltaDiscoveryRequest{Node: &core.Node{Id: "other"}, TypeUrl: xds.TypeCluster})
		if _, err := stream.Recv(); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := reconnect(t, c, 1); status.Code(err) != codes.ResourceExhausted {
		t.Fatalf("got %v", err)
	}
	if cut := s.CutOffs(); len(cut) != 1 || !strings.Contains(cut[0].Why, "64 Envoys are connected") {
		t.Errorf("cut off: %+v", cut)
	}
	leave()
	waitFor(t, "a place is free", func() bool { _, err := reconnect(t, c, 1); return err == nil })
}

// A connection that says nothing ends by itself, and Serve ends with its context whatever is connected.
func TestServeEndsWithItsConnections(t *testing.T) {
	s := ads.NewServer(ads.Config{Log: slog.New(slog.DiscardHandler)})
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx, lis) }()
	mute, err := net.Dial("tcp", lis.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer mute.Close()
	stream, err := client(t, lis.Addr().String()).DeltaAggregatedResources(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	_ = stream.Send(&discovery.DeltaDiscoveryRequest{Node: &core.Node{Id: "c"}, TypeUrl: xds.TypeCluster})
	waitFor(t, "the Envoy is connected", func() bool { return len(s.Status()) == 1 })
	cancel()
	select {
	case err := <-done:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(patience):
		t.Fatal("Serve does not end")
	}
	if _, err := stream.Recv(); err == nil {
		t.Error("the stream goes on")
	}
	if len(s.Status()) != 0 {
		t.Error("a stream is still in the books")
	}
}
