package exec

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"sync"

	"github.com/catalyst-router/catalyst/graphql/plan"
)

// Executor carries out plans. It is safe for concurrent use.
type Executor struct {
	cfg    Config
	own    *http.Transport // closed by Close; nil if Config.Transport was given
	stop   context.CancelFunc
	done   context.Context // ends with Close
	active sync.WaitGroup  // streams
}

// New returns an executor for the subgraphs of cfg.
func New(cfg Config) (*Executor, error) {
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	e := &Executor{cfg: cfg.withDefaults()}
	if e.cfg.Transport == nil {
		e.own = NewTransport(TransportOptions{})
		e.cfg.Transport = e.own
	}
	e.done, e.stop = context.WithCancel(context.Background())
	return e, nil
}

// Close ends all streams, waits for them, and closes the connections of the executor's own transport. Operations that still
// run end by themselves; their connections are closed then.
func (e *Executor) Close() {
	e.stop()
	e.active.Wait()
	if e.own != nil {
		e.own.CloseIdleConnections()
	}
}

// Request is an operation to execute.
type Request struct {
	Plan *plan.Plan
	// Variables are the client's, coerced, by name; those without a value are absent.
	Variables map[string]json.RawMessage
	// Header returns what is sent to a subgraph beyond Subgraph.Header; nil means nothing. It may be called concurrently.
	Header func(subgraph string) http.Header
	// Caller identifies who asks (for example subject and token thumbprint). Requests in flight are shared only between
	// equal callers.
	Caller string
	// Dedupe shares identical queries to a subgraph that are in flight. Mutations never are.
	Dedupe bool
	// Uploads are the files of a multipart request.
	Uploads []Upload
	// Extensions is a JSON object for the response's `extensions`; nil means none.
	Extensions []byte
	// Incremental is the form of the payloads of @defer.
	Incremental Incremental
}

// Upload is a file of a GraphQL multipart request.
type Upload struct {
	// Path is the place in the variables, without "variables": the variable's name, then list indices and field names.
	Path []string
	// Filename and ContentType as the client gave them.
	Filename, ContentType string
	// Size in bytes, or -1 if it is not known.
	Size int64
	// Open returns the contents from the beginning. It is called once for each subgraph that needs the file.
	Open func() (io.ReadCloser, error)
}

// Incremental is the form of the payloads of @defer.
type Incremental uint8

// The forms.
const (
	// ByPath is the draft of 24 August 2022 (deferSpec=20220824), which most clients know: each entry of `incremental` has path, label
	// and data.
	ByPath Incremental = iota
	// ByID is the draft of 2023 and later (graphql-js 17): `pending` announces ids, `incremental` and `completed` refer to them.
	ByID
)

// Response is a complete response.
type Response struct {
	// Body is the JSON response. It is valid until Release.
	Body []byte
	// Errors is the number of entries in `errors`.
	Errors int
	// NoData says that `data` is null.
	NoData bool
	// Stats are the figures of the requests to subgraphs.
	Stats Stats
	// Answers are the subgraphs' HTTP answers, in the order of the plan's request IDs.
	Answers []Answer
	// Cache is what the Cache-Control headers of all answers say together.
	Cache Cache
	// HasNext says that a stream goes on.
	HasNext bool

	release func()
}

// Release gives the response's memory back; Body must not be used afterwards. It may be left out, and called at most once.
func (r *Response) Release() {
	if r.release != nil {
		r.release()
		r.release = nil
	}
	r.Body = nil
}

// Stats are figures about one execution.
type Stats struct {
	// Requests sent to subgraphs (retries not counted), of which Shared used the answer of an identical one in flight.
	Requests, Shared int
	// Entities is the number of representations sent.
	Entities int
	// BytesIn and BytesOut are the sizes of the bodies from and to subgraphs.
	BytesIn, BytesOut int
}

// Answer is the HTTP part of a subgraph's answer.
type Answer struct {
	Service string
	Request int
	Status  int
	Header  http.Header // must not be changed
}

// Cache is the common denominator of Cache-Control headers.
type Cache struct {
	// MaxAge in seconds, or -1 if an answer did not say.
	MaxAge int
	// Private and NoStore are true if they are for any answer.
	Private, NoStore bool
}

// errSkeleton is here until the parts are.
var errSkeleton = errors.New("not implemented yet") //nolint:gochecknoglobals // gone with the skeleton

// Execute carries out a query or a mutation. It always returns a response: what failed is null and explained in `errors`. When
// ctx ends, requests in flight are abandoned and the response holds what is there. Plans with @defer or a subscription need Stream.
func (e *Executor) Execute(_ context.Context, _ *Request) *Response {
	return &Response{Body: []byte(`{"data":null,"errors":[{"message":"not implemented yet"}]}`), Errors: 1, NoData: true}
}

// Stream is a response in parts.
type Stream struct{}

// Stream starts an operation whose plan is a subscription or has @defer; other plans give a stream of one response. The error
// is about the request itself; what goes wrong later is told in the payloads. The stream ends with ctx.
func (e *Executor) Stream(_ context.Context, _ *Request) (*Stream, error) { return nil, errSkeleton }

// Next waits for the next payload: for a subscription a response for each event, for @defer first the initial payload and then the
// incremental ones. io.EOF says that the stream is complete. It must not be called concurrently.
func (s *Stream) Next(_ context.Context) (*Response, error) { return nil, io.EOF }

// Close ends the stream and waits for what it started.
func (s *Stream) Close() {}
