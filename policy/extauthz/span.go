package extauthz

import (
	"context"

	auth "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"go.opentelemetry.io/otel/attribute"
	otelcodes "go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/grpc/metadata"
)

const traceparent = "traceparent" // W3C Trace Context §3.2

// begin starts the span of a check, below Envoy's if that says which it is, else below the caller's.
func (s *Server) begin(ctx context.Context, req *auth.CheckRequest) (context.Context, trace.Span) {
	if s.cfg.Tracer == nil {
		return ctx, nil
	}
	var parent string
	if in := metadata.ValueFromIncomingContext(ctx, traceparent); len(in) == 1 {
		parent = in[0]
	} else {
		http := req.GetAttributes().GetRequest().GetHttp()
		parent = http.GetHeaders()[traceparent]
		for _, h := range http.GetHeaderMap().GetHeaders() {
			if h.GetKey() == traceparent {
				parent = valueOf(h)
			}
		}
	}
	ctx = propagation.TraceContext{}.Extract(ctx, propagation.MapCarrier{traceparent: parent})
	return s.cfg.Tracer.Start(ctx, "policy.check", trace.WithSpanKind(trace.SpanKindServer))
}

// finish says in a check's span what came of it, as the record of it does, and ends it.
func finish(span trace.Span, v *verdict) {
	if span == nil {
		return
	}
	if span.IsRecording() {
		span.SetAttributes(
			attribute.String("catalyst.decision", v.record.ID), attribute.String("catalyst.action", v.record.Action()),
			attribute.String("catalyst.service", v.record.Call.Service),
			attribute.String("catalyst.principal", v.record.Principal()), attribute.Bool("catalyst.allow", v.outcome == allow),
			attribute.StringSlice("catalyst.policies", v.record.Decision.Policies))
		if v.outcome == failed {
			span.SetStatus(otelcodes.Error, "it cannot be decided here now")
		}
	}
	span.End()
}
