package exec

import (
	"io"

	"github.com/catalyst-router/catalyst/graphql/plan"
)

// multipartBody is the files of a request.
type multipartBody struct{}

func (m *multipartBody) open(_ []byte) (io.ReadCloser, int64) { return nil, 0 }
func (m *multipartBody) contentType() string                  { return "" }

type uploadError struct{ file string }

func (e *uploadError) Error() string { return e.file }

func (r *execution) upload(_ *plan.Request) *multipartBody { return nil }
