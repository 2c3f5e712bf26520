package metrics

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"math"
	"net/url"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/catalyst-router/catalyst/xds"
)

// Calls are what this node's Envoy counts of services, as metrics of the node: calls of HTTP by service, direction
// and status, how long they took, and connections of TCP. Envoy is asked whenever somebody asks for metrics.
type Calls struct {
	get func(ctx context.Context, path string) ([]byte, error)
	log *slog.Logger

	requests, duration, connections, sent, received, answers *prometheus.Desc
}

var _ prometheus.Collector = (*Calls)(nil)

// NewCalls returns a collector over Envoy's admin interface.
func NewCalls(get func(ctx context.Context, path string) ([]byte, error), log *slog.Logger) *Calls {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc(name, help, labels, nil)
	}
	return &Calls{
		get: get, log: log,
		requests: desc("catalyst_requests_total",
			"HTTP requests that Envoy has answered, by {service}, {direction} (egress: of applications beside this node; "+
				"ingress: of other nodes) and {code}; code 0 is a caller that left before the answer", xds.TagService,
			xds.TagDirection, xds.TagCode),
		duration: desc("catalyst_request_duration_seconds",
			"from the first byte of a request to the last byte of its answer, by {service} and {direction}",
			xds.TagService, xds.TagDirection),
		connections: desc("catalyst_tcp_connections_total",
			"TCP connections of applications beside this node that have ended, by {service}", xds.TagService),
		sent: desc("catalyst_tcp_sent_bytes_total",
			"bytes that applications got over TCP connections that have ended, by {service}", xds.TagService),
		received: desc("catalyst_tcp_received_bytes_total",
			"bytes that applications sent over TCP connections that have ended, by {service}", xds.TagService),
		answers: desc("catalyst_envoy_up", "1 if Envoy told its statistics, 0 if it did not answer"),
	}
}

// Describe implements prometheus.Collector.
func (c *Calls) Describe(to chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{c.requests, c.duration, c.connections, c.sent, c.received, c.answers} {
		to <- d
	}
}

// askTime is how long Envoy may take to tell its statistics: whoever asks for metrics waits for them.
const askTime = 5 * time.Second

// Collect implements prometheus.Collector. Without an answer of Envoy the others of the node's metrics are told all
// the same.
func (c *Calls) Collect(to chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), askTime)
	defer cancel()
	families, err := Statistics(ctx, c.get)
	up := 1.0
	if err != nil {
		up = 0
		c.log.Debug("Envoy does not tell its statistics", "error", err)
	}
	to <- prometheus.MustNewConstMetric(c.answers, prometheus.GaugeValue, up)
	labels := []string{xds.TagService, xds.TagDirection, xds.TagCode}
	counter := func(desc *prometheus.Desc, stat string, labels ...string) {
		for _, m := range families[Family(stat)].GetMetric() {
			to <- prometheus.MustNewConstMetric(desc, prometheus.CounterValue, m.GetCounter().GetValue(), Values(m, labels)...)
		}
	}
	counter(c.requests, xds.StatRequests, labels...)
	counter(c.connections, xds.StatConnections, labels[:1]...)
	counter(c.sent, xds.StatSent, labels[:1]...)
	counter(c.received, xds.StatReceived, labels[:1]...)
	for _, m := range families[Family(xds.StatRequestTime)].GetMetric() {
		h := m.GetHistogram()
		buckets := map[float64]uint64{}
		for _, b := range h.GetBucket() {
			if upper := b.GetUpperBound(); !math.IsInf(upper, 1) {
				buckets[upper/1e6] = b.GetCumulativeCount()
			}
		}
		to <- prometheus.MustNewConstHistogram(c.duration, h.GetSampleCount(), h.GetSampleSum()/1e6, buckets,
			Values(m, labels[:2])...)
	}
}

// Family is the name that Envoy gives a statistic towards Prometheus.
func Family(stat string) string { return "envoy_" + xds.StatScope + "_" + stat }

// Statistics are what Envoy counts for this node, by Family, as its admin interface tells them.
func Statistics(
	ctx context.Context, get func(ctx context.Context, path string) ([]byte, error),
) (map[string]*dto.MetricFamily, error) {
	text, err := get(ctx, "/stats/prometheus?usedonly&filter="+url.QueryEscape("^"+xds.StatScope+`\.`))
	if err != nil {
		return nil, err
	}
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(bytes.NewReader(text))
	if err != nil {
		return nil, fmt.Errorf("read Envoy's statistics: %w", err)
	}
	return families, nil
}

// Values returns a metric's values of labels, "" for one that it does not have.
func Values(m *dto.Metric, names []string) []string {
	all := make([]string, len(names))
	for _, l := range m.GetLabel() {
		for i, name := range names {
			if strings.TrimPrefix(l.GetName(), "envoy_") == name {
				all[i] = l.GetValue()
			}
		}
	}
	return all
}
