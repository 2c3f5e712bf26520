package exec

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/catalyst-router/catalyst/graphql/plan"
)

// exchange is a request to a subgraph and its answer.
type exchange struct {
	ctx    context.Context
	req    *plan.Request
	info   Fetch
	result FetchResult
	answer answer
}

// fetch asks for root fields and merges them into the root.
func (r *execution) fetch(sc *scope, f *plan.Fetch) {
	x := r.ask(&f.Request, r.appendBody(r.newBody(&f.Request, 0), &f.Request, nil), 0)
	r.mu.Lock()
	r.mergeRoot(sc, f, &x)
	r.mu.Unlock()
	r.observe(&x)
}

// newBody returns an empty body with room for the request and for given bytes of values that are not the client's.
func (r *execution) newBody(req *plan.Request, given int) []byte {
	n := len(req.Head) + len(req.Tail) + given
	for i := range req.Variables {
		n += len(req.Variables[i].JSON) + 1
		if c := req.Variables[i].Client; c >= 0 {
			n += len(r.req.Variables[r.plan.Variables[c].Name])
		}
	}
	return make([]byte, 0, n)
}

// appendBody appends the HTTP body of a request. given returns the value of variable i, for those that are not the
// client's.
func (r *execution) appendBody(dst []byte, req *plan.Request, given func(dst []byte, i int) []byte) []byte {
	dst = append(dst, req.Head...)
	if req.Tail == nil {
		return dst
	}
	first := true
	for i := range req.Variables {
		v := &req.Variables[i]
		var value []byte
		if v.Client >= 0 {
			var ok bool
			if value, ok = r.req.Variables[r.plan.Variables[v.Client].Name]; !ok {
				continue
			}
		}
		if !first {
			dst = append(dst, ',')
		}
		first = false
		dst = append(dst, v.JSON...)
		if v.Client >= 0 {
			dst = append(dst, value...)
		} else {
			dst = given(dst, i)
		}
	}
	return append(dst, req.Tail...)
}

// ask sends a request and waits for the answer.
func (r *execution) ask(req *plan.Request, body []byte, entities int) exchange {
	x := exchange{ctx: r.ctx, req: req, info: Fetch{
		Service:   req.Service,
		Request:   req.ID,
		Operation: r.plan.Name,
		Kind:      req.Kind.String(),
		Entities:  entities,
		BytesOut:  len(body),
	}}
	sub := r.e.subs[req.Service]
	if sub == nil {
		x.answer.err = &fetchError{code: CodeUnknownSubgraph, text: "Subgraph '" + req.Service + "' is not known."}
		return x
	}
	m := message{sub: sub, req: req, body: body}
	if r.req.Header != nil {
		m.header = r.req.Header(req.Service)
	}
	if m.upload = r.upload(req); m.upload == nil && r.req.Dedupe && req.Kind == plan.Query {
		x.answer, x.info.Shared = r.e.shared(r.ctx, &m, r.req.Caller, func() answer { return r.send(&x, &m) })
	} else {
		x.answer = r.send(&x, &m)
	}
	r.count(&x)
	return x
}

// send sends a message, within the limits of the operation.
func (r *execution) send(x *exchange, m *message) answer {
	if r.slots != nil {
		select {
		case r.slots <- struct{}{}:
			defer func() { <-r.slots }()
		case <-r.ctx.Done():
			return answer{err: contextError(r.ctx, m.sub.name), ownFault: true}
		}
	}
	start := time.Now()
	var observed http.Header
	if o := r.e.cfg.Observer; o != nil {
		observed = http.Header{}
		x.ctx = o.FetchStart(r.ctx, x.info, observed)
	}
	limit := r.e.cfg.MaxOperationBytes - int(r.received.Load())
	a := r.e.send(x.ctx, m, observed, limit)
	x.result.Duration = time.Since(start)
	a.ownFault = a.err != nil && (r.ctx.Err() != nil || a.err.code == CodeTooLarge && limit < m.sub.MaxResponseBytes)
	return a
}

// count adds the exchange to the figures, and refuses a body that is too much for the operation.
func (r *execution) count(x *exchange) {
	a := &x.answer
	x.result.Status, x.result.Retries = a.status, a.retries
	if a.body != nil {
		x.result.BytesIn = len(a.body.b)
		if r.received.Add(int64(len(a.body.b))) > int64(r.e.cfg.MaxOperationBytes) {
			a.body.release()
			a.body = nil
			a.err = &fetchError{code: CodeTooLarge, text: "The answers of subgraphs are too large together.", cause: errTooLarge}
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.stats.Requests++
	if x.info.Shared {
		r.stats.Shared++
	}
	r.stats.Entities += x.info.Entities
	r.stats.BytesIn += x.result.BytesIn
	r.stats.BytesOut += x.info.BytesOut
	if a.header != nil {
		r.cache.add(a.header.Get("Cache-Control"), len(r.answers) == 0)
		r.answers = append(r.answers, Answer{Service: x.req.Service, Request: x.req.ID, Status: a.status, Header: a.header})
	}
}

// observe tells the observer how an exchange ended.
func (r *execution) observe(x *exchange) {
	o := r.e.cfg.Observer
	if o == nil {
		return
	}
	if x.info.Shared {
		x.ctx = o.FetchStart(r.ctx, x.info, http.Header{})
	}
	if err := x.answer.err; err != nil {
		x.result.Code, x.result.Err = err.code, err.cause
		if err.cause == nil {
			x.result.Err = errors.New(err.text)
		}
	}
	o.FetchEnd(x.ctx, x.info, x.result)
}

// add takes one more Cache-Control header into account.
func (c *Cache) add(header string, first bool) {
	age := -1
	for d := range strings.SplitSeq(header, ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(d), "=")
		switch strings.ToLower(name) {
		case "max-age":
			if n, err := strconv.Atoi(strings.Trim(value, `"`)); err == nil && n >= 0 {
				age = n
			}
		case "private":
			c.Private = true
		case "no-store", "no-cache":
			c.NoStore = true
		}
	}
	if first || age < c.MaxAge {
		c.MaxAge = age
	}
}

// read scans the answer and returns its `data`, an object or 0, and the list of its `errors`, or 0. If the request
// has failed as a whole, x.answer.err says why, and both are 0.
func (r *execution) read(x *exchange) (data, errs uint32) {
	a := &x.answer
	if a.err != nil {
		return 0, 0
	}
	ok := a.status/100 == 2
	root, err := r.tree.scan(a.body.b)
	if err != nil || r.tree.nodes[root].kind != kindObject {
		a.body.release()
		a.body = nil
		a.err = unreadable(x.req.Service, a.status, err)
		return 0, 0
	}
	r.bodies = append(r.bodies, a.body)
	data, errs = r.tree.field(root, "data", 0), r.tree.field(root, "errors", 0)
	if r.tree.nodes[errs].kind != kindList || r.tree.nodes[errs].from == 0 {
		errs = 0
	}
	if !ok && !a.graphql {
		data = 0
	}
	switch k := r.tree.nodes[data].kind; {
	case k == kindObject:
		return data, errs
	case errs != 0:
		return 0, errs
	case !ok:
		a.err = unreadable(x.req.Service, a.status, nil)
	case k == kindAbsent:
		a.err = &fetchError{
			code: CodeMalformed,
			text: "Subgraph '" + x.req.Service + "' answered without data and without errors.",
		}
	default:
		a.err = &fetchError{
			code: CodeMalformed,
			text: "Subgraph '" + x.req.Service + "' answered with " + k.String() + " as data.",
		}
	}
	return 0, 0
}

// unreadable is the error for an answer that is no GraphQL response.
func unreadable(service string, status int, err error) *fetchError {
	switch {
	case status/100 != 2:
		return &fetchError{
			code:   CodeHTTP,
			text:   "Subgraph '" + service + "' answered with HTTP status " + strconv.Itoa(status) + ".",
			status: status,
			cause:  err,
		}
	case errors.Is(err, errTooManyValues), errors.Is(err, errTooManyBodies):
		return &fetchError{code: CodeTooLarge, text: "The answer of subgraph '" + service + "' is too large.", cause: err}
	case err != nil:
		return &fetchError{
			code:  CodeMalformed,
			text:  "The answer of subgraph '" + service + "' is not valid JSON: " + err.Error() + ".",
			cause: err,
		}
	}
	return &fetchError{code: CodeMalformed, text: "The answer of subgraph '" + service + "' is not a GraphQL response."}
}

// mergeRoot merges the answer for root fields.
func (r *execution) mergeRoot(sc *scope, f *plan.Fetch, x *exchange) {
	data, errs := r.read(x)
	if x.answer.err != nil {
		r.failRoots(sc, f, x.answer.err)
		return
	}
	if data != 0 { // before the errors, which depend on the types of the objects
		r.tree.merge(r.tree.root, data, true)
	}
	if errs != 0 {
		r.subgraphErrors(sc, x, errs, nil)
	}
	if data == 0 {
		r.failRoots(sc, f, nil)
		return
	}
	r.checkFull(sc, x.req)
}

// failRoots blames the root fields of a request that failed. Without err its errors have been reported already.
func (r *execution) failRoots(sc *scope, f *plan.Fetch, err *fetchError) {
	told := false
	for _, source := range f.Roots {
		r.places = append(r.places[:0], place{key: source})
		r.translate(sc, r.places, &r.path)
		if len(r.path.json) == 0 {
			continue
		}
		sc.errs.fail(r.path.last())
		if err != nil {
			sc.errs.simple(f.ID, f.Service, err.code, err.text, err.status, &r.path)
			told = true
		}
	}
	if err != nil && !told {
		sc.errs.simple(f.ID, f.Service, err.code, err.text, err.status, nil)
	}
}

// checkFull reports, once, that values were left out.
func (r *execution) checkFull(sc *scope, req *plan.Request) {
	if !r.tree.full {
		return
	}
	r.tree.full = false
	sc.errs.simple(req.ID, req.Service, CodeTooLarge, "The operation has too many values.", 0, nil)
	sc.errs.fail(pathSeed)
}
