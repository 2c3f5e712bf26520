package peering

import (
	"fmt"

	"google.golang.org/grpc/mem"
)

// rawFrame is a message as gRPC sees it: bytes.
type rawFrame struct{ b []byte }

// rawCodec passes bytes through. It bears protobuf's name because that is what the bytes are.
type rawCodec struct{}

// Name implements encoding.CodecV2.
func (rawCodec) Name() string { return "proto" }

// Marshal implements encoding.CodecV2.
func (rawCodec) Marshal(v any) (mem.BufferSlice, error) {
	f, ok := v.(*rawFrame)
	if !ok {
		return nil, fmt.Errorf("want a frame, not %T", v)
	}
	return mem.BufferSlice{mem.SliceBuffer(f.b)}, nil
}

// Unmarshal implements encoding.CodecV2.
func (rawCodec) Unmarshal(data mem.BufferSlice, v any) error {
	f, ok := v.(*rawFrame)
	if !ok {
		return fmt.Errorf("want a frame, not %T", v)
	}
	f.b = data.Materialize()
	return nil
}
