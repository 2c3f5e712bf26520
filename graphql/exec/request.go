package exec

import (
	"encoding/json"
	"io"
	"net/http"

	"github.com/catalyst-router/catalyst/graphql/plan"
)

// Request is an operation to execute.
type Request struct {
	Plan *plan.Plan
	// Variables are the client's, coerced, by name; those without a value are absent.
	Variables map[string]json.RawMessage
	// Header returns what is sent to a subgraph beyond Subgraph.Header; nil means nothing. It may be called concurrently.
	Header func(subgraph string) http.Header
	// Init returns the payload of connection_init, a JSON object, towards a subgraph that is asked for events over
	// WebSocket; nil, and a nil answer, mean none.
	Init func(subgraph string) []byte
	// Caller identifies who asks (for example subject and token thumbprint). Requests in flight are shared only between
	// equal callers.
	Caller string
	// Dedupe shares identical queries to a subgraph that are in flight. Mutations never are.
	Dedupe bool
	// Uploads are the files of a multipart request.
	Uploads []Upload
	// Extensions is a JSON object for the response's `extensions`; nil means none.
	Extensions []byte
	// Incremental is the form of the payloads of @defer and @stream.
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
	// ByPath is the draft of 24 August 2022 (deferSpec=20220824), which most clients know: each entry of `incremental`
	// has path, label and data.
	ByPath Incremental = iota
	// ByID is the draft of 2023 and later (graphql-js 17): `pending` announces ids, `incremental` and `completed` refer
	// to them.
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

// Release gives the response's memory back; Body must not be used afterwards. It may be left out, and called at most
// once.
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
