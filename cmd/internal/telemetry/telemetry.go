// Package telemetry sets up what a node tells of itself: logs on standard error and metrics for Prometheus always;
// traces, metrics and logs by OTLP (over gRPC or HTTP) where the environment asks for it. It holds no global provider.
package telemetry

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/exporters/otlp/otlpmetric/otlpmetricgrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlpmetric/otlpmetrichttp"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	otelprom "go.opentelemetry.io/otel/exporters/prometheus"
	"go.opentelemetry.io/otel/metric"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	semconv "go.opentelemetry.io/otel/semconv/v1.37.0"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"
)

// Telemetry is what a node's parts are given.
type Telemetry struct {
	Log    *slog.Logger
	Tracer trace.Tracer
	Meter  metric.Meter
	// Metrics serves /metrics.
	Metrics http.Handler
	// Collect adds metrics to those that Metrics serves, which are not Meter's.
	Collect func(prometheus.Collector) error
	close   []func(context.Context) error
}

const scope = "github.com/catalyst-router/catalyst"

// Logger returns the logger that a configuration asks for.
func Logger(w io.Writer, level, format string) *slog.Logger {
	var l slog.Level
	_ = l.UnmarshalText([]byte(level)) // the configuration has been checked
	opts := &slog.HandlerOptions{Level: l}
	if format == "json" {
		return slog.New(slog.NewJSONHandler(w, opts))
	}
	return slog.New(slog.NewTextHandler(w, opts))
}

// CaptureStandardLog has what libraries write to Go's standard logger, and what the OpenTelemetry SDK complains of,
// written by l, so that every line has its form. The function that it returns undoes the former. It is for a
// process's main part: both are the process's, not a node's.
func CaptureStandardLog(l *slog.Logger) (undo func()) {
	std := slog.NewLogLogger(l.Handler(), slog.LevelWarn)
	writer, flags := log.Writer(), log.Flags()
	log.SetOutput(std.Writer())
	log.SetFlags(0)
	otel.SetLogger(logr.FromSlogHandler(l.Handler())) // which writes to standard error otherwise
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) {
		l.Warn("telemetry is not exported", "error",
			err.Error())
	}))
	return func() {
		log.SetOutput(writer)
		log.SetFlags(flags)
	}
}

// New sets everything up for a node. Variables of the OpenTelemetry specification that would be ignored in silence
// are an error that names them.
func New(ctx context.Context, log *slog.Logger, node, version string) (*Telemetry, error) {
	t := &Telemetry{Log: log, Tracer: noop.NewTracerProvider().Tracer(scope)}
	env := processEnvironment()
	spans, err1 := env.export(traces)
	readings, err2 := env.export(metrics)
	records, err3 := env.export(logs)
	if err := once(env.check(), err1, err2, err3); err != nil {
		return nil, fmt.Errorf("set up OTLP: %w", err)
	}
	res, err := resource.New(ctx, // what the environment says comes last and wins
		resource.WithAttributes(semconv.ServiceName("catalyst"), semconv.ServiceInstanceID(node),
			semconv.ServiceVersion(version)),
		resource.WithTelemetrySDK(), resource.WithFromEnv())
	if err != nil {
		return nil, fmt.Errorf("OTEL_RESOURCE_ATTRIBUTES: %w", err)
	}
	if err := errors.Join(t.traces(ctx, spans, res), t.metrics(ctx, readings, res)); err != nil {
		return nil, err
	}
	return t, t.logs(ctx, records, res)
}

func (t *Telemetry) traces(ctx context.Context, how export, res *resource.Resource) error {
	var exporter sdktrace.SpanExporter
	var err error
	switch how.protocol {
	case protocolGRPC:
		exporter, err = otlptracegrpc.New(ctx)
	case protocolHTTP:
		exporter, err = otlptracehttp.New(ctx)
	default:
		return nil
	}
	if err != nil {
		return fmt.Errorf("set up OTLP traces: %w", err)
	}
	tp := sdktrace.NewTracerProvider(sdktrace.WithBatcher(exporter), sdktrace.WithResource(res))
	t.Tracer = tp.Tracer(scope)
	t.close = append(t.close, tp.Shutdown)
	return nil
}

func (t *Telemetry) metrics(ctx context.Context, how export, res *resource.Resource) error {
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	reader, err := otelprom.New(otelprom.WithRegisterer(registry), otelprom.WithoutScopeInfo())
	if err != nil {
		return fmt.Errorf("set up metrics: %w", err)
	}
	options := []sdkmetric.Option{sdkmetric.WithResource(res), sdkmetric.WithReader(reader)}
	var exporter sdkmetric.Exporter
	switch how.protocol {
	case protocolGRPC:
		exporter, err = otlpmetricgrpc.New(ctx)
	case protocolHTTP:
		exporter, err = otlpmetrichttp.New(ctx)
	}
	if err != nil {
		return fmt.Errorf("set up OTLP metrics: %w", err)
	}
	if exporter != nil {
		options = append(options, sdkmetric.WithReader(sdkmetric.NewPeriodicReader(exporter)))
	}
	mp := sdkmetric.NewMeterProvider(options...)
	t.Meter = mp.Meter(scope)
	t.close = append(t.close, mp.Shutdown)
	t.Collect = registry.Register
	// OpenMetrics, for whoever asks for it, has exemplars: a trace for a figure.
	t.Metrics = promhttp.HandlerFor(registry, promhttp.HandlerOpts{EnableOpenMetrics: true})
	return nil
}

// lastWords is for how long what is left may take to be sent: a back end that is away does not keep a node from ending.
const lastWords = 3 * time.Second

// Close sends what is left, traces, metrics and logs at once, for as long as lastWords.
func (t *Telemetry) Close(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, lastWords)
	defer cancel()
	errs := make([]error, len(t.close))
	var all sync.WaitGroup
	for i, f := range t.close {
		all.Go(func() { errs[i] = f(ctx) })
	}
	all.Wait()
	return errors.Join(errs...)
}
