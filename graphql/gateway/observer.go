package gateway

import (
	"context"
	"net/http"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"github.com/catalyst-router/catalyst/graphql/exec"
)

// run is one operation on its way; it travels in the context, so that the observer of fetches knows whose they are.
type run struct {
	gateway         *Gateway
	operation, kind string
}

type runKey struct{}

// observer tells spans and metrics about requests to subgraphs. It has no state: an executor may outlive the gateway's interest.
type observer struct{}

// FetchStart implements exec.Observer.
func (observer) FetchStart(ctx context.Context, f exec.Fetch, header http.Header) context.Context {
	r, ok := ctx.Value(runKey{}).(*run)
	if !ok {
		return ctx
	}
	ctx, _ = r.gateway.cfg.Tracer.Start(ctx, "graphql.fetch "+f.Service, trace.WithSpanKind(trace.SpanKindClient), trace.WithAttributes(
		attribute.String("graphql.subgraph", f.Service), attribute.Int("graphql.entities", f.Entities), attribute.Bool("graphql.shared", f.Shared)))
	if header != nil {
		propagation.TraceContext{}.Inject(ctx, propagation.HeaderCarrier(header))
	}
	return ctx
}

// FetchEnd implements exec.Observer.
func (observer) FetchEnd(ctx context.Context, f exec.Fetch, res exec.FetchResult) {
	r, ok := ctx.Value(runKey{}).(*run)
	if !ok {
		return
	}
	span := trace.SpanFromContext(ctx)
	span.SetAttributes(attribute.Int("http.response.status_code", res.Status), attribute.Int("graphql.bytes_in", res.BytesIn),
		attribute.Int("graphql.retries", res.Retries), attribute.Int("graphql.errors", res.Errors))
	if res.Code != "" {
		span.SetStatus(codes.Error, res.Code)
	}
	span.End()
	r.gateway.figures.fetched(f, res)
}
