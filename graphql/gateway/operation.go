package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/vektah/gqlparser/v2/gqlerror"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"github.com/catalyst-router/catalyst/graphql/exec"
	"github.com/catalyst-router/catalyst/graphql/plan"
)

// operation is a client's operation, ready to be executed on the snapshot it holds.
type operation struct {
	g       *Gateway
	snap    *Snapshot
	op      *plan.Operation
	plan    *plan.Plan
	request exec.Request
	caller  *caller
	began   time.Time
}

// origin is what an operation comes with besides its parameters: the same for all operations of a connection.
type origin struct {
	caller *caller
	header http.Header // of the request, or of the WebSocket's handshake
	// init is the payload of connection_init; nil without a WebSocket.
	init json.RawMessage
	// get says that the method is GET: it must be safe.
	get bool
	// whole says that one answer is taken, not several parts.
	whole bool
}

// prepare turns parameters into an operation. On success the caller must call its release.
func (g *Gateway) prepare(ctx context.Context, p *params, from origin) (*operation, *failure) {
	began := time.Now()
	text, how, fail := g.store.resolve(p)
	g.figures.document(ctx, how)
	if fail != nil {
		return nil, fail
	}
	snap := g.Current()
	if snap == nil {
		return nil, refuse(http.StatusServiceUnavailable, CodeNoGraph,
			"No graph has been published yet.").with("Retry-After", "1")
	}
	o := &operation{g: g, snap: snap, caller: from.caller, began: began}
	if fail := o.plans(ctx, p, text, from); fail != nil {
		snap.Release()
		return nil, fail
	}
	return o, nil
}

// plans checks the operation and plans it.
func (o *operation) plans(ctx context.Context, p *params, text string, from origin) *failure {
	ctx, span := o.g.cfg.Tracer.Start(ctx, "graphql.plan")
	defer span.End()
	var errs gqlerror.List
	if o.op, errs = o.snap.planner.Prepare(text, p.operationName); errs != nil {
		return invalid(errs...)
	}
	if fail := o.permitted(from); fail != nil {
		return fail
	}
	vars, errs := plan.CoerceVariables(o.op, p.variables)
	if errs != nil {
		return invalid(errs...)
	}
	uploads := p.takeUploads(vars)
	facts := o.g.facts(ctx, o.op, o.caller)
	facts.Conditions, facts.Whole = o.op.ConditionValues(vars), from.whole
	facts.Labels = o.g.labels(o.snap.planner.Graph().Labels, o.op, vars, o.caller.id)
	var err error
	if o.plan, err = o.snap.planner.Plan(o.op, facts); err != nil {
		if limit := (*gqlerror.Error)(nil); errors.As(err, &limit) {
			return invalid(limit)
		}
		o.g.cfg.Log.Error("operation cannot be planned", "operation", o.op.Name, "hash", o.op.Hash, "error", err)
		return &failure{
			errs:       gqlerror.List{coded(CodePlan, "The operation cannot be served by this graph: %v", err)},
			status:     http.StatusInternalServerError,
			wellFormed: true,
		}
	}
	if most := o.g.cfg.MaxCost; most > 0 && o.plan.Cost > most {
		return invalid(coded(CodeCost, "The operation's cost is %d, and at most %d are allowed.", o.plan.Cost, most))
	}
	o.g.recorder.record(o.op, text, p.operationName, facts, o.began)
	o.request = exec.Request{
		Plan:      o.plan,
		Variables: vars,
		Header:    o.g.headers.toSubgraphs(from.header),
		Init:      o.g.headers.inits(from.header, from.init),
		Caller:    o.caller.id,
		Dedupe:    o.g.cfg.Share,
		Uploads:   uploads,
	}
	if p.extensions.Cost {
		o.request.Extensions = fmt.Appendf(nil, `{"cost":{"estimated":%d,"max":%d,"fetches":%d,"rounds":%d}}`, o.plan.Cost,
			o.g.cfg.MaxCost, o.plan.Fetches, o.plan.Rounds)
	}
	return nil
}

// permitted applies the rules that depend on the kind of operation.
func (o *operation) permitted(from origin) *failure {
	if from.get && o.op.Kind == plan.Mutation {
		return refuse(http.StatusMethodNotAllowed, CodeMethod, "Mutations must be sent by POST.").with("Allow", "POST")
	}
	if o.g.cfg.NoIntrospection && o.op.Introspects {
		return invalid(coded(CodeIntrospection, "Introspection is not allowed here."))
	}
	return nil
}

// release lets the snapshot go.
func (o *operation) release() { o.snap.Release() }

// streams reports whether the operation answers in parts.
func (o *operation) streams() bool {
	if o.op.Kind == plan.Subscribe {
		return true
	}
	_, deferred := o.plan.Root.(*plan.Defer)
	return deferred
}

// observe puts what observers need into the context, with a span for the operation.
func (o *operation) observe(ctx context.Context) (context.Context, trace.Span) {
	ctx = context.WithValue(ctx, runKey{}, &run{gateway: o.g, operation: o.op.Name, kind: o.op.Kind.String()})
	return o.g.cfg.Tracer.Start(ctx, "graphql.execute", trace.WithAttributes(
		attribute.String("graphql.operation.name", o.op.Name), attribute.String("graphql.operation.type", o.op.Kind.String()),
		attribute.String("graphql.document.hash", o.op.Hash), attribute.Int("graphql.cost", o.plan.Cost)))
}

// execute runs a query or mutation to its end.
func (o *operation) execute(ctx context.Context) *exec.Response {
	ctx, cancel := context.WithTimeout(ctx, o.g.cfg.Timeout)
	defer cancel()
	ctx, span := o.observe(ctx)
	defer span.End()
	res := o.snap.exec.Execute(ctx, &o.request)
	o.finished(ctx, span, res.Errors, res.Stats)
	return res
}

// finished reports an operation that has ended.
func (o *operation) finished(ctx context.Context, span trace.Span, errors int, stats exec.Stats) {
	took := time.Since(o.began)
	outcome := "ok"
	if errors > 0 {
		outcome = "errors"
		span.SetStatus(codes.Error, fmt.Sprintf("%d errors", errors))
	}
	o.g.figures.finished(ctx, o.op.Name, o.op.Kind.String(), outcome, took)
	if o.g.cfg.Slow > 0 && took >= o.g.cfg.Slow && o.op.Kind != plan.Subscribe {
		o.g.cfg.Log.Warn("slow operation", "operation", o.op.Name, "hash", o.op.Hash, "took", took, "errors", errors,
			"cost", o.plan.Cost,
			"requests", stats.Requests, "entities", stats.Entities, "bytes_in", stats.BytesIn)
	}
}

// recovered turns a panic of the planner or executor into an answer: one operation must not end the process or leak
// its reason.
func (g *Gateway) recovered(v any) *failure {
	g.cfg.Log.Error("panic while serving an operation", "panic", v, "stack", stack())
	return refuse(http.StatusInternalServerError, "INTERNAL_SERVER_ERROR", "Internal server error.")
}
