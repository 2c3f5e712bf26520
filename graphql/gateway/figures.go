package gateway

import (
	"context"
	"sync"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/catalyst-router/catalyst/graphql/exec"
)

// figures are the gateway's metrics.
type figures struct {
	operations, fetches        metric.Float64Histogram
	errors, documents, reloads metric.Int64Counter
	requests, entities         metric.Int64Counter
	cache                      metric.Int64Counter

	mu    sync.Mutex
	names map[string]bool // operation names that have a series of their own

	// Attributes that were used before: to make them anew costs more than to count.
	ran   known[ranKey, metric.MeasurementOption]
	asked known[askedKey, askedSeries]
}

type ranKey struct{ operation, kind, outcome string }

type askedKey struct {
	subgraph, kind string
	shared         bool
}

// askedSeries are the attributes of one request to a subgraph, for each of its metrics.
type askedSeries struct{ requests, entities, duration metric.MeasurementOption }

// known keeps what was made for a key.
type known[K comparable, V any] struct {
	mu sync.RWMutex
	of map[K]V // guarded by mu
}

// mostKnown bounds a known: it begins anew beyond, since subgraphs come and go.
const mostKnown = 10_000

func (k *known[K, V]) get(key K, create func(K) V) V {
	k.mu.RLock()
	v, ok := k.of[key]
	k.mu.RUnlock()
	if ok {
		return v
	}
	v = create(key)
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.of == nil || len(k.of) >= mostKnown {
		k.of = map[K]V{}
	}
	k.of[key] = v
	return v
}

// mostNames bounds the series: operation names are the clients' choice.
const mostNames = 200

func newFigures(m metric.Meter, g *Gateway) *figures {
	f := &figures{names: map[string]bool{}}
	buckets := metric.WithExplicitBucketBoundaries(.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10,
		30)
	// The errors are about names and units, which are constants here.
	f.operations, _ = m.Float64Histogram("catalyst_graphql_operation_duration", metric.WithUnit("s"), buckets,
		metric.WithDescription("{operation} of a client by name, {kind} and {outcome}; "+
			"the first 200 names, further ones are (other)"))
	f.fetches, _ = m.Float64Histogram("catalyst_graphql_fetch_duration", metric.WithUnit("s"), buckets,
		metric.WithDescription("requests to a {subgraph} by {kind}"))
	f.errors, _ = m.Int64Counter("catalyst_graphql_errors",
		metric.WithDescription("requests refused (no {subgraph}) and failed fetches, by {code}"))
	f.documents, _ = m.Int64Counter("catalyst_graphql_documents",
		metric.WithDescription("documents by {how} they came: inline, persisted, automatic, stored, missing"))
	f.reloads, _ = m.Int64Counter("catalyst_graphql_schema_reloads",
		metric.WithDescription("graphs by {result}: published, refused"))
	f.requests, _ = m.Int64Counter("catalyst_graphql_subgraph_requests",
		metric.WithDescription("requests to a {subgraph}; {shared} is true for those that took the answer of one in flight"))
	f.entities, _ = m.Int64Counter("catalyst_graphql_subgraph_entities",
		metric.WithDescription("representations sent to a {subgraph}"))
	f.cache, _ = m.Int64Counter("catalyst_graphql_response_cache",
		metric.WithDescription("look-ups in the response cache, by {hit}"))
	_, _ = m.Int64ObservableGauge("catalyst_graphql_subgraphs",
		metric.WithDescription("subgraphs of the graph that is served"),
		metric.WithInt64Callback(func(_ context.Context, o metric.Int64Observer) error {
			if s := g.Current(); s != nil {
				o.Observe(int64(len(s.graph.Subgraphs)))
				s.Release()
			}
			return nil
		}))
	_, _ = m.Int64ObservableGauge("catalyst_graphql_streams", metric.WithDescription("streams to clients"),
		metric.WithInt64Callback(func(_ context.Context, o metric.Int64Observer) error {
			o.Observe(g.streams.open())
			return nil
		}))
	return f
}

// name is an operation's name for metrics.
func (f *figures) name(operation string) string {
	if operation == "" {
		return "(anonymous)"
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.names[operation] {
		if len(f.names) >= mostNames || len(operation) > 80 {
			return "(other)"
		}
		f.names[operation] = true
	}
	return operation
}

func attributes(all ...attribute.KeyValue) metric.MeasurementOption {
	return metric.WithAttributeSet(attribute.NewSet(all...))
}

// finished counts an operation that was executed.
func (f *figures) finished(ctx context.Context, name, kind, outcome string, took time.Duration) {
	f.operations.Record(ctx, took.Seconds(),
		f.ran.get(ranKey{f.name(name), kind, outcome}, func(k ranKey) metric.MeasurementOption {
			return attributes(attribute.String("operation", k.operation), attribute.String("kind", k.kind),
				attribute.String("outcome", k.outcome))
		}))
}

// refused counts a request that was not executed.
func (f *figures) refused(ctx context.Context, code string) {
	f.errors.Add(ctx, 1, metric.WithAttributes(attribute.String("code", code), attribute.String("subgraph", "")))
}

func (f *figures) document(ctx context.Context, how string) {
	f.documents.Add(ctx, 1, metric.WithAttributes(attribute.String("how", how)))
}

func (f *figures) fetched(fetch exec.Fetch, res exec.FetchResult) {
	ctx := context.Background()
	as := f.asked.get(askedKey{fetch.Service, fetch.Kind, fetch.Shared}, func(k askedKey) askedSeries {
		subgraph := attribute.String("subgraph", k.subgraph)
		return askedSeries{attributes(subgraph, attribute.Bool("shared", k.shared)), attributes(subgraph),
			attributes(subgraph, attribute.String("kind", k.kind))}
	})
	f.requests.Add(ctx, 1, as.requests)
	f.entities.Add(ctx, int64(fetch.Entities), as.entities)
	f.fetches.Record(ctx, res.Duration.Seconds(), as.duration)
	if res.Code != "" {
		f.errors.Add(ctx, 1, metric.WithAttributes(attribute.String("code", res.Code),
			attribute.String("subgraph", fetch.Service)))
	}
}

func (f *figures) swapped() {
	f.reloads.Add(context.Background(), 1, metric.WithAttributes(attribute.String("result", "published")))
}

// RefusedGraph counts a graph that could not be published; the current one goes on serving.
func (g *Gateway) RefusedGraph(why string, err error) {
	g.figures.reloads.Add(context.Background(), 1, metric.WithAttributes(attribute.String("result", "refused")))
	g.cfg.Log.Error("graph refused, the former one goes on serving", "why", why, "error", err)
}
