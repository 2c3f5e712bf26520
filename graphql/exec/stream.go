package exec

import (
	"context"
	"errors"
	"io"
)

// Stream is a response in parts.
type Stream struct{}

// Stream starts an operation whose plan is a subscription or has @defer; other plans give a stream of one response. The error
// is about the request itself; what goes wrong later is told in the payloads. The stream ends with ctx.
func (e *Executor) Stream(_ context.Context, _ *Request) (*Stream, error) {
	return nil, errors.New("not implemented yet")
}

// Next waits for the next payload: for a subscription a response for each event, for @defer first the initial payload and then the
// incremental ones. io.EOF says that the stream is complete. It must not be called concurrently.
func (s *Stream) Next(_ context.Context) (*Response, error) { return nil, io.EOF }

// Close ends the stream and waits for what it started.
func (s *Stream) Close() {}
