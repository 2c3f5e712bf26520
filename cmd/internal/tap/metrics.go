package tap

import (
	"context"
	"errors"
	"sync"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/metric/noop"
	"go.opentelemetry.io/otel/trace"

	"github.com/catalyst-router/catalyst/cmd/internal/telemetry"
)

// maxSeries is how many pairs of a service and a caller have time series of their own.
const maxSeries = 500

type pair struct{ service, caller string }

// metrics count what Envoy tells of, by who calls what.
type metrics struct {
	calls    metric.Int64Counter
	duration metric.Float64Histogram
	pairs    *telemetry.Series[pair]

	mu   sync.Mutex
	sets map[counted]sets // guarded by mu; as many as pairs allows, for each place and outcome
}

// counted is what a time series is of.
type counted struct {
	pair
	seen    string
	outcome Outcome
}

// sets are the labels of a call, which are costly to make for each.
type sets struct{ took, ended metric.MeasurementOption }

func (x *metrics) labels(c counted) sets {
	x.mu.Lock()
	defer x.mu.Unlock()
	s, ok := x.sets[c]
	if !ok {
		by := []attribute.KeyValue{attribute.String("service", c.service), attribute.String("caller", c.caller),
			attribute.String("seen", c.seen)}
		s = sets{metric.WithAttributeSet(attribute.NewSet(by...)),
			metric.WithAttributeSet(attribute.NewSet(append(by, attribute.String("outcome", string(c.outcome)))...))}
		x.sets[c] = s
	}
	return s
}

func newMetrics(m metric.Meter, t *Tap) (*metrics, error) {
	if m == nil {
		m = noop.Meter{}
	}
	x := &metrics{pairs: telemetry.NewSeries[pair](maxSeries), sets: map[counted]sets{}}
	var errs [3]error
	x.calls, errs[0] = m.Int64Counter("catalyst.tap.calls", metric.WithDescription("calls that Envoy told of, by "+
		"{service}, {caller} (the node that sent it, or local), where it was {seen} and {outcome} (ok, denied, failed); "+
		"500 pairs of service and caller by name, the later ones as other"))
	x.duration, errs[1] = m.Float64Histogram("catalyst.tap.duration", metric.WithUnit("s"), metric.WithDescription(
		"how long they took, by {service}, {caller} and where it was {seen}"),
		metric.WithExplicitBucketBoundaries(.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 60))
	_, errs[2] = m.Int64ObservableGauge("catalyst.tap.bytes", metric.WithUnit("By"),
		metric.WithDescription("memory that the calls of a while ago take, about"),
		metric.WithInt64Callback(func(_ context.Context, o metric.Int64Observer) error {
			t.mu.Lock()
			defer t.mu.Unlock()
			o.Observe(int64(t.ordinary.bytes + t.others.bytes))
			return nil
		}))
	return x, errors.Join(errs[:]...)
}

func (x *metrics) ended(c *Call) {
	by := x.labels(counted{x.series(c), c.Seen, c.Outcome})
	// A call of a trace that is kept is an exemplar of its time series.
	ctx := trace.ContextWithSpanContext(context.Background(), c.span)
	x.duration.Record(ctx, c.Took.Seconds(), by.took)
	x.calls.Add(ctx, 1, by.ended)
}

// series is the service and the caller of a call, as long as there is room for another pair. What found no route may
// have any name, and has none.
func (x *metrics) series(c *Call) pair {
	p := pair{string(c.Service), "local"}
	if n := c.callerNode(); !n.IsZero() {
		p.caller = n.String()
	}
	for _, f := range c.Flags {
		if f == "no_route_found" {
			return pair{"other", p.caller}
		}
	}
	if !x.pairs.Own(p) {
		return pair{"other", "other"}
	}
	return p
}
