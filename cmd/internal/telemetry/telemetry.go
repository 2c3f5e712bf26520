// Package telemetry sets up what a node tells of itself: logs on standard error, traces and metrics by OTLP where
// OTEL_EXPORTER_OTLP_ENDPOINT is set, and metrics for Prometheus always. It holds no global provider.
package telemetry

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"go.opentelemetry.io/otel/exporters/otlp/otlpmetric/otlpmetricgrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
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

// New sets everything up for a node.
func New(ctx context.Context, log *slog.Logger, node, version string) (*Telemetry, error) {
	t := &Telemetry{Log: log, Tracer: noop.NewTracerProvider().Tracer(scope)}
	res := resource.NewSchemaless(semconv.ServiceName("catalyst"), semconv.ServiceInstanceID(node), semconv.ServiceVersion(version))
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	reader, err := otelprom.New(otelprom.WithRegisterer(registry), otelprom.WithoutScopeInfo())
	if err != nil {
		return nil, fmt.Errorf("set up metrics: %w", err)
	}
	options := []sdkmetric.Option{sdkmetric.WithResource(res), sdkmetric.WithReader(reader)}
	if os.Getenv("OTEL_EXPORTER_OTLP_ENDPOINT") != "" {
		traces, err1 := otlptracegrpc.New(ctx)
		metrics, err2 := otlpmetricgrpc.New(ctx)
		if err := errors.Join(err1, err2); err != nil {
			return nil, fmt.Errorf("set up OTLP: %w", err)
		}
		tp := sdktrace.NewTracerProvider(sdktrace.WithBatcher(traces), sdktrace.WithResource(res))
		t.Tracer = tp.Tracer(scope)
		t.close = append(t.close, tp.Shutdown)
		options = append(options, sdkmetric.WithReader(sdkmetric.NewPeriodicReader(metrics)))
	}
	mp := sdkmetric.NewMeterProvider(options...)
	t.Meter = mp.Meter(scope)
	t.close = append(t.close, mp.Shutdown)
	t.Metrics = promhttp.HandlerFor(registry, promhttp.HandlerOpts{})
	return t, nil
}

// Close sends what is left.
func (t *Telemetry) Close(ctx context.Context) error {
	var errs []error
	for _, f := range t.close {
		errs = append(errs, f(ctx))
	}
	return errors.Join(errs...)
}
