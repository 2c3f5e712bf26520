package telemetry

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
)

func TestTheEnvironmentIsHonouredOrRefusedByName(t *testing.T) {
	const endpoint = "OTEL_EXPORTER_OTLP_ENDPOINT"
	for _, c := range []struct {
		name     string
		env      map[string]string
		protocol string // of traces
		refused  string
	}{
		{"nothing set", nil, "", ""},
		{"endpoint alone", map[string]string{endpoint: "http://127.0.0.1:4317"}, protocolGRPC, ""},
		{"HTTP", map[string]string{endpoint: "http://127.0.0.1:4318", "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf"},
			protocolHTTP, ""},
		{"a signal's own protocol", map[string]string{
			endpoint: "http://127.0.0.1:4317", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc",
			"OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "http/protobuf",
		}, protocolHTTP, ""},
		{"a signal's own endpoint", map[string]string{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://127.0.0.1:4317"},
			protocolGRPC, ""},
		{"asked for without endpoint", map[string]string{"OTEL_TRACES_EXPORTER": "otlp"}, protocolGRPC, ""},
		{"not wanted", map[string]string{endpoint: "http://127.0.0.1:4317", "OTEL_TRACES_EXPORTER": "none"}, "", ""},
		{"disabled", map[string]string{endpoint: "nonsense", "OTEL_SDK_DISABLED": "true"}, "", ""},
		{"TLS", map[string]string{endpoint: "https://127.0.0.1:4317", "OTEL_EXPORTER_OTLP_CERTIFICATE": "ca.pem"},
			protocolGRPC, ""},
		{"a certificate without TLS", map[string]string{endpoint: "http://127.0.0.1:4317",
			"OTEL_EXPORTER_OTLP_CERTIFICATE": "ca.pem"}, "",
			"OTEL_EXPORTER_OTLP_CERTIFICATE is set, but OTEL_EXPORTER_OTLP_ENDPOINT is http://"},
		{"a signal's certificate without TLS",
			map[string]string{endpoint: "http://127.0.0.1:4317", "OTEL_EXPORTER_OTLP_TRACES_CLIENT_KEY": "k.pem"}, "",
			"OTEL_EXPORTER_OTLP_TRACES_CLIENT_KEY is set"},
		{"no URL", map[string]string{endpoint: "127.0.0.1:4317"}, "", "OTEL_EXPORTER_OTLP_ENDPOINT: want a URL"},
		{"JSON", map[string]string{endpoint: "http://127.0.0.1:4318", "OTEL_EXPORTER_OTLP_PROTOCOL": "http/json"}, "",
			"OTEL_EXPORTER_OTLP_PROTOCOL=http/json"},
		{"another exporter", map[string]string{"OTEL_TRACES_EXPORTER": "zipkin"}, "", "OTEL_TRACES_EXPORTER=zipkin"},
		{"another sampler", map[string]string{"OTEL_TRACES_SAMPLER": "jaeger_remote"}, "",
			"OTEL_TRACES_SAMPLER=jaeger_remote"},
		{"another propagator", map[string]string{"OTEL_PROPAGATORS": "tracecontext,b3"}, "", "OTEL_PROPAGATORS=b3"},
		{"a time that is none", map[string]string{"OTEL_EXPORTER_OTLP_TIMEOUT": "10s"}, "",
			"OTEL_EXPORTER_OTLP_TIMEOUT=10s: want a whole number of milliseconds"},
		{"a queue that is none", map[string]string{"OTEL_BSP_MAX_QUEUE_SIZE": "many"}, "",
			"OTEL_BSP_MAX_QUEUE_SIZE=many: want a whole number of records"},
		{"an interval", map[string]string{"OTEL_METRIC_EXPORT_INTERVAL": "1000"}, "", ""},
		{"another compression", map[string]string{"OTEL_EXPORTER_OTLP_LOGS_COMPRESSION": "zstd"}, "",
			"OTEL_EXPORTER_OTLP_LOGS_COMPRESSION=zstd"},
		{"a share that is none", map[string]string{"OTEL_TRACES_SAMPLER": "traceidratio", "OTEL_TRACES_SAMPLER_ARG": "10%"}, "",
			"OTEL_TRACES_SAMPLER_ARG=10%: want a share of 0 to 1"},
		{"another exporter of logs", map[string]string{"OTEL_LOGS_EXPORTER": "syslog"}, "", "OTEL_LOGS_EXPORTER=syslog"},
		{"logs on the console", map[string]string{"OTEL_LOGS_EXPORTER": "console"}, "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			e := environment{func(name string) string { return c.env[name] }}
			how, err := e.export(traces)
			if err == nil {
				_, err = e.export(logs)
			}
			if err == nil {
				err = e.check()
			}
			if c.refused == "" {
				if err != nil || how.protocol != c.protocol {
					t.Errorf("got %q, %v, want %q", how.protocol, err, c.protocol)
				}
			} else if err == nil || !strings.Contains(err.Error(), c.refused) {
				t.Errorf("got %v, want %q in it", err, c.refused)
			}
		})
	}
}

// received takes spans' resource attributes from both kinds of collector.
type received struct {
	collector.UnimplementedTraceServiceServer
	names chan string
}

func (r *received) Export(_ context.Context,
	req *collector.ExportTraceServiceRequest) (*collector.ExportTraceServiceResponse, error) {
	for _, span := range req.GetResourceSpans() {
		for _, a := range span.GetResource().GetAttributes() {
			if a.GetKey() == "service.name" {
				r.names <- a.GetValue().GetStringValue()
			}
		}
	}
	return &collector.ExportTraceServiceResponse{}, nil
}

func (r *received) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	body, err := io.ReadAll(req.Body)
	in := new(collector.ExportTraceServiceRequest)
	if err == nil {
		err = proto.Unmarshal(body, in)
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	_, _ = r.Export(req.Context(), in)
	w.Header().Set("Content-Type", "application/x-protobuf")
}

func TestSpansArriveOverBothProtocols(t *testing.T) {
	got := &received{names: make(chan string, 10)}
	srv := grpc.NewServer()
	collector.RegisterTraceServiceServer(srv, got)
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
	web := httptest.NewServer(got)
	defer web.Close()
	for protocol, url := range map[string]string{protocolGRPC: "http://" + l.Addr().String(), protocolHTTP: web.URL} {
		t.Run(protocol, func(t *testing.T) {
			t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", url)
			t.Setenv("OTEL_EXPORTER_OTLP_PROTOCOL", protocol)
			t.Setenv("OTEL_METRICS_EXPORTER", "none")
			t.Setenv("OTEL_LOGS_EXPORTER", "none")
			t.Setenv("OTEL_SERVICE_NAME", "mine "+protocol)
			tel, err := New(t.Context(), slog.New(slog.DiscardHandler), "acme.example/a", "test")
			if err != nil {
				t.Fatal(err)
			}
			_, span := tel.Tracer.Start(t.Context(), "x")
			span.End()
			if err := tel.Close(t.Context()); err != nil { // which sends what is left
				t.Fatal(err)
			}
			if name := <-got.names; name != "mine "+protocol {
				t.Errorf("the span came from %q", name)
			}
		})
	}
}

// What libraries write has the log's form as well: a collector that reads JSON lines stumbles over any other.
func TestEveryLineIsJSON(t *testing.T) {
	var out bytes.Buffer
	l := Logger(&out, "info", "json")
	undo := CaptureStandardLog(l)
	log.Print("http: TLS handshake error from 127.0.0.1:1: EOF")
	otel.Handle(io.ErrUnexpectedEOF)
	// The SDK has a log of its own as well: it is told there of what it does not understand.
	t.Setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "soon")
	if _, err := otlptracegrpc.New(t.Context()); err != nil {
		t.Error(err)
	}
	undo()
	l.Info("bye")
	lines := 0
	for s := bufio.NewScanner(bytes.NewReader(out.Bytes())); s.Scan(); lines++ {
		if !json.Valid(s.Bytes()) {
			t.Errorf("not JSON: %s", s.Text())
		}
	}
	if text := out.String(); lines < 4 || !strings.Contains(text, "parse duration") {
		t.Errorf("%d lines, want at least 4, the SDK's own among them:\n%s", lines, text)
	}
}

// What three signals refuse of a variable that they share is said once.
func TestAVariableIsRefusedOnce(t *testing.T) {
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "nowhere:4317")
	_, err := New(t.Context(), slog.New(slog.DiscardHandler), "a", "test")
	if err == nil || strings.Count(err.Error(), "OTEL_EXPORTER_OTLP_ENDPOINT") != 1 {
		t.Errorf("got %v, want the variable once", err)
	}
}

// A collector that takes connections and answers nothing does not keep a node from ending.
func TestACollectorThatIsSilentHoldsNobodyUp(t *testing.T) {
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = lis.Close() }()
	for _, protocol := range []string{protocolGRPC, protocolHTTP} {
		t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://"+lis.Addr().String())
		t.Setenv("OTEL_EXPORTER_OTLP_PROTOCOL", protocol)
		tel, err := New(t.Context(), slog.New(slog.DiscardHandler), "acme.example/a", "1.0")
		if err != nil {
			t.Fatal(err)
		}
		_, span := tel.Tracer.Start(t.Context(), "route.declare")
		span.End()
		tel.Log.Info("the last word")
		began := time.Now()
		err = tel.Close(t.Context())
		if took := time.Since(began); err == nil || took > 2*lastWords {
			t.Errorf("%s: it took %s to end, with %v", protocol, took, err)
		}
	}
}
