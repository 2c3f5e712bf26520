package gateway

import (
	"encoding/json"
	"net/http"

	"github.com/vektah/gqlparser/v2/gqlerror"
)

// The values of `extensions.code` of the gateway's own errors; those of graphql/plan and graphql/exec stand there.
const (
	CodeBadRequest      = "BAD_REQUEST"
	CodeMethod          = "METHOD_NOT_ALLOWED"
	CodeNotAcceptable   = "NOT_ACCEPTABLE"
	CodeMediaType       = "UNSUPPORTED_MEDIA_TYPE"
	CodeTooLarge        = "REQUEST_TOO_LARGE"
	CodeTimeout         = "REQUEST_TIMEOUT"
	CodeCSRF            = "CSRF_PREVENTION"
	CodeBatching        = "BATCHING_NOT_ALLOWED"
	CodeNoGraph         = "NO_GRAPH"
	CodeOverloaded      = "OVERLOADED"
	CodeUnauthenticated = "UNAUTHENTICATED"
	CodeIntrospection   = "INTROSPECTION_DISABLED"
	CodeCost            = "MAX_COST_LIMIT"
	CodeNotFound        = "PERSISTED_QUERY_NOT_FOUND"
	CodeNotSupported    = "PERSISTED_QUERY_NOT_SUPPORTED"
	CodeMismatch        = "PERSISTED_QUERY_HASH_MISMATCH"
	CodeOnlyPersisted   = "PERSISTED_QUERY_ONLY"
	CodeStreamOnly      = "STREAM_NOT_ACCEPTED"
	CodePlan            = "OPERATION_NOT_SERVABLE"
	CodeUpload          = "UPLOAD_INVALID"
)

// failure is why a request was not executed.
type failure struct {
	errs gqlerror.List
	// status of the answer. Under application/json the status is 200 instead if the request was well formed: clients of
	// that type take other statuses for something between them and the server.
	status     int
	wellFormed bool
	header     http.Header
}

// refuse is a failure of the request itself, whatever the media type.
func refuse(status int, code, format string, args ...any) *failure {
	return &failure{errs: gqlerror.List{coded(code, format, args...)}, status: status}
}

// invalid is a failure of a well-formed request: the document, the variables, the limits.
func invalid(errs ...*gqlerror.Error) *failure {
	return &failure{errs: errs, status: http.StatusBadRequest, wellFormed: true}
}

func (f *failure) with(name, value string) *failure {
	if f.header == nil {
		f.header = http.Header{}
	}
	f.header.Set(name, value)
	return f
}

// statusFor is the HTTP status under a media type.
func (f *failure) statusFor(mediaType string) int {
	if f.wellFormed && mediaType == typeJSON {
		return http.StatusOK
	}
	return f.status
}

func (f *failure) body() []byte {
	b, err := json.Marshal(map[string]any{"errors": f.errs})
	if err != nil { // an extension that cannot be marshalled: none of ours
		return []byte(`{"errors":[{"message":"internal error"}]}`)
	}
	return b
}

// code of the first error, for metrics.
func (f *failure) code() string {
	if len(f.errs) == 0 {
		return ""
	}
	code, _ := f.errs[0].Extensions["code"].(string)
	return code
}

func coded(code, format string, args ...any) *gqlerror.Error {
	e := gqlerror.Errorf(format, args...)
	e.Extensions = map[string]any{"code": code}
	return e
}
