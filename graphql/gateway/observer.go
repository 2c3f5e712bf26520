package gateway

import (
	"context"
	"log/slog"
	"net/http"
	"sync"
	"time"

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

// observer tells spans and metrics about requests to subgraphs. It has no state: an executor may outlive the
// gateway's interest.
type observer struct{}

// FetchStart implements exec.Observer.
func (observer) FetchStart(ctx context.Context, f exec.Fetch, header http.Header) context.Context {
	r, ok := ctx.Value(runKey{}).(*run)
	if !ok {
		return ctx
	}
	ctx, _ = r.gateway.cfg.Tracer.Start(ctx, "graphql.fetch "+f.Service, trace.WithSpanKind(trace.SpanKindClient),
		trace.WithAttributes(
			attribute.String("graphql.subgraph", f.Service), attribute.Int("graphql.entities", f.Entities),
			attribute.Bool("graphql.shared", f.Shared)))
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
	span.SetAttributes(attribute.Int("http.response.status_code", res.Status),
		attribute.Int("graphql.bytes_in", res.BytesIn),
		attribute.Int("graphql.retries", res.Retries), attribute.Int("graphql.errors", res.Errors))
	if res.Code != "" {
		span.SetStatus(codes.Error, res.Code)
	}
	span.End()
	r.gateway.figures.fetched(f, res)
	if res.Code != "" && res.Code != exec.CodeCancelled && !f.Shared {
		r.gateway.complaints.tell(r.gateway.cfg.Log, time.Now(), f, res)
	}
}

// complaintEvery is how often the log tells of failed requests to one subgraph with one code.
const complaintEvery = 10 * time.Second

// complaints logs requests to subgraphs that failed: the first at once, those that follow as a number.
type complaints struct {
	mu   sync.Mutex
	last map[complaint]told
}

type complaint struct{ subgraph, code string }

type told struct {
	at   time.Time
	left int // not told since
}

func (c *complaints) tell(log *slog.Logger, now time.Time, f exec.Fetch, res exec.FetchResult) {
	c.mu.Lock()
	defer c.mu.Unlock()
	key := complaint{f.Service, res.Code}
	last, ok := c.last[key]
	if ok && now.Sub(last.at) < complaintEvery {
		last.left++
		c.last[key] = last
		return
	}
	if c.last == nil || len(c.last) > 10_000 { // subgraphs come and go
		c.last = map[complaint]told{}
	}
	c.last[key] = told{at: now}
	log.Warn("request to a subgraph failed", "subgraph", f.Service, "code", res.Code, "status", res.Status, "operation",
		f.Operation, "took", res.Duration, "error", res.Err, "more_since", last.left)
}
