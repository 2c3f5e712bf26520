package exec

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"mime"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"
)

// sseSource is a stream of server-sent events in the distinct connections mode of the GraphQL over SSE protocol:
// `next` events with a response each, then `complete`.
type sseSource struct {
	e      *Executor
	sub    *subgraph
	cancel context.CancelFunc
	body   io.ReadCloser
	r      *bufio.Reader
	// quiet ends the stream when nothing has come for Subscription.Silence; nil if that may be for ever.
	quiet *time.Timer
	still atomic.Bool // quiet has done so
	line  []byte
	data  *buffer
}

// openSSE asks for a stream. An answer in JSON is taken for the only event.
func (e *Executor) openSSE(ctx context.Context, m *message, observed http.Header) (source, error) {
	ctx, cancel := context.WithCancel(ctx)
	late := time.AfterFunc(m.sub.Timeout, cancel)
	req := (&http.Request{
		Method: http.MethodPost, URL: m.sub.url, Host: m.sub.host, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: m.httpHeader(observed), ContentLength: int64(len(m.body)), Body: m.reader(),
	}).WithContext(ctx)
	if m.sub.events != nil {
		req.URL = m.sub.events
	}
	req.Header["Accept"] = []string{"text/event-stream"} // alone: graphql-sse takes nothing beside it
	delete(req.Header, "Accept-Encoding")
	resp, err := m.sub.transport.RoundTrip(req)
	if !late.Stop() {
		if err == nil {
			resp.Body.Close() //nolint:errcheck,gosec // given up
		}
		cancel()
		return nil, &sourceError{
			fetchError: fetchError{code: CodeTimeout, text: "Subgraph '" + m.sub.name + "' did not answer in time."},
			lost:       true,
		}
	}
	if err != nil {
		fe := m.sub.transportError(ctx, err)
		cancel()
		return nil, &sourceError{fetchError: *fe, lost: true}
	}
	s := &sseSource{e: e, sub: m.sub, cancel: cancel, body: resp.Body}
	if mediaType, _, err := mime.ParseMediaType(resp.Header.Get("Content-Type")); err == nil &&
		mediaType == "text/event-stream" && resp.StatusCode/100 == 2 {
		s.r = bufio.NewReaderSize(resp.Body, 8<<10)
		if d := m.sub.Subscription.Silence; d > 0 {
			s.quiet = time.AfterFunc(d, func() { s.still.Store(true); cancel() })
			s.r.Reset(&heard{s.body, s.quiet, d})
		}
		return s, nil
	}
	return s.only(ctx, resp)
}

// only reads an answer that is no stream.
func (s *sseSource) only(ctx context.Context, resp *http.Response) (source, error) {
	defer s.close()
	ctx, cancel := context.WithTimeout(ctx, s.sub.Timeout)
	defer cancel()
	context.AfterFunc(ctx, s.cancel)
	b, err := s.e.readBody(resp, s.sub.MaxResponseBytes)
	if err != nil {
		return nil, &sourceError{fetchError: *s.sub.bodyError(ctx, err, resp.StatusCode), started: true}
	}
	var t tree
	t.reset(nil, 1<<16)
	if root, err := t.scan(b.b); err == nil && t.nodes[root].kind == kindObject &&
		(t.field(root, "data", 0) != 0 || t.field(root, "errors", 0) != 0) {
		return &onlyEvent{b}, nil
	}
	b.release()
	if resp.StatusCode/100 == 2 {
		return nil, &sourceError{
			fetchError: fetchError{
				code: CodeMalformed,
				text: "Subgraph '" + s.sub.name + "' answered a subscription without an event stream.",
			},
			started: true,
		}
	}
	return nil, &sourceError{fetchError: *unreadable(s.sub.name, resp.StatusCode, nil), lost: resp.StatusCode >= 500}
}

// onlyEvent is a stream of one event.
type onlyEvent struct{ b *buffer }

func (o *onlyEvent) receive(context.Context) (*buffer, error) {
	if o.b == nil {
		return nil, io.EOF
	}
	b := o.b
	o.b = nil
	return b, nil
}

func (o *onlyEvent) close() {
	if o.b != nil {
		o.b.release()
	}
}

// heard puts an alarm off whenever something is read.
type heard struct {
	from  io.Reader
	alarm *time.Timer
	after time.Duration
}

func (h *heard) Read(p []byte) (int, error) {
	n, err := h.from.Read(p)
	if n > 0 {
		h.alarm.Reset(h.after)
	}
	return n, err
}

func (s *sseSource) close() {
	if s.quiet != nil {
		s.quiet.Stop()
	}
	s.cancel()
	s.body.Close() //nolint:errcheck,gosec // nothing is read after it
	if s.data != nil {
		s.data.release()
		s.data = nil
	}
}

// receive reads lines until an event is complete (HTML standard, §9.2.6).
func (s *sseSource) receive(ctx context.Context) (*buffer, error) {
	if s.data == nil {
		s.data = s.e.newBuffer(0)
	}
	s.data.b = s.data.b[:0]
	event := ""
	for {
		if err := s.readLine(); err != nil {
			return nil, s.readError(ctx, err)
		}
		field, value, _ := bytes.Cut(s.line, []byte(":"))
		value = bytes.TrimPrefix(value, []byte(" "))
		switch {
		case len(s.line) == 0:
			if event == "complete" {
				return nil, io.EOF
			}
			if len(s.data.b) > 0 && (event == "next" || event == "" || event == "message") {
				b := s.data
				s.data = nil
				return b, nil
			}
			s.data.b, event = s.data.b[:0], ""
		case string(field) == "event":
			event = string(value)
		case string(field) == "data":
			if len(s.data.b)+len(value) >= s.sub.MaxResponseBytes {
				return nil, s.readError(ctx, errTooLarge)
			}
			if len(s.data.b) > 0 {
				s.data.b = append(s.data.b, '\n')
			}
			s.data.b = append(s.data.b, value...)
		}
	}
}

// readLine reads a line of at most MaxResponseBytes into s.line, without its end.
func (s *sseSource) readLine() error {
	s.line = s.line[:0]
	for {
		part, err := s.r.ReadSlice('\n')
		if len(s.line)+len(part) > s.sub.MaxResponseBytes {
			return errTooLarge
		}
		s.line = append(s.line, part...)
		if errors.Is(err, bufio.ErrBufferFull) {
			continue
		}
		if err != nil {
			return err
		}
		s.line = bytes.TrimSuffix(bytes.TrimSuffix(s.line, []byte("\n")), []byte("\r"))
		return nil
	}
}

func (s *sseSource) readError(ctx context.Context, err error) error {
	if s.still.Load() {
		e := interrupted(s.sub.name, err)
		e.text = "Subgraph '" + s.sub.name + "' sent nothing for " + s.sub.Subscription.Silence.String() + "."
		return e
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if errors.Is(err, errTooLarge) {
		return &sourceError{
			fetchError: fetchError{
				code: CodeTooLarge,
				text: "An event of subgraph '" + s.sub.name + "' is larger than " + strconv.Itoa(s.sub.MaxResponseBytes) +
					" bytes.",
				cause: err,
			},
		}
	}
	return interrupted(s.sub.name, err)
}

// interrupted is the error for a stream that ended before it was complete.
func interrupted(name string, cause error) *sourceError {
	return &sourceError{
		fetchError: fetchError{
			code:  CodeStream,
			text:  "The event stream of subgraph '" + name + "' broke off.",
			cause: cause,
		},
		lost:    true,
		started: true,
	}
}
