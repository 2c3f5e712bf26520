package gateway

import (
	"bytes"
	"cmp"
	"context"
	"net/http"
	"runtime/debug"
	"strconv"
	"sync"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"github.com/catalyst-router/catalyst/graphql/exec"
	"github.com/catalyst-router/catalyst/graphql/plan"
)

// serveOperation answers a GraphQL request over HTTP.
func (g *Gateway) serveOperation(w http.ResponseWriter, r *http.Request) {
	ctx := propagation.TraceContext{}.Extract(r.Context(), propagation.HeaderCarrier(r.Header))
	ctx, span := g.cfg.Tracer.Start(ctx, "graphql.request", trace.WithSpanKind(trace.SpanKindServer),
		trace.WithAttributes(attribute.String("http.request.method", r.Method)))
	defer span.End()
	accept := negotiate(r.Header)
	defer func() {
		if v := recover(); v != nil {
			if v == http.ErrAbortHandler { //nolint:errorlint // as net/http does
				panic(v)
			}
			g.fail(ctx, w, accept, g.recovered(v))
		}
	}()
	w.Header().Add("Vary", "Accept")
	if fail := g.serve(ctx, w, r, accept); fail != nil {
		g.fail(ctx, w, accept, fail)
	}
}

// serve answers a request, or says why not; then nothing has been written.
func (g *Gateway) serve(ctx context.Context, w http.ResponseWriter, r *http.Request, accept accepted) *failure {
	if !accept.any() {
		return refuse(http.StatusNotAcceptable, CodeNotAcceptable,
			"None of the media types in Accept can be sent: use %s or %s.", typeGraphQL, typeJSON)
	}
	if fail := g.cfg.CSRF.check(r, &g.cfg.CORS); fail != nil {
		return fail
	}
	b := g.newBody(w, r)
	defer b.release()
	all, batched, fail := g.readParams(w, r, b)
	if fail != nil {
		return fail
	}
	defer dropUploads(all)
	select {
	case g.slots <- struct{}{}:
	default:
		return refuse(http.StatusServiceUnavailable, CodeOverloaded,
			"Too many operations are in flight.").with("Retry-After", "1")
	}
	leave := sync.OnceFunc(func() { <-g.slots })
	defer leave()
	who, fail := g.identify(ctx, r.Header, r.TLS)
	if fail != nil {
		return fail
	}
	from := origin{
		caller: who,
		header: r.Header,
		get:    r.Method == http.MethodGet,
		whole:  batched || !accept.events && !accept.mixed,
	}
	if batched {
		return g.serveBatch(ctx, w, all, from, accept)
	}
	o, fail := g.prepare(ctx, &all[0], from)
	if fail != nil {
		return fail
	}
	defer o.release()
	if o.streams() || accept.single == "" {
		leave() // streams are counted apart
		return o.serveStream(ctx, w, accept)
	}
	o.serveSingle(ctx, w, accept)
	return nil
}

// serveSingle executes the operation and writes its one answer.
func (o *operation) serveSingle(ctx context.Context, w http.ResponseWriter, accept accepted) {
	key := o.cacheKey()
	if hit, ok := o.g.answers.get(ctx, o.g.figures, key); ok {
		hit.write(w, accept.single)
		return
	}
	res := o.execute(ctx)
	defer res.Release()
	h := http.Header{}
	o.g.headers.toClient(res.Answers, h)
	age, cc := freshness(o.plan, res, o.caller.id != anonymous || o.request.Header != nil ||
		len(h.Values("Set-Cookie")) > 0)
	if cc != "" {
		h.Set("Cache-Control", cc)
	}
	o.g.answers.put(key, age, res, h)
	addHeader(w.Header(), h)
	writeJSON(w, accept.single, http.StatusOK, res.Body)
}

// addHeader sets headers, but adds to those that may stand several times.
func addHeader(to, from http.Header) {
	for name, values := range from {
		if name == "Set-Cookie" || name == "Vary" {
			values = append(to[name], values...)
		}
		to[name] = values
	}
}

// writeJSON writes a complete answer.
func writeJSON(w http.ResponseWriter, mediaType string, status int, body []byte) {
	h := w.Header()
	h.Set("Content-Type", mediaType+"; charset=utf-8")
	h.Set("Content-Length", strconv.Itoa(len(body)))
	h.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_, _ = w.Write(body) // the client may have gone
}

// fail answers a request that is not executed.
func (g *Gateway) fail(ctx context.Context, w http.ResponseWriter, accept accepted, f *failure) {
	g.figures.refused(ctx, f.code())
	trace.SpanFromContext(ctx).SetAttributes(attribute.String("graphql.error.code", f.code()))
	for name, values := range f.header {
		w.Header()[name] = values
	}
	w.Header().Set("Cache-Control", "no-store")
	mediaType := cmp.Or(accept.single, typeJSON)
	writeJSON(w, mediaType, f.statusFor(mediaType), f.body())
}

// batchParallel is how many operations of one list run at the same time.
const batchParallel = 8

// serveBatch executes a list of operations and answers with a list, in the same order. Mutations are not made at the
// same time as anything else of the list.
func (g *Gateway) serveBatch(ctx context.Context, w http.ResponseWriter, all []params, from origin,
	accept accepted) *failure {
	if accept.single == "" {
		return refuse(http.StatusNotAcceptable, CodeNotAcceptable, "Lists of operations are answered as %s.", typeJSON)
	}
	bodies := make([][]byte, len(all))
	var running sync.WaitGroup
	slots := make(chan struct{}, batchParallel)
	for i := range all {
		o, fail := g.prepare(ctx, &all[i], from)
		if fail == nil && o.streams() {
			o.release()
			fail = invalid(coded(CodeStreamOnly, "Subscriptions cannot be in a list."))
		}
		if fail != nil {
			g.figures.refused(ctx, fail.code())
			bodies[i] = fail.body()
			continue
		}
		if o.op.Kind == plan.Mutation {
			running.Wait()
			bodies[i] = o.member(ctx)
			continue
		}
		slots <- struct{}{}
		running.Go(func() {
			defer func() { <-slots }()
			bodies[i] = o.member(ctx)
		})
	}
	running.Wait()
	w.Header().Set("Cache-Control", "no-store")
	body := append([]byte{'['}, bytes.Join(bodies, []byte{','})...)
	writeJSON(w, accept.single, http.StatusOK, append(body, ']'))
	return nil
}

// member executes one operation of a list.
func (o *operation) member(ctx context.Context) (body []byte) {
	defer o.release()
	defer func() {
		if v := recover(); v != nil {
			body = o.g.recovered(v).body()
		}
	}()
	res := o.execute(ctx)
	defer res.Release()
	return bytes.Clone(res.Body)
}

func stack() string { return string(debug.Stack()) }

// freshness is how long an answer may be kept, in seconds (0 for not at all), and the Cache-Control header that says
// so ("" to say nothing). An answer that depends on who asks, or how, is private: caches between do not know by what.
func freshness(p *plan.Plan, res *exec.Response, private bool) (age int, header string) {
	if p.Kind != plan.Query || res.Errors > 0 || res.Cache.NoStore {
		return 0, "no-store"
	}
	age = res.Cache.MaxAge
	if p.MaxAge >= 0 && (age < 0 || p.MaxAge < age) {
		age = p.MaxAge
	}
	if age < 0 {
		return 0, ""
	}
	scope := "public"
	if res.Cache.Private || private {
		scope = "private"
	}
	return age, "max-age=" + strconv.Itoa(age) + ", " + scope
}
