package exec

import (
	"bytes"
	"cmp"
	"compress/flate"
	"compress/gzip"
	"compress/zlib"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/andybalholm/brotli"

	"github.com/catalyst-router/catalyst/graphql/plan"
)

// subgraph is a Subgraph made ready.
type subgraph struct {
	Subgraph
	name      string
	url       *url.URL
	host      string
	transport http.RoundTripper
	slots     chan struct{}
	// Of subscriptions: the URL, nil if it is the same; a transport that can upgrade to WebSocket; and whether probing
	// has found SSE.
	events  *url.URL
	upgrade http.RoundTripper
	sse     atomic.Bool
	// patient is the transport for a subgraph that keeps connections for less than others do; nil if it does not.
	patient atomic.Pointer[http.Transport]
}

func newSubgraph(name string, s Subgraph, cfg *Config) (*subgraph, error) {
	u, err := url.Parse(s.URL)
	if err != nil {
		return nil, fmt.Errorf("subgraph %s: URL: %w", name, err)
	}
	s.Timeout = cmp.Or(s.Timeout, DefaultTimeout)
	s.Backoff = cmp.Or(s.Backoff, 25*time.Millisecond)
	s.MaxResponseBytes = cmp.Or(s.MaxResponseBytes, cfg.MaxResponseBytes)
	sub := &subgraph{
		Subgraph: s, name: name, url: u, host: s.Host,
		transport: cmp.Or(s.Transport, cfg.Transport),
		slots:     make(chan struct{}, cmp.Or(s.MaxRequests, DefaultSubgraphRequests)),
	}
	if s.Idle > 0 {
		sub.keepFor(s.Idle)
	}
	sub.upgrade = cmp.Or(s.Subscription.Transport, sub.transport)
	if s.Subscription.URL != "" {
		if sub.events, err = url.Parse(s.Subscription.URL); err != nil {
			return nil, fmt.Errorf("subgraph %s: Subscription.URL: %w", name, err)
		}
		sub.events.Scheme = strings.Replace(sub.events.Scheme, "ws", "http", 1)
	}
	return sub, nil
}

// message is a request to a subgraph in the making.
type message struct {
	sub    *subgraph
	req    *plan.Request
	body   []byte      // never used again: net/http may read it after it has returned the answer
	header http.Header // from Request.Header, not to be changed
	upload *multipartBody
	// Of subscriptions: who asks, and the payload of connection_init.
	caller string
	init   []byte
}

// answer is what a subgraph said. Either err or body is nil.
type answer struct {
	body    *buffer // the caller owns one reference
	status  int
	header  http.Header
	retries int
	err     *fetchError
	// ownFault says that the request was ended by its own operation, which says nothing to others that share it.
	ownFault bool
	// graphql says that the media type is application/graphql-response+json: the body counts whatever the status.
	graphql bool
}

// send sends a message and returns the whole answer, after retries. limit is what the operation may still receive.
func (e *Executor) send(ctx context.Context, m *message, observed http.Header, limit int) answer {
	ctx, cancel := context.WithTimeout(ctx, m.sub.Timeout)
	defer cancel()
	select {
	case m.sub.slots <- struct{}{}:
		defer func() { <-m.sub.slots }()
	case <-ctx.Done():
		return answer{err: contextError(ctx, m.sub.name)}
	}
	limit = min(limit, m.sub.MaxResponseBytes)
	for try := 0; ; try++ {
		a := e.once(ctx, m, observed, limit)
		a.retries = try
		if m.req.Kind != plan.Query || try >= m.sub.Retries || !a.transient() || m.upload != nil {
			return a
		}
		if !pause(ctx, m.sub.Backoff<<min(try, 10)) {
			return a
		}
		if a.body != nil {
			a.body.release()
		}
	}
}

// transient reports whether the same request may succeed a moment later.
func (a *answer) transient() bool {
	if a.err != nil {
		return a.err.code == CodeUnreachable
	}
	return a.status == http.StatusBadGateway || a.status == http.StatusServiceUnavailable ||
		a.status == http.StatusGatewayTimeout
}

// pause waits for between half of d and d. It returns false at once if the context would be over before.
func pause(ctx context.Context, d time.Duration) bool {
	d = d/2 + rand.N(d/2+1)
	if end, ok := ctx.Deadline(); ok && time.Until(end) <= d {
		return false
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// once sends the message one time.
func (e *Executor) once(ctx context.Context, m *message, observed http.Header, limit int) answer {
	req := (&http.Request{
		Method: http.MethodPost, URL: m.sub.url, Host: m.sub.host,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: m.httpHeader(observed),
	}).WithContext(ctx)
	if m.upload != nil {
		req.Body, req.ContentLength = m.upload.open(m.body)
		req.Header["Content-Type"] = []string{m.upload.contentType()}
	} else {
		req.ContentLength = int64(len(m.body))
		req.Body = m.reader()
		req.GetBody = func() (io.ReadCloser, error) { return m.reader(), nil }
	}
	if m.req.Kind == plan.Query {
		// never sent: tells net/http that it may use another connection if a kept one is gone
		req.Header["X-Idempotency-Key"] = []string{}
	}
	resp, err := m.sub.roundTrip(req)
	if err != nil {
		return answer{err: m.sub.transportError(ctx, err)}
	}
	defer resp.Body.Close() //nolint:errcheck // nothing is read after it
	a := answer{status: resp.StatusCode, header: resp.Header}
	a.graphql = strings.HasPrefix(resp.Header.Get("Content-Type"), "application/graphql-response+json")
	if a.body, err = e.readBody(resp, limit); err != nil {
		a.err = m.sub.bodyError(ctx, err, resp.StatusCode)
	}
	return a
}

// keepFor has connections to the subgraph that nothing is sent on closed after a time.
func (s *subgraph) keepFor(d time.Duration) {
	if t, ok := s.transport.(*http.Transport); ok {
		c := t.Clone()
		c.IdleConnTimeout = d
		if old := s.patient.Swap(c); old != nil {
			old.CloseIdleConnections()
		}
	}
}

// roundTrip sends a request over a connection that the subgraph has not been about to close.
func (s *subgraph) roundTrip(req *http.Request) (*http.Response, error) {
	t := s.patient.Load()
	var resp *http.Response
	var err error
	if t != nil {
		resp, err = t.RoundTrip(req)
	} else {
		resp, err = s.transport.RoundTrip(req)
	}
	if err == nil && resp.ProtoMajor == 1 {
		s.believe(resp.Header.Get("Keep-Alive"), t)
	}
	return resp, err
}

// believe heeds how long a subgraph says that it keeps connections: `Keep-Alive: timeout=5, max=100`. They are given
// up before.
func (s *subgraph) believe(said string, now *http.Transport) {
	if said == "" {
		return
	}
	for part := range strings.SplitSeq(said, ",") {
		text, ok := strings.CutPrefix(strings.ToLower(strings.TrimSpace(part)), "timeout=")
		seconds, err := strconv.Atoi(text)
		if !ok || err != nil || seconds < 1 || seconds > 3600 {
			continue
		}
		keep := time.Duration(seconds) * time.Second * 4 / 5
		base, is := s.transport.(*http.Transport)
		if now != nil {
			base = now
		}
		if is && (base.IdleConnTimeout == 0 || keep < base.IdleConnTimeout) {
			s.keepFor(keep)
		}
	}
}

// reader returns the body, as a type that net/http knows to be in memory: then header and body are one write.
func (m *message) reader() io.ReadCloser { return io.NopCloser(bytes.NewReader(m.body)) }

// httpHeader returns the header of a request. Each of its values is its own.
func (m *message) httpHeader(observed http.Header) http.Header {
	h := make(http.Header, 6+len(m.sub.Header)+len(m.header)+len(observed))
	h["Content-Type"] = []string{"application/json"}
	h["Accept"] = []string{"application/graphql-response+json, application/json;q=0.9"}
	h["User-Agent"] = []string{"catalyst"}
	if m.sub.Compress {
		h["Accept-Encoding"] = []string{"gzip, br, deflate"}
	}
	for _, from := range [...]http.Header{m.sub.Header, m.header, observed} {
		for k, v := range from {
			h[k] = v
		}
	}
	return h
}

var (
	errTooLarge = errors.New("body too large")
	errMemory   = errors.New("the answers of all operations are too large together")
)

// unsized is the room for a body of which the length is not known: mostly it was too long for its server to know it.
const unsized = 4 << 10

// readBody reads and decompresses a body of at most limit bytes.
func (e *Executor) readBody(resp *http.Response, limit int) (*buffer, error) {
	var from io.Reader = resp.Body
	size := resp.ContentLength
	switch enc := resp.Header.Get("Content-Encoding"); {
	case enc == "" || strings.EqualFold(enc, "identity"):
	case strings.EqualFold(enc, "gzip"):
		z, err := gzip.NewReader(from)
		if err != nil {
			return nil, fmt.Errorf("gzip: %w", err)
		}
		from, size = z, -1
	case strings.EqualFold(enc, "br"):
		from, size = brotli.NewReader(from), -1
	case strings.EqualFold(enc, "deflate"):
		z, err := zlib.NewReader(from)
		if err != nil {
			return nil, fmt.Errorf("deflate: %w", err)
		}
		from, size = z, -1
	default:
		return nil, fmt.Errorf("content encoding %q was not asked for", enc)
	}
	if size > int64(limit) {
		return nil, errTooLarge
	}
	if size >= 1<<largestBuffer && e.memory.full() {
		return nil, errMemory
	}
	buf := e.newBuffer(int(max(size+1, unsized)))
	for {
		n, err := from.Read(buf.b[len(buf.b):cap(buf.b)])
		buf.b = buf.b[:len(buf.b)+n]
		if len(buf.b) > limit {
			err = errTooLarge
		}
		if err == io.EOF { //nolint:errorlint // readers return it bare
			return buf, nil
		}
		if err == nil && len(buf.b) == cap(buf.b) && cap(buf.b) >= 1<<largestBuffer && e.memory.full() {
			err = errMemory
		}
		if err != nil {
			buf.release()
			return nil, err
		}
		if len(buf.b) == cap(buf.b) {
			buf.grow(1)
		}
	}
}

// transportError tells why there was no answer.
func (s *subgraph) transportError(ctx context.Context, err error) *fetchError {
	if ctx.Err() != nil {
		return contextError(ctx, s.name)
	}
	var up *uploadError
	if errors.As(err, &up) {
		return &fetchError{code: CodeUpload, text: "The file " + up.file + " could not be read.", cause: err}
	}
	return &fetchError{code: CodeUnreachable, text: "Subgraph '" + s.name + "' cannot be reached.", cause: err}
}

// bodyError tells why there was no complete body.
func (s *subgraph) bodyError(ctx context.Context, err error, status int) *fetchError {
	var corrupt flate.CorruptInputError
	switch {
	case ctx.Err() != nil:
		return contextError(ctx, s.name)
	case errors.Is(err, errTooLarge):
		return &fetchError{
			code:   CodeTooLarge,
			text:   "The answer of subgraph '" + s.name + "' is too large.",
			status: status,
			cause:  err,
		}
	case errors.Is(err, errMemory):
		return &fetchError{
			code:   CodeTooLarge,
			text:   "The answer of subgraph '" + s.name + "' is too large while so many others are held.",
			status: status,
			cause:  err,
		}
	case errors.As(err, &corrupt), errors.Is(err, gzip.ErrHeader), errors.Is(err, gzip.ErrChecksum):
		return &fetchError{
			code:   CodeMalformed,
			text:   "The answer of subgraph '" + s.name + "' cannot be decompressed.",
			status: status,
			cause:  err,
		}
	}
	return &fetchError{
		code:   CodeUnreachable,
		text:   "The answer of subgraph '" + s.name + "' broke off.",
		status: status,
		cause:  err,
	}
}

func contextError(ctx context.Context, name string) *fetchError {
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return &fetchError{code: CodeTimeout, text: "Subgraph '" + name + "' did not answer in time.", cause: ctx.Err()}
	}
	return &fetchError{
		code:  CodeCancelled,
		text:  "The request to subgraph '" + name + "' was cancelled.",
		cause: ctx.Err(),
	}
}
