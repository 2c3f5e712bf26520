package gateway

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/catalyst-router/catalyst/graphql/exec"
	"github.com/catalyst-router/catalyst/graphql/plan"
)

// Streams bounds answers in parts: subscriptions, @defer, and all that comes over WebSocket.
type Streams struct {
	// Max of all clients together, connections of WebSocket included. Zero means 10,000.
	Max int
	// MaxPerConnection of one WebSocket. Zero means 100.
	MaxPerConnection int
	// InitTimeout is how long a WebSocket may stay open without connection_init. Zero means 10 s.
	InitTimeout time.Duration
	// Ping is how often a WebSocket is pinged and an idle event stream gets a comment. Zero means 15 s.
	Ping time.Duration
	// WriteTimeout is how long a client may take to receive one message. Zero means 10 s.
	WriteTimeout time.Duration
}

func (s Streams) withDefaults() Streams {
	s.Max = cmp.Or(s.Max, 10_000)
	s.MaxPerConnection = cmp.Or(s.MaxPerConnection, 100)
	s.InitTimeout = cmp.Or(s.InitTimeout, 10*time.Second)
	s.Ping = cmp.Or(s.Ping, 15*time.Second)
	s.WriteTimeout = cmp.Or(s.WriteTimeout, 10*time.Second)
	return s
}

// streamCounter counts streams up to a number, until it is closed.
type streamCounter struct {
	most int

	mu     sync.Mutex
	n      int
	closed bool
	empty  chan struct{} // made when closed; closed when none is left
}

func (c *streamCounter) begin() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed || c.n >= c.most {
		return false
	}
	c.n++
	return true
}

func (c *streamCounter) end() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.n--; c.n == 0 && c.empty != nil {
		close(c.empty)
	}
}

func (c *streamCounter) open() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return int64(c.n)
}

// wait closes the counter and waits until all streams have ended.
func (c *streamCounter) wait() {
	c.mu.Lock()
	if !c.closed {
		c.closed, c.empty = true, make(chan struct{})
		if c.n == 0 {
			close(c.empty)
		}
	}
	c.mu.Unlock()
	<-c.empty
}

// each hands over the payloads of an operation's stream until it ends, ctx ends, or yield fails. The body is valid
// until yield returns.
func (o *operation) each(ctx context.Context, yield func(body []byte) error) error {
	if o.op.Kind != plan.Subscribe {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, o.g.cfg.Timeout)
		defer cancel()
	}
	ctx, span := o.observe(ctx)
	defer span.End()
	s, err := o.snap.exec.Stream(ctx, &o.request)
	if err != nil {
		return err
	}
	defer s.Close()
	failed := 0
	defer func() { o.finished(ctx, span, failed, exec.Stats{}) }()
	for {
		res, err := s.Next(ctx)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		failed += res.Errors
		err = yield(res.Body)
		res.Release()
		if err != nil {
			return err
		}
	}
}

// lifetime is a context for a stream: it ends with the client, with the gateway, or when the caller's token is not good
// any more.
func (g *Gateway) lifetime(ctx context.Context, c *caller) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	stop := context.AfterFunc(g.done, func() { cancel(errShutdown) })
	var expire *time.Timer
	if c.principal != nil && !c.principal.Expires.IsZero() {
		expire = time.AfterFunc(time.Until(c.principal.Expires), func() { cancel(errExpired) })
	}
	var watching sync.WaitGroup
	if c.principal != nil && c.principal.Watch != nil {
		watching.Go(func() {
			if c.principal.Watch(ctx) != nil {
				cancel(errWithdrawn)
			}
		})
	}
	return ctx, func() {
		stop()
		if expire != nil {
			expire.Stop()
		}
		cancel(context.Canceled)
		watching.Wait()
	}
}

var (
	errShutdown = errors.New("the gateway is shutting down") //nolint:gochecknoglobals // a sentinel
	errExpired  = errors.New("the token has expired")        //nolint:gochecknoglobals // a sentinel
	// errWithdrawn does not say more to a caller: the log of the verifier does.
	errWithdrawn = errors.New("the token is not valid any more") //nolint:gochecknoglobals // a sentinel
)

// lastWords is the failure to tell a client whose stream ended early; nil if the client itself left.
func lastWords(ctx context.Context, err error) *failure {
	switch cause := context.Cause(ctx); {
	case errors.Is(cause, errShutdown):
		return refuse(http.StatusServiceUnavailable, CodeOverloaded, "The stream ends because %v.", cause)
	case errors.Is(cause, errExpired), errors.Is(cause, errWithdrawn):
		return refuse(http.StatusUnauthorized, CodeUnauthenticated, "The stream ends because %v.", cause)
	case cause != nil:
		return nil
	}
	return refuse(http.StatusBadGateway, exec.CodeStream, "The stream ended: %v.", err)
}

// serveStream answers over HTTP in parts.
func (o *operation) serveStream(ctx context.Context, w http.ResponseWriter, accept accepted) *failure {
	form := streamForm(o, accept)
	if form == nil {
		return invalid(coded(CodeStreamOnly, "The operation answers in parts: accept %s or %s, or use WebSocket.",
			typeEvents, typeMixed)).as(http.StatusNotAcceptable)
	}
	if !o.g.streams.begin() {
		return refuse(http.StatusServiceUnavailable, CodeOverloaded, "Too many streams are open.").with("Retry-After", "5")
	}
	defer o.g.streams.end()
	ctx, cancel := o.g.lifetime(ctx, o.caller)
	defer cancel()
	o.request.Incremental = accept.incremental
	out := newPartWriter(w, form, o.g.cfg.Streams)
	defer out.close()
	out.start()
	err := o.each(ctx, out.payload)
	if err != nil && out.alive() {
		if f := lastWords(ctx, err); f != nil {
			_ = out.payload(f.body())
		}
	}
	out.finish()
	return nil
}

// as changes the status of a failure.
func (f *failure) as(status int) *failure {
	f.status = status
	return f
}

// form is a way to send parts over HTTP.
type form struct {
	mediaType           string
	before, after       string // around each payload
	heartbeat, complete string
}

// streamForm chooses how an operation's parts are sent; nil if the client takes none.
func streamForm(o *operation, accept accepted) *form {
	mixed := accept.mixed && (o.op.Kind != plan.Subscribe || accept.subscriptions)
	switch {
	case accept.events && (accept.first == typeEvents || !mixed):
		return &form{
			mediaType: typeEvents + "; charset=utf-8",
			before:    "event: next\ndata: ",
			after:     "\n\n",
			heartbeat: ":\n\n",
			complete:  "event: complete\ndata:\n\n",
		}
	case mixed && o.op.Kind == plan.Subscribe:
		return &form{
			mediaType: typeMixed + `; boundary="-"; subscriptionSpec=1.0`,
			before:    partHead + `{"payload":`,
			after:     "}",
			heartbeat: partHead + "{}",
			complete:  "\r\n-----\r\n",
		}
	case mixed:
		return &form{mediaType: typeMixed + `; boundary="-"; deferSpec=20220824`, before: partHead, complete: "\r\n-----\r\n"}
	}
	return nil
}

const partHead = "\r\n---\r\nContent-Type: application/json; charset=utf-8\r\n\r\n"

// partWriter writes parts, and heartbeats while there are none.
type partWriter struct {
	w       http.ResponseWriter
	control *http.ResponseController
	form    *form
	timeout time.Duration
	beat    *time.Ticker
	over    chan struct{}
	beats   sync.WaitGroup

	mu     sync.Mutex
	failed error
}

func newPartWriter(w http.ResponseWriter, f *form, cfg Streams) *partWriter {
	return &partWriter{
		w:       w,
		control: http.NewResponseController(w),
		form:    f,
		timeout: cfg.WriteTimeout,
		beat:    time.NewTicker(cfg.Ping),
		over:    make(chan struct{}),
	}
}

// start sends the header at once, so that the client knows that its operation was accepted.
func (p *partWriter) start() {
	h := p.w.Header()
	h.Set("Content-Type", p.form.mediaType)
	h.Set("Cache-Control", "no-store")
	h.Set("X-Accel-Buffering", "no") // proxies between hold nothing back
	h.Set("X-Content-Type-Options", "nosniff")
	p.w.WriteHeader(http.StatusOK)
	_ = p.write("")
	if p.form.heartbeat == "" {
		return
	}
	p.beats.Go(func() {
		for {
			select {
			case <-p.over:
				return
			case <-p.beat.C:
				_ = p.write(p.form.heartbeat)
			}
		}
	})
}

// payload sends one JSON response.
func (p *partWriter) payload(body []byte) error {
	// between values only, where a space does as well; an event's line must not end there
	if bytes.ContainsAny(body, "\r\n") {
		body = bytes.Map(func(r rune) rune {
			if r == '\r' || r == '\n' {
				return ' '
			}
			return r
		}, body)
	}
	return p.write(p.form.before, string(body), p.form.after)
}

func (p *partWriter) write(parts ...string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.failed != nil {
		return p.failed
	}
	_ = p.control.SetWriteDeadline(time.Now().Add(p.timeout)) // a writer without deadlines is a test's
	for _, s := range parts {
		if _, err := io.WriteString(p.w, s); err != nil {
			p.failed = fmt.Errorf("send to the client: %w", err)
			return p.failed
		}
	}
	if err := p.control.Flush(); err != nil {
		p.failed = fmt.Errorf("send to the client: %w", err)
	}
	return p.failed
}

func (p *partWriter) alive() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.failed == nil
}

// finish sends the regular end.
func (p *partWriter) finish() { _ = p.write(p.form.complete) }

// close ends the heartbeats.
func (p *partWriter) close() {
	close(p.over)
	p.beat.Stop()
	p.beats.Wait()
	_ = p.control.SetWriteDeadline(time.Time{})
}
