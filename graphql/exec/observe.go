package exec

import (
	"context"
	"net/http"
	"time"
)

// Observer is told about the requests to subgraphs. Its methods are called concurrently and must not block.
type Observer interface {
	// FetchStart is called when a request is about to be sent. The context it returns is used for the request and handed
	// to FetchEnd; a span may travel in it. It may add to header, for example W3C trace context.
	FetchStart(ctx context.Context, f Fetch, header http.Header) context.Context
	// FetchEnd is called once for each FetchStart.
	FetchEnd(ctx context.Context, f Fetch, r FetchResult)
}

// Fetch is one request to a subgraph.
type Fetch struct {
	// Service is the subgraph's name, Request the plan's request ID.
	Service string
	Request int
	// Operation is the client's operation name, Kind "query", "mutation" or "subscription".
	Operation, Kind string
	// Entities is the number of representations sent.
	Entities int
	// BytesOut is the size of the body.
	BytesOut int
	// Shared says that an identical request was already in flight and its answer was used: nothing was sent.
	Shared bool
}

// FetchResult is how a request ended.
type FetchResult struct {
	Duration time.Duration
	// Status is the HTTP status, or 0 if there was no answer.
	Status int
	// BytesIn is the size of the body after decompression.
	BytesIn int
	// Retries is how often it was sent again.
	Retries int
	// Code is the error code if the request failed as a whole, or "". Err is why, with addresses, for operators.
	Code string
	Err  error
	// Errors is the number of errors the subgraph reported.
	Errors int
}
