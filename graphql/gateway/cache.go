package gateway

import (
	"bytes"
	"context"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/catalyst-router/catalyst/graphql/exec"
	"github.com/catalyst-router/catalyst/graphql/plan"
)

// Cache keeps whole answers to queries for as long as their Cache-Control allows, for the caller they were made for
// and on the graph they were made on.
type Cache struct {
	// MaxBytes of all answers. Zero means that none is kept.
	MaxBytes int
}

type answerCache struct{ kept *lru[answer] } // nil: none

// answer is a kept answer.
type answer struct {
	body   []byte
	header http.Header // not changed any more
	made   time.Time
	age    time.Duration
}

func newAnswerCache(cfg Cache) *answerCache {
	if cfg.MaxBytes == 0 {
		return &answerCache{}
	}
	return &answerCache{kept: newLRU[answer](cfg.MaxBytes)}
}

// cacheKey tells apart what may have different answers; "" is an operation whose answer is not kept.
func (o *operation) cacheKey() string {
	if o.g.answers.kept == nil || o.op.Kind != plan.Query || o.plan.Introspects || len(o.op.Policies) > 0 ||
		len(o.request.Uploads) > 0 || o.request.Extensions != nil {
		return ""
	}
	parts := []string{strconv.FormatInt(o.snap.at.UnixNano(), 36), o.op.Hash, o.op.Name, o.caller.id}
	for _, name := range slices.Sorted(maps.Keys(o.request.Variables)) {
		parts = append(parts, name, string(o.request.Variables[name]))
	}
	if o.request.Header != nil {
		for _, s := range o.snap.graph.Subgraphs {
			h := o.request.Header(s.Name)
			for _, name := range slices.Sorted(maps.Keys(h)) {
				parts = append(parts, s.Name, name)
				parts = append(parts, h[name]...)
			}
		}
	}
	return fingerprint(parts)
}

// get returns the answer for a key, if it is fresh.
func (c *answerCache) get(ctx context.Context, f *figures, key string) (answer, bool) {
	if key == "" {
		return answer{}, false
	}
	a, ok := c.kept.get(key)
	ok = ok && time.Since(a.made) < a.age
	f.cache.Add(ctx, 1, metric.WithAttributes(attribute.Bool("hit", ok)))
	return a, ok
}

// put keeps an answer for age seconds.
func (c *answerCache) put(key string, age int, res *exec.Response, h http.Header) {
	if key == "" || age == 0 || len(h.Values("Set-Cookie")) > 0 {
		return
	}
	c.kept.add(key, answer{
		body:   bytes.Clone(res.Body),
		header: h,
		made:   time.Now(),
		age:    time.Duration(age) * time.Second,
	}, len(res.Body)+512)
}

// write sends a kept answer.
func (a *answer) write(w http.ResponseWriter, mediaType string) {
	addHeader(w.Header(), a.header)
	w.Header().Set("Age", strconv.Itoa(int(time.Since(a.made).Seconds())))
	writeJSON(w, mediaType, http.StatusOK, a.body)
}
