//go:build e2e

package e2e

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/catalyst-router/catalyst/e2e/examples"
	"github.com/catalyst-router/catalyst/e2e/examples/products"
	"github.com/catalyst-router/catalyst/e2e/lab"
	"github.com/catalyst-router/catalyst/e2e/observe/panels"
)

const observability = "../compose/observability/"

// The alert rules do what their unit tests say, by Prometheus's own tool.
func TestAlertRules(t *testing.T) {
	out, err := exec.CommandContext(t.Context(), prometheusTool(t, "promtool"), "test", "rules",
		observability+"rules_test.yml").CombinedOutput()
	if err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// A real Prometheus scrapes two nodes with traffic of every kind. Every panel of the dashboards has data, every rule
// can be evaluated, and every metric is in the reference page with its labels.
func TestDashboardsHaveData(t *testing.T) {
	t.Parallel()
	_, n := world(t, "a b", "a-b", "--policy-enforce", "on", "--policy-sample", "100")
	a, b := n("a"), n("b")
	offer(t, a, "books", "one")
	offer(t, a, "locked", "one")
	graphService(t, a, "products", products.Handler())
	lines, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	go func() { _ = examples.ServeLines(t.Context(), lines, "lines") }()
	_, err = a.CLI(t.Context(), "route", "add", "lines", "--addr", lines.Addr().String(), "-p", "tcp")
	must(t, err)
	for _, service := range []string{"books", "locked"} {
		answers(t, b, service, "one")
	}
	policies := filepath.Join(t.TempDir(), "locked.cedar")
	must(t, os.WriteFile(policies, []byte(`@id("open") permit (principal, action, resource);
		@id("locked") forbid (principal, action == CATALYST::Action::"REQUEST",
			resource == CATALYST::Service::"locked.acme.example");`), 0o600))
	_, err = a.CLI(t.Context(), "policy", "apply", policies)
	must(t, err)

	prometheus := startPrometheus(t, a.Admin, b.Admin)
	boards, err := panels.Read(observability + "dashboards.yaml")
	must(t, err)
	for _, board := range boards {
		for _, panel := range board.Panels {
			for _, q := range panel.Queries {
				expr := strings.NewReplacer("$node", ".*", "$__rate_interval", "30s").Replace(q.Expr)
				must(t, lab.Eventually(t.Context(), board.Name+": "+panel.Title, func(ctx context.Context) error {
					traffic(ctx, a, b)
					return prometheus.hasData(ctx, expr)
				}))
			}
		}
	}
	prometheus.rulesEvaluate(t)
	for _, node := range []*lab.Node{a, b} {
		inReference(t, node)
	}
}

// traffic is one call of each kind at n, and a change of the routes at from; what fails shows in the metrics that are
// asked for.
func traffic(ctx context.Context, from, n *lab.Node) {
	_, _ = from.CLI(ctx, "route", "add", "fleeting", "--addr", "127.0.0.1:1")
	_, _ = from.CLI(ctx, "route", "remove", "fleeting")
	_, _, _ = n.Get(ctx, "books.acme.example", "/books")
	_, _, _ = n.Get(ctx, "locked.acme.example", "/books")
	_, _ = n.Query(ctx, `{ products { sku } }`)
	_, _ = n.Query(ctx, `{ nonsense }`)
	address, err := n.TCPPort(ctx, "lines")
	if err != nil {
		return
	}
	if conn, err := net.Dial("tcp", address); err == nil {
		_ = conn.SetDeadline(time.Now().Add(2 * time.Second))
		fmt.Fprintln(conn, "hello")
		_, _ = bufio.NewReader(conn).ReadString('\n')
		_ = conn.Close()
	}
}

func prometheusTool(t *testing.T, name string) string {
	t.Helper()
	dir := os.Getenv("CATALYST_PROMETHEUS")
	if dir == "" {
		t.Fatal("CATALYST_PROMETHEUS is not set: run the tests with make e2e, which unpacks Prometheus")
	}
	return filepath.Join(dir, name)
}

// server is the address of a running Prometheus.
type server string

// startPrometheus runs Prometheus until the test ends. It scrapes the targets four times a second.
func startPrometheus(t *testing.T, targets ...string) server {
	t.Helper()
	dir := t.TempDir()
	rules, err := filepath.Abs(observability + "rules.yml")
	must(t, err)
	list, err := json.Marshal(targets)
	must(t, err)
	config := filepath.Join(dir, "prometheus.yml")
	must(t, os.WriteFile(config, fmt.Appendf(nil, `{"global": {"scrape_interval": "250ms", "scrape_timeout": "250ms",
		"evaluation_interval": "1s"}, "rule_files": [%q],
		"scrape_configs": [{"job_name": "catalyst", "static_configs": [{"targets": %s}]}]}`, rules, list), 0o600))
	free, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	at := free.Addr().String()
	must(t, free.Close())
	cmd := exec.CommandContext(t.Context(), prometheusTool(t, "prometheus"), "--config.file", config,
		"--storage.tsdb.path", filepath.Join(dir, "data"), "--web.listen-address", at, "--log.level", "warn",
		"--enable-feature=exemplar-storage")
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	var log strings.Builder
	cmd.Stdout, cmd.Stderr = &log, &log
	must(t, cmd.Start())
	t.Cleanup(func() {
		if err := cmd.Wait(); t.Failed() {
			t.Logf("Prometheus: %v\n%s", err, log.String())
		}
	})
	return server(at)
}

func (s server) get(ctx context.Context, path string, into any) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+string(s)+path, nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	return json.NewDecoder(resp.Body).Decode(into)
}

// hasData asks a query and wants at least one number.
func (s server) hasData(ctx context.Context, expr string) error {
	var answer struct {
		Error string
		Data  struct {
			Result []struct{ Value [2]any }
		}
	}
	if err := s.get(ctx, "/api/v1/query?query="+url.QueryEscape(expr), &answer); err != nil {
		return err
	}
	for _, r := range answer.Data.Result {
		if text, _ := r.Value[1].(string); text != "" && text != "NaN" {
			if _, err := strconv.ParseFloat(text, 64); err == nil {
				return nil
			}
		}
	}
	return fmt.Errorf("no data for %s %s", expr, answer.Error)
}

// rulesEvaluate wants each rule to have been evaluated without an error.
func (s server) rulesEvaluate(t *testing.T) {
	t.Helper()
	must(t, lab.Eventually(t.Context(), "rules", func(ctx context.Context) error {
		var answer struct {
			Data struct {
				Groups []struct {
					Rules []struct{ Name, Health, LastError string }
				}
			}
		}
		if err := s.get(ctx, "/api/v1/rules", &answer); err != nil {
			return err
		}
		seen := 0
		for _, g := range answer.Data.Groups {
			for _, r := range g.Rules {
				if seen++; r.Health != "ok" {
					return fmt.Errorf("%s: %s %s", r.Name, r.Health, r.LastError)
				}
			}
		}
		if seen == 0 {
			return fmt.Errorf("no rules")
		}
		return nil
	}))
}

var reference = regexp.MustCompile("(?m)^\\| `(\\w+)` \\| ([^|]*) \\| (\\w+) \\|")

// inReference wants what a node tells of itself to be in docs/reference/metrics.md, with kind and labels.
func inReference(t *testing.T, n *lab.Node) {
	t.Helper()
	page, err := os.ReadFile("../docs/reference/metrics.md")
	must(t, err)
	known := map[string][2]string{} // kind and labels by name
	for _, m := range reference.FindAllSubmatch(page, -1) {
		labels := strings.FieldsFunc(string(m[2]), func(r rune) bool { return strings.ContainsRune("`, ", r) })
		slices.Sort(labels)
		known[string(m[1])] = [2]string{string(m[3]), strings.Join(labels, " ")}
	}
	resp, err := http.Get("http://" + n.Admin + "/metrics")
	must(t, err)
	defer func() { _ = resp.Body.Close() }()
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(resp.Body)
	must(t, err)
	seen := 0
	for _, name := range slices.Sorted(maps.Keys(families)) {
		if !strings.HasPrefix(name, "catalyst_") {
			continue
		}
		seen++
		got := [2]string{strings.ToLower(families[name].GetType().String()), labelsOf(families[name])}
		if want, ok := known[name]; !ok {
			t.Errorf("%s is not in docs/reference/metrics.md: make generate", name)
		} else if got != want {
			t.Errorf("%s is a %s with labels %q; docs/reference/metrics.md says %s with %q",
				name, got[0], got[1], want[0], want[1])
		}
	}
	if seen < 20 {
		t.Errorf("%s tells only %d metrics of its own", n.Name, seen)
	}
}

// labelsOf is every label that some series of a family has, but those of the exporter.
func labelsOf(f *dto.MetricFamily) string {
	all := map[string]bool{}
	for _, m := range f.GetMetric() {
		for _, l := range m.GetLabel() {
			if !strings.HasPrefix(l.GetName(), "otel_") {
				all[l.GetName()] = true
			}
		}
	}
	return strings.Join(slices.Sorted(maps.Keys(all)), " ")
}

// A call of a trace that is kept stands beside the bucket of the histogram that it fell into: whoever sees that calls
// are slow has the trace of one of them. One whose trace is not kept does not.
func TestFiguresLeadToTraces(t *testing.T) {
	t.Parallel()
	_, n := world(t, "a b", "a-b", "--tap-enabled")
	offer(t, n("a"), "books", "one")
	answers(t, n("b"), "books", "one")
	prometheus := startPrometheus(t, n("a").Admin)
	const kept, dropped = "0af7651916cd43dd8448eb211c80319c", "4bf92f3577b34da6a3ce929d0e0e4736"
	must(t, lab.Eventually(t.Context(), "an exemplar", func(ctx context.Context) error {
		for _, parent := range []string{"00-" + dropped + "-b7ad6b7169203331-00", "00-" + kept + "-b7ad6b7169203331-01"} {
			req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+n("b").Egress+"/books", nil)
			if err != nil {
				return err
			}
			req.Host = "books.acme.example"
			req.Header.Set("Traceparent", parent)
			resp, err := http.DefaultClient.Do(req)
			if err != nil {
				return err
			}
			_ = resp.Body.Close()
		}
		var found struct {
			Data []struct {
				SeriesLabels map[string]string
				Exemplars    []struct{ Labels map[string]string }
			}
		}
		now := time.Now()
		if err := prometheus.get(ctx, "/api/v1/query_exemplars?"+url.Values{
			"query": {"catalyst_tap_duration_seconds_bucket"}, "start": {strconv.FormatInt(now.Unix()-60, 10)},
			"end": {strconv.FormatInt(now.Unix()+1, 10)},
		}.Encode(), &found); err != nil {
			return err
		}
		for _, series := range found.Data {
			for _, e := range series.Exemplars {
				switch {
				case e.Labels["trace_id"] == dropped:
					t.Error("a trace that nobody keeps is an exemplar")
				case e.Labels["trace_id"] == kept && series.SeriesLabels["service"] == "books.acme.example":
					return nil
				}
			}
		}
		return fmt.Errorf("among %+v", found)
	}))
}
