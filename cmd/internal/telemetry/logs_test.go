package telemetry

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"go.opentelemetry.io/otel/trace"
	collectorlogs "go.opentelemetry.io/proto/otlp/collector/logs/v1"
	logspb "go.opentelemetry.io/proto/otlp/logs/v1"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
)

// logCollector is both kinds of collector for logs.
type logCollector struct {
	collectorlogs.UnimplementedLogsServiceServer
	got chan *logspb.LogRecord
}

func (c *logCollector) Export(_ context.Context,
	req *collectorlogs.ExportLogsServiceRequest) (*collectorlogs.ExportLogsServiceResponse, error) {
	for _, r := range req.GetResourceLogs() {
		for _, s := range r.GetScopeLogs() {
			for _, l := range s.GetLogRecords() {
				c.got <- l
			}
		}
	}
	return &collectorlogs.ExportLogsServiceResponse{}, nil
}

func (c *logCollector) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	body, err := io.ReadAll(req.Body)
	in := new(collectorlogs.ExportLogsServiceRequest)
	if err == nil {
		err = proto.Unmarshal(body, in)
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	_, _ = c.Export(req.Context(), in)
	w.Header().Set("Content-Type", "application/x-protobuf")
}

// What is logged is on standard error and at the collector: both errors of a record with their names, the trace's id
// where there is one, and nothing below the level.
func TestLogsArriveOverBothProtocols(t *testing.T) {
	c := &logCollector{got: make(chan *logspb.LogRecord, 10)}
	srv := grpc.NewServer()
	collectorlogs.RegisterLogsServiceServer(srv, c)
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- srv.Serve(l) }()
	defer func() {
		srv.Stop()
		if err := <-served; err != nil {
			t.Error(err)
		}
	}()
	web := httptest.NewServer(c)
	defer web.Close()
	for protocol, url := range map[string]string{protocolGRPC: "http://" + l.Addr().String(), protocolHTTP: web.URL} {
		t.Run(protocol, func(t *testing.T) {
			t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", url)
			t.Setenv("OTEL_EXPORTER_OTLP_PROTOCOL", protocol)
			t.Setenv("OTEL_METRICS_EXPORTER", "none")
			t.Setenv("OTEL_TRACES_EXPORTER", "none")
			var console bytes.Buffer
			tel, err := New(t.Context(), Logger(&console, "info", "text"), "acme.example/a", "test")
			if err != nil {
				t.Fatal(err)
			}
			span := trace.NewSpanContext(trace.SpanContextConfig{TraceID: [16]byte{1}, SpanID: [8]byte{2}})
			log := tel.Log.With("peer", "acme.example/b", "first", errors.New("one"))
			log.DebugContext(t.Context(), "too little to tell")
			log.WithGroup("g").WarnContext(trace.ContextWithSpanContext(t.Context(), span), "session", "second",
				errors.New("two"), slog.Group("of", "third", errors.New("three")))
			if err := tel.Close(t.Context()); err != nil { // which sends what is left
				t.Fatal(err)
			}
			r := <-c.got
			if got := r.GetBody().GetStringValue(); got != "session" || r.GetSeverityText() != "WARN" {
				t.Errorf("got %q, %s", got, r.GetSeverityText())
			}
			if id := r.GetTraceId(); len(id) != 16 || id[0] != 1 {
				t.Errorf("trace %x", id)
			}
			attributes := ""
			for _, a := range r.GetAttributes() {
				attributes += a.String() + "\n"
			}
			for _, want := range []string{"peer", "acme.example/b", "first", "one", "second", "two", "third", "three"} {
				if !strings.Contains(attributes, `"`+want+`"`) {
					t.Errorf("%s is not in\n%s", want, attributes)
				}
			}
			if !strings.Contains(console.String(), "msg=session peer=acme.example/b") {
				t.Errorf("on standard error: %s", console.String())
			}
			if len(c.got) > 0 {
				t.Errorf("one more record: %s", <-c.got)
			}
		})
	}
}
