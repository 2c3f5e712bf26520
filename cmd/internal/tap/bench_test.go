package tap

import (
	"testing"

	data "github.com/envoyproxy/go-control-plane/envoy/data/accesslog/v3"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"google.golang.org/protobuf/proto"

	"github.com/catalyst-router/catalyst/xds"
)

// What the node does for a call that it is told of, with figures that somebody collects.
func BenchmarkTake(b *testing.B) {
	tap := newTap(b, 64<<20)
	var err error
	reader := sdkmetric.NewManualReader()
	tap.metrics, err = newMetrics(sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader)).Meter("bench"), tap)
	if err != nil {
		b.Fatal(err)
	}
	raw, err := proto.Marshal(entry("books.acme.example", 200, nil))
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		var e data.HTTPAccessLogEntry
		if err := proto.Unmarshal(raw, &e); err != nil {
			b.Fatal(err)
		}
		tap.take(xds.TapEgress, "", []*Call{ofRequest(&e)})
	}
}
