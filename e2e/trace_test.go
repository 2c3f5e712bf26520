//go:build e2e

package e2e

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/grpc"

	"github.com/catalyst-router/catalyst/e2e/lab"
)

// spans is a collector that keeps, for each trace, the spans as "node name".
type spans struct {
	collector.UnimplementedTraceServiceServer
	mu  sync.Mutex
	all map[string]map[string]bool
}

// Export implements the collector's service.
func (s *spans) Export(_ context.Context,
	req *collector.ExportTraceServiceRequest) (*collector.ExportTraceServiceResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, rs := range req.GetResourceSpans() {
		node := ""
		for _, kv := range rs.GetResource().GetAttributes() {
			if kv.GetKey() == "service.instance.id" {
				node = kv.GetValue().GetStringValue()
			}
		}
		for _, ss := range rs.GetScopeSpans() {
			for _, span := range ss.GetSpans() {
				id := string(span.GetTraceId())
				if s.all[id] == nil {
					s.all[id] = map[string]bool{}
				}
				s.all[id][strings.TrimPrefix(node, "acme.example/")+" "+span.GetName()] = true
			}
		}
	}
	return &collector.ExportTraceServiceResponse{}, nil
}

// One trace follows a change from the node where it was ordered, over every hop, to the acknowledgement of the last
// Envoy.
func TestOneTraceFollowsAChange(t *testing.T) {
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	s := &spans{all: map[string]map[string]bool{}}
	srv := grpc.NewServer()
	collector.RegisterTraceServiceServer(srv, s)
	go func() { _ = srv.Serve(lis) }()
	t.Cleanup(srv.Stop)
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://"+lis.Addr().String())
	t.Setenv("OTEL_BSP_SCHEDULE_DELAY", "100")
	_, n := world(t, "a b c", "a-b c-b")
	offer(t, n("a"), "books", "one")
	answers(t, n("c"), "books", "one")
	want := []string{"a envoy.acknowledge", "a route.compile", "a route.declare", "b envoy.acknowledge",
		"b route.compile", "c envoy.acknowledge", "c route.compile"}
	must(t, lab.Eventually(t.Context(), "the trace", func(context.Context) error {
		s.mu.Lock()
		defer s.mu.Unlock()
		var seen []string
		for _, trace := range s.all {
			got := slices.Sorted(maps.Keys(trace))
			if slices.Equal(got, want) {
				return nil
			}
			seen = append(seen, fmt.Sprint(got))
		}
		return errors.New(strings.Join(seen, "\n"))
	}))
}
