//go:build telemetry

package telemetry

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/grpc"
	_ "google.golang.org/grpc/encoding/gzip" // in which the Collector sends

	"github.com/catalyst-router/catalyst/e2e/free"
	"github.com/catalyst-router/catalyst/e2e/lab"
)

// backend is where the Collector hands traces on to, as Jaeger would take them: it knows the spans of each node.
type backend struct {
	collector.UnimplementedTraceServiceServer
	mu    sync.Mutex
	spans map[string]map[string]string // names of spans to the ids of their traces, by service.instance.id
}

// Export implements collector.TraceServiceServer.
func (b *backend) Export(_ context.Context, in *collector.ExportTraceServiceRequest) (
	*collector.ExportTraceServiceResponse, error,
) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, rs := range in.GetResourceSpans() {
		node := ""
		for _, a := range rs.GetResource().GetAttributes() {
			if a.GetKey() == "service.instance.id" {
				node = a.GetValue().GetStringValue()
			}
		}
		if b.spans[node] == nil {
			b.spans[node] = map[string]string{}
		}
		for _, ss := range rs.GetScopeSpans() {
			for _, s := range ss.GetSpans() {
				b.spans[node][s.GetName()] = fmt.Sprintf("%x", s.GetTraceId())
			}
		}
	}
	return &collector.ExportTraceServiceResponse{}, nil
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// startCollector runs the Collector with the configuration of compose/observability, in which the addresses alone are
// others, and returns where it takes OTLP by gRPC and by HTTP, and what it prints.
func startCollector(t *testing.T, jaeger string) (byGRPC, byHTTP, output string) {
	t.Helper()
	binary := os.Getenv("CATALYST_OTELCOL")
	if binary == "" {
		t.Fatal("CATALYST_OTELCOL is not set: run the test with make telemetry, which builds the Collector")
	}
	shipped, err := os.ReadFile("../../compose/observability/collector.yaml")
	must(t, err)
	ports, err := free.Ports(2)
	must(t, err)
	byGRPC, byHTTP = fmt.Sprintf("127.0.0.1:%d", ports[0]), fmt.Sprintf("127.0.0.1:%d", ports[1])
	text := string(shipped)
	for from, to := range map[string]string{
		"127.0.0.1:4317": byGRPC, "127.0.0.1:4318": byHTTP, "127.0.0.1:14317": jaeger,
	} {
		if !strings.Contains(text, `"`+from+`"`) {
			t.Fatalf("collector.yaml has no %s", from)
		}
		text = strings.Replace(text, `"`+from+`"`, `"`+to+`"`, 1)
	}
	dir := t.TempDir()
	config := filepath.Join(dir, "collector.yaml")
	must(t, os.WriteFile(config, []byte(text), 0o600))
	output = filepath.Join(dir, "log")
	log, err := os.Create(output)
	must(t, err)
	cmd := exec.CommandContext(context.WithoutCancel(t.Context()), binary, "--config="+config) // it outlives the nodes
	cmd.Stdout, cmd.Stderr = log, log
	must(t, cmd.Start())
	t.Cleanup(func() {
		must(t, cmd.Process.Signal(syscall.SIGTERM))
		_ = cmd.Wait()
		if text, _ := os.ReadFile(output); t.Failed() {
			t.Logf("the Collector says:\n%s", text)
		}
		must(t, log.Close())
	})
	for _, at := range []string{byGRPC, byHTTP} {
		must(t, lab.Eventually(t.Context(), "the Collector listens", func(ctx context.Context) error {
			conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", at)
			if err != nil {
				return err
			}
			return conn.Close()
		}))
	}
	return byGRPC, byHTTP, output
}

// Two nodes send traces, metrics and logs to a real OpenTelemetry Collector, the one by gRPC and the other by HTTP. It
// takes all three of both, and hands traces on under the names of the nodes; one change is one trace at both.
func TestACollectorTakesWhatNodesSend(t *testing.T) {
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	sink := &backend{spans: map[string]map[string]string{}}
	srv := grpc.NewServer()
	collector.RegisterTraceServiceServer(srv, sink)
	go func() { _ = srv.Serve(lis) }()
	t.Cleanup(srv.Stop)
	byGRPC, byHTTP, output := startCollector(t, lis.Addr().String())

	binary, err := lab.Binary("../..")
	must(t, err)
	l, err := lab.New(t.Context(), binary, "acme.example")
	must(t, err)
	t.Cleanup(func() { must(t, l.Close()) })
	t.Setenv("OTEL_BSP_SCHEDULE_DELAY", "100")
	t.Setenv("OTEL_METRIC_EXPORT_INTERVAL", "500")
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://"+byGRPC)
	a, err := l.Add(t.Context(), "a")
	must(t, err)
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://"+byHTTP)
	t.Setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf")
	b, err := l.Add(t.Context(), "b")
	must(t, err)
	must(t, lab.Peer(t.Context(), b, a))
	workload := httptest.NewServer(http.NotFoundHandler()) // nobody calls it
	defer workload.Close()
	_, err = a.CLI(t.Context(), "route", "add", "books", "--addr", workload.Listener.Addr().String())
	must(t, err)

	must(t, lab.Eventually(t.Context(), "one trace of both nodes", func(context.Context) error {
		sink.mu.Lock()
		defer sink.mu.Unlock()
		declared, acknowledged := "", ""
		for node, spans := range sink.spans {
			switch {
			case strings.HasSuffix(node, "acme.example/a") || strings.HasSuffix(node, "/node/a"):
				declared = spans["route.declare"]
			case strings.HasSuffix(node, "acme.example/b") || strings.HasSuffix(node, "/node/b"):
				acknowledged = spans["envoy.acknowledge"]
			}
		}
		if declared == "" || declared != acknowledged {
			return fmt.Errorf("a declared in trace %q, b's Envoy acknowledged in %q, of %v", declared, acknowledged, sink.spans)
		}
		return nil
	}))
	must(t, lab.Eventually(t.Context(), "logs and metrics arrive", func(context.Context) error {
		text, err := os.ReadFile(output)
		for _, signal := range []string{`"resource logs"`, `"resource metrics"`} {
			if !strings.Contains(string(text), signal) {
				err = errors.Join(err, fmt.Errorf("the Collector tells of no %s", signal))
			}
		}
		return err
	}))
	for _, n := range []*lab.Node{a, b} {
		text, err := os.ReadFile(filepath.Join(n.Dir, "node.log"))
		must(t, err)
		if strings.Contains(string(text), "telemetry is not exported") {
			t.Errorf("node %s could not send: %s", n.Name, text)
		}
	}
}
