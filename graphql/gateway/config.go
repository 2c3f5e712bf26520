package gateway

import (
	"cmp"
	"log/slog"
	"net/http"
	"time"

	"go.opentelemetry.io/otel/metric"
	metricnoop "go.opentelemetry.io/otel/metric/noop"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"
)

// Config is how a gateway treats its clients. The zero value serves anonymous callers, with the limits told at each
// field.
type Config struct {
	// Log, Tracer and Meter; nil means none.
	Log    *slog.Logger
	Tracer trace.Tracer
	Meter  metric.Meter

	// NoIntrospection refuses __schema and __type.
	NoIntrospection bool
	// Page answers browsers that open the endpoint itself; nil answers them as everybody else.
	Page http.Handler
	// Share lets identical queries to a subgraph that are in flight for one caller share one answer.
	Share bool

	// Labels switches labels of progressive overrides on or off; those that it does not name are on as they say:
	// percent(25) for a quarter of the requests, others never.
	Labels map[string]bool

	// CompressFrom is how many bytes an answer has at least that is compressed for a client who takes it. Zero means
	// 1,024, less than zero never.
	CompressFrom int
	// MaxBody of a request in bytes, after decompression. Zero means 2 MiB.
	MaxBody int64
	// MaxBodies of all requests in flight together, files apart, in bytes; more are refused with 503. Zero means 256 MiB.
	MaxBodies int64
	// MaxCost refuses operations whose static cost (@cost, @listSize) is higher. Zero means no limit.
	MaxCost int
	// MaxBatch is how many operations one request may hold as a JSON list. Zero means that lists are refused.
	MaxBatch int
	// MaxConcurrent operations in flight, streams apart; more are refused with 503. Zero means 2,048.
	MaxConcurrent int
	// Timeout of a query or mutation; what is there by then is answered. Zero means 30 s.
	Timeout time.Duration
	// Slow operations are logged from this duration on. Zero means 1 s, less than zero never.
	Slow time.Duration

	CSRF      CSRF
	CORS      CORS
	Documents Documents
	Headers   HeaderRules
	Identity  Identity
	Streams   Streams
	Uploads   Uploads
	Cache     Cache
}

// withDefaults fills in what is zero.
func (c Config) withDefaults() Config {
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Tracer == nil {
		c.Tracer = noop.NewTracerProvider().Tracer("")
	}
	if c.Meter == nil {
		c.Meter = metricnoop.NewMeterProvider().Meter("")
	}
	c.CompressFrom = cmp.Or(c.CompressFrom, 1024)
	c.MaxBody = cmp.Or(c.MaxBody, 2<<20)
	c.MaxBodies = cmp.Or(c.MaxBodies, 256<<20)
	c.MaxConcurrent = cmp.Or(c.MaxConcurrent, 2048)
	c.Timeout = cmp.Or(c.Timeout, 30*time.Second)
	c.Slow = cmp.Or(c.Slow, time.Second)
	c.Documents = c.Documents.withDefaults()
	c.Streams = c.Streams.withDefaults()
	c.Uploads = c.Uploads.withDefaults()
	return c
}
