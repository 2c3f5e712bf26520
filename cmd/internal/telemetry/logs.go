package telemetry

import (
	"context"
	"fmt"
	"log/slog"

	"go.opentelemetry.io/contrib/bridges/otelslog"
	"go.opentelemetry.io/otel/exporters/otlp/otlplog/otlploggrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlplog/otlploghttp"
	sdklog "go.opentelemetry.io/otel/sdk/log"
	"go.opentelemetry.io/otel/sdk/resource"
)

// logs has what is logged go out by OTLP as well, at the same level; standard error keeps it. A record that is logged
// with the context of a span carries the trace's id.
func (t *Telemetry) logs(ctx context.Context, how export, res *resource.Resource) error {
	var exporter sdklog.Exporter
	var err error
	switch how.protocol {
	case protocolGRPC:
		exporter, err = otlploggrpc.New(ctx)
	case protocolHTTP:
		exporter, err = otlploghttp.New(ctx)
	default:
		return nil
	}
	if err != nil {
		return fmt.Errorf("set up OTLP logs: %w", err)
	}
	lp := sdklog.NewLoggerProvider(sdklog.WithProcessor(sdklog.NewBatchProcessor(exporter)), sdklog.WithResource(res))
	console := t.Log.Handler()
	bridge := otelslog.NewHandler(scope, otelslog.WithLoggerProvider(lp))
	t.Log = slog.New(slog.NewMultiHandler(console, levelled{console.Enabled, errorsAsText{bridge}}))
	t.close = append(t.close, lp.Shutdown)
	return nil
}

// levelled passes on what another handler would take.
type levelled struct {
	enabled func(context.Context, slog.Level) bool
	slog.Handler
}

func (h levelled) Enabled(ctx context.Context, l slog.Level) bool { return h.enabled(ctx, l) }

func (h levelled) WithAttrs(attrs []slog.Attr) slog.Handler {
	return levelled{h.enabled, h.Handler.WithAttrs(attrs)}
}

func (h levelled) WithGroup(name string) slog.Handler {
	return levelled{h.enabled, h.Handler.WithGroup(name)}
}

// errorsAsText gives errors to the next handler as strings. The bridge takes the error of a record for its one
// exception: it loses the attribute's name, and of several errors all but the last.
type errorsAsText struct{ slog.Handler }

func (h errorsAsText) Handle(ctx context.Context, r slog.Record) error {
	plain := slog.NewRecord(r.Time, r.Level, r.Message, r.PC)
	r.Attrs(func(a slog.Attr) bool {
		plain.AddAttrs(asText(a))
		return true
	})
	return h.Handler.Handle(ctx, plain)
}

func (h errorsAsText) WithAttrs(attrs []slog.Attr) slog.Handler {
	plain := make([]slog.Attr, len(attrs))
	for i, a := range attrs {
		plain[i] = asText(a)
	}
	return errorsAsText{h.Handler.WithAttrs(plain)}
}

func (h errorsAsText) WithGroup(name string) slog.Handler {
	return errorsAsText{h.Handler.WithGroup(name)}
}

func asText(a slog.Attr) slog.Attr {
	v := a.Value.Resolve()
	if v.Kind() == slog.KindGroup {
		inner := make([]slog.Attr, 0, len(v.Group()))
		for _, b := range v.Group() {
			inner = append(inner, asText(b))
		}
		return slog.Attr{Key: a.Key, Value: slog.GroupValue(inner...)}
	}
	if err, ok := v.Any().(error); ok {
		return slog.String(a.Key, err.Error())
	}
	return a
}
