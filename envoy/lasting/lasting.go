// Package lasting is what all have in common who watch requests that last (envoy.service.ext_proc.v3): Envoy opens a
// stream for each such request, tells of its parts, waits for a word on each, and ends the stream with the request.
//
//	first, err := stream.Recv()
//	err = stream.Send(lasting.GoOn(first))
//	for m := range lasting.Receive(stream) { err = stream.Send(lasting.GoOn(m)) }
package lasting

import (
	extproc "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"
	"google.golang.org/grpc"
)

// Stream is that of one request.
type Stream = grpc.BidiStreamingServer[extproc.ProcessingRequest, extproc.ProcessingResponse]

// Receive gives what Envoy says from now on. It is closed when Envoy has ended the stream, and its goroutine ends with
// the stream: when the handler returns, at the latest.
func Receive(stream Stream) <-chan *extproc.ProcessingRequest {
	more := make(chan *extproc.ProcessingRequest)
	go func() {
		defer close(more)
		for {
			m, err := stream.Recv()
			if err != nil {
				return
			}
			select {
			case more <- m:
			case <-stream.Context().Done():
				return
			}
		}
	}()
	return more
}

// GoOn has the part that Envoy tells of pass as it is; headers of a request pass without those that are named.
func GoOn(m *extproc.ProcessingRequest, without ...string) *extproc.ProcessingResponse {
	switch m.GetRequest().(type) {
	case *extproc.ProcessingRequest_ResponseHeaders:
		return &extproc.ProcessingResponse{Response: &extproc.ProcessingResponse_ResponseHeaders{
			ResponseHeaders: &extproc.HeadersResponse{},
		}}
	case *extproc.ProcessingRequest_ResponseTrailers:
		return &extproc.ProcessingResponse{Response: &extproc.ProcessingResponse_ResponseTrailers{
			ResponseTrailers: &extproc.TrailersResponse{},
		}}
	}
	out := &extproc.HeadersResponse{}
	if len(without) > 0 {
		out.Response = &extproc.CommonResponse{HeaderMutation: &extproc.HeaderMutation{RemoveHeaders: without}}
	}
	return &extproc.ProcessingResponse{Response: &extproc.ProcessingResponse_RequestHeaders{RequestHeaders: out}}
}

// End answers the request, or resets it if its answer has begun.
func End(stream Stream, answer *extproc.ImmediateResponse) error {
	return stream.Send(&extproc.ProcessingResponse{Response: &extproc.ProcessingResponse_ImmediateResponse{
		ImmediateResponse: answer,
	}})
}
