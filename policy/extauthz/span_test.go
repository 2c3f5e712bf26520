package extauthz

import (
	"testing"

	"go.opentelemetry.io/otel/attribute"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"google.golang.org/grpc/metadata"

	"github.com/catalyst-router/catalyst/policy"
)

// Each check has a span below that which Envoy names, or the caller if Envoy does not, with what the record of it has.
func TestACheckIsASpan(t *testing.T) {
	const (
		envoys  = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
		callers = "00-1af7651916cd43dd8448eb211c80319c-c7ad6b7169203331-01"
	)
	spans := tracetest.NewSpanRecorder()
	provider := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(spans))
	var records []policy.Record
	var engine policy.Engine // with nothing in force: every check fails
	s := New(Config{Engine: &engine, Tracer: provider.Tracer("test"), Record: func(r policy.Record) {
		records = append(records, r)
	}})
	ctx := metadata.NewIncomingContext(t.Context(), metadata.Pairs(traceparent, envoys))
	for _, in := range []func() error{
		func() error { _, err := s.Check(ctx, check("GET", "/", traceparent, callers)); return err },
		func() error { _, err := s.Check(t.Context(), check("GET", "/", traceparent, callers)); return err },
		func() error { _, err := s.Check(t.Context(), check("GET", "/", traceparent, "nonsense")); return err },
	} {
		if err := in(); err != nil {
			t.Fatal(err)
		}
	}
	all := spans.Ended()
	if len(all) != 3 || len(records) != 3 {
		t.Fatalf("%d spans, %d records", len(all), len(records))
	}
	for i, parent := range []string{"b7ad6b7169203331", "c7ad6b7169203331", "0000000000000000"} {
		if got := all[i].Parent().SpanID().String(); got != parent || all[i].Name() != "policy.check" {
			t.Errorf("%s below %s, want %s", all[i].Name(), got, parent)
		}
		attrs := attribute.NewSet(all[i].Attributes()...)
		id, _ := attrs.Value("catalyst.decision")
		allow, said := attrs.Value("catalyst.allow")
		if id.AsString() != records[i].ID || id.AsString() == "" || !said || allow.AsBool() {
			t.Errorf("span %d: %v, record %s", i, all[i].Attributes(), records[i].ID)
		}
	}
}
