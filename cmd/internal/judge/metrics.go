package judge

import (
	"context"
	"errors"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/catalyst-router/catalyst/cmd/internal/telemetry"
	"github.com/catalyst-router/catalyst/policy"
)

// maxSeries is how many services have time series of their own.
const maxSeries = 500

// metrics are the figures of decisions. Names are those of docs/policy.md.
type metrics struct {
	decisions metric.Int64Counter
	duration  metric.Float64Histogram
	services  *telemetry.Series[string]
}

func newMetrics(m metric.Meter, j *Judge) (*metrics, error) {
	x := &metrics{services: telemetry.NewSeries[string](maxSeries)}
	var errs [5]error
	x.decisions, errs[0] = m.Int64Counter("catalyst.policy.decisions",
		metric.WithDescription("decisions by {action}, {result} (allow, deny, error, end) and {service}, 500 services by "+
			"name"))
	x.duration, errs[1] = m.Float64Histogram("catalyst.policy.decision.duration", metric.WithUnit("s"),
		metric.WithDescription("from Envoy's question to the decision, by {action}"),
		metric.WithExplicitBucketBoundaries(.000005, .00001, .000025, .00005, .0001, .00025, .0005, .001, .0025, .005, .01,
			.1, 1))
	_, errs[2] = m.Int64ObservableGauge("catalyst.policy.version",
		metric.WithDescription("version in force; 0 for the defaults, -1 for none"),
		metric.WithInt64Callback(func(_ context.Context, o metric.Int64Observer) error {
			snap, version := j.Current()
			if snap == nil {
				version = -1
			}
			o.Observe(int64(version))
			return nil
		}))
	_, errs[3] = m.Int64ObservableGauge("catalyst.policy.lost",
		metric.WithDescription("decisions that were not kept because the disk was too slow for them"),
		metric.WithInt64Callback(func(_ context.Context, o metric.Int64Observer) error {
			o.Observe(int64(j.store.Lost())) //nolint:gosec // fewer than 2^63
			return nil
		}))
	return x, errors.Join(errs[:]...)
}

func (x *metrics) decided(r policy.Record) {
	action, result := r.Action(), "allow"
	switch {
	case r.Ends != "":
		result = "end"
	case len(r.Decision.Errors) > 0:
		result = "error"
	case !r.Decision.Allow:
		result = "deny"
	}
	ctx := context.Background()
	x.decisions.Add(ctx, 1, metric.WithAttributes(attribute.String("action", action),
		attribute.String("result", result), attribute.String("service", x.series(r.Call.Service))))
	x.duration.Record(ctx, r.Took.Seconds(), metric.WithAttributes(attribute.String("action", action)))
}

// series is a service's name, as long as there is room for another.
func (x *metrics) series(service string) string {
	if !x.services.Own(service) {
		return "other"
	}
	return service
}
