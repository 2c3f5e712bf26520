package ads

import (
	"log/slog"
	"slices"
	"testing"

	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"

	"github.com/catalyst-router/catalyst/xds"
)

// A service's name comes after the workloads and next hops that it names, in one response and over several: an Envoy
// that has the name without the workload sends to the backups, and two nodes would send a request to each other.
func TestWhatIsNamedComesFirst(t *testing.T) {
	s := NewServer(Config{Log: slog.New(slog.DiscardHandler)})
	s.Open()
	st, err := newStream(t.Context(), s)
	if err != nil || s.places.join(st) != nil {
		t.Fatal(err)
	}
	if err := s.request(st, &discovery.DeltaDiscoveryRequest{TypeUrl: xds.TypeCluster}); err != nil {
		t.Fatal(err)
	}
	s.told.next(st)
	var d xds.Delta
	for i := range leastBatch + 10 { // so that one response has both
		name := string(rune('a'+i%26)) + string(rune('a'+i/26%26))
		for _, prefix := range []string{"http/", "local/", "hops/"} {
			d.Set = append(d.Set, xds.Resource{Type: xds.TypeCluster, Name: prefix + name, Version: "1"})
		}
	}
	s.Publish(d)
	var got []string
	for {
		resp, _ := s.told.next(st)
		if resp == nil {
			break
		}
		for _, r := range resp.GetResources() {
			got = append(got, r.GetName())
		}
	}
	first := slices.IndexFunc(got, func(n string) bool { return !xds.IsNamed(n) })
	if len(got) != len(d.Set) || slices.ContainsFunc(got[first:], xds.IsNamed) {
		t.Errorf("%d resources, and some that are named come after number %d, which names", len(got), first)
	}
}
