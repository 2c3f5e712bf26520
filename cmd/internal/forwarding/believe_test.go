package forwarding

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/catalyst-router/catalyst/bgp"
	"github.com/catalyst-router/catalyst/xds"
)

// Roots are in use when every Envoy has taken them, and not when they are on the disk or on the way.
func TestRootsAreInUseOnceEnvoyHasThem(t *testing.T) {
	n := start(t, func(*Config) {})
	n.Restored()
	roots := n.cfg.Identity.Material().Roots["acme.example"]
	if !n.Believe(t.Context(), "acme.example", roots) {
		t.Fatal("without an Envoy there is nobody to wait for")
	}
	if n.Believe(t.Context(), "acme.example", append([]byte("another\n"), roots...)) {
		t.Error("roots that were never compiled are in use")
	}
	stream := envoyOf(t, n)
	if err := stream.Send(&discovery.DeltaDiscoveryRequest{
		Node: &core.Node{Id: n.cfg.Node.String()}, TypeUrl: xds.TypeSecret,
		ResourceNamesSubscribe: []string{"trust", "trust/acme.example"},
	}); err != nil {
		t.Fatal(err)
	}
	out, err := stream.Recv()
	if err != nil || len(out.GetResources()) != 2 {
		t.Fatalf("got %v, %v; want two secrets", out, err)
	}
	if n.Believe(t.Context(), "acme.example", roots) {
		t.Error("an Envoy has not taken them yet")
	}
	if err := stream.Send(&discovery.DeltaDiscoveryRequest{TypeUrl: xds.TypeSecret, ResponseNonce: out.GetNonce()}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "not in use although Envoy has them", func() bool {
		return n.Believe(t.Context(), "acme.example", roots)
	})
}

// envoyOf connects to a node as its Envoy does.
func envoyOf(t *testing.T, n *node) discovery.AggregatedDiscoveryService_DeltaAggregatedResourcesClient {
	t.Helper()
	path := filepath.Join(t.TempDir(), "ads.sock")
	lis, err := (&net.ListenConfig{}).Listen(t.Context(), "unix", path)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var serving sync.WaitGroup
	serving.Go(func() {
		if err := n.ADS().Serve(ctx, lis); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() { cancel(); serving.Wait() })
	conn, err := grpc.NewClient("unix:"+path, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	stream, err := discovery.NewAggregatedDiscoveryServiceClient(conn).DeltaAggregatedResources(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return stream
}

// Whose certificates are revoked is kept out after a restart, before anybody has said it again.
func TestRevokedNodesAreKeptOutAfterARestart(t *testing.T) {
	x, y := bgp.NodeID{Org: "acme.example", Name: "x"}, bgp.NodeID{Org: "bravo.example", Name: "y"}
	leaves := []xds.Leaf{{Org: "bravo.example", Serial: "ab12"}}
	var dir string
	n := start(t, func(c *Config) { dir = c.Data })
	err := errors.Join(n.Refuse("acme.example", []bgp.NodeID{x, x}, nil),
		n.Refuse("bravo.example", []bgp.NodeID{y}, leaves))
	if err != nil {
		t.Fatal(err)
	}
	cfg := n.cfg
	cfg.Data = dir
	again := newAdmission(&cfg, func(xds.Admission) error { return nil })
	if got := again.now().Refused; !slices.Equal(got, []bgp.NodeID{x, y}) {
		t.Errorf("kept out: %v", got)
	}
	if got := again.now().Leaves; !slices.Equal(got, leaves) {
		t.Errorf("certificates kept out: %v", got)
	}
	if err := again.refuse("acme.example", nil, nil); err != nil {
		t.Fatal(err)
	}
	if got := again.now().Refused; !slices.Equal(got, []bgp.NodeID{y}) {
		t.Errorf("kept out after x joined anew: %v", got)
	}
	text, err := json.Marshal([]bgp.NodeID{x}) // as it was before certificates were among them
	if err == nil {
		err = os.WriteFile(again.refusedPath(), text, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	older := newAdmission(&cfg, func(xds.Admission) error { return nil })
	if got := older.now().Refused; !slices.Equal(got, []bgp.NodeID{x}) {
		t.Errorf("of a file of before: %v", got)
	}
}
