package peering

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	"github.com/catalyst-router/catalyst/auth/identity"
	"github.com/catalyst-router/catalyst/bgp"
	"github.com/catalyst-router/catalyst/bgp/speaker"
	"github.com/catalyst-router/catalyst/bgp/wire"
)

// serviceName is that of proto/catalyst/peering/v1.
const serviceName = "catalyst.peering.v1.Peering"

// rawStream is what the client's and the server's end of a stream have in common.
type rawStream interface {
	SendMsg(m any) error
	RecvMsg(m any) error
	Context() context.Context
}

// conn is one stream.
type conn struct {
	id     speaker.ConnID
	stream rawStream
	flow   *flow // nil if what waits is not known
	cancel context.CancelFunc
	signal chan struct{}

	mu      sync.Mutex
	queue   []bgp.Message // guarded by mu; a few UPDATEs, by the speaker's credits, and what goes ahead of them
	last    bool          // guarded by mu: end the stream when the queue is empty
	writing bool          // guarded by mu: the writer has taken what was queued
}

// sizeAtOnce is the most bytes that are given to an idle stream without its writer: half of what gRPC takes without waiting.
const sizeAtOnce = 32 << 10

// sendNow gives a message to the stream itself if nothing is before it and gRPC is sure to take it at once. It spares the way over the writer,
// which is most of what a single change costs. The loop alone calls it.
func (c *conn) sendNow(m bgp.Message) bool {
	if c.flow == nil || !c.flow.idle() {
		return false
	}
	c.mu.Lock()
	free := !c.writing && !c.last && len(c.queue) == 0 // only the loop changes that to false
	c.mu.Unlock()
	if !free {
		return false
	}
	b := encode(m)
	return len(b) <= sizeAtOnce && c.pass(b) == nil
}

// pass gives a frame to the stream.
func (c *conn) pass(b []byte) error {
	if c.flow != nil {
		const prefix = 5 // of a gRPC message
		c.flow.given.Add(int64(prefix + len(b)))
	}
	return c.stream.SendMsg(&rawFrame{b: b})
}

// bulk tells whether a message waits behind others, and costs a credit.
func bulk(m bgp.Message) bool {
	switch m.(type) {
	case *bgp.Update, *bgp.Report, *bgp.WalkRequest, *bgp.WalkReply:
		return true
	}
	return false
}

// send queues a message; whatever is not bulk goes ahead of what is.
func (c *conn) send(m bgp.Message) {
	c.mu.Lock()
	at := len(c.queue)
	if !bulk(m) {
		for at > 0 && bulk(c.queue[at-1]) {
			at--
		}
	}
	c.queue = append(c.queue, nil)
	copy(c.queue[at+1:], c.queue[at:])
	c.queue[at] = m
	c.mu.Unlock()
	c.poke()
}

// finish ends the stream once what is queued has gone, or soon.
func (c *conn) finish() {
	c.mu.Lock()
	c.last = true
	c.mu.Unlock()
	c.poke()
}

func (c *conn) finishing() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.last
}

func (c *conn) poke() {
	select {
	case c.signal <- struct{}{}:
	default:
	}
}

// next takes what is queued, or says that the stream is to end.
func (c *conn) next() (batch []bgp.Message, last bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	batch, c.queue = c.queue, nil
	c.writing = len(batch) > 0
	return batch, c.last
}

// wrote tells that the writer has nothing in its hands.
func (c *conn) wrote() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.writing = false
}

// write sends what is queued until the stream ends; sent is called after each bulk message that the stream took.
func (c *conn) write(ctx context.Context, sent func()) {
	for {
		select {
		case <-c.signal:
		case <-ctx.Done():
			return
		}
		batch, last := c.next()
		for _, m := range batch {
			if err := c.pass(encode(m)); err != nil {
				return
			}
			if bulk(m) {
				sent()
			}
		}
		c.wrote()
		if last {
			if s, ok := c.stream.(interface{ CloseSend() error }); ok {
				_ = s.CloseSend()
			}
			return
		}
	}
}

// encode returns a message's frame. What several streams are sent is encoded by the first of them.
func encode(m bgp.Message) []byte {
	if u, ok := m.(*bgp.Update); ok && u.Encoded != nil {
		return u.Encoded.Bytes(func() []byte { return wire.Append(nil, m) })
	}
	return wire.Append(nil, m)
}

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

// flowOf returns the flow of a stream's connection; nil if it has none.
func flowOf(ctx context.Context) *flow {
	if p, ok := peer.FromContext(ctx); ok {
		if info, ok := p.AuthInfo.(flowInfo); ok {
			return info.flow
		}
	}
	return nil
}

// peerOf returns the node at the other end of a stream, by its verified certificate.
func peerOf(ctx context.Context) (bgp.NodeID, error) {
	p, ok := peer.FromContext(ctx)
	if !ok {
		return bgp.NodeID{}, status.Error(codes.Unauthenticated, "no peer")
	}
	info, ok := p.AuthInfo.(flowInfo)
	if !ok {
		return bgp.NodeID{}, status.Error(codes.Unauthenticated, "no TLS")
	}
	n, err := identity.PeerOf(info.State)
	if err != nil {
		return bgp.NodeID{}, status.Error(codes.Unauthenticated, err.Error())
	}
	return n, nil
}

func dialError(address string, err error, timedOut bool) string {
	if timedOut {
		return fmt.Sprintf("dial %s: no answer within %s", address, dialTimeout)
	}
	return fmt.Sprintf("dial %s: %s", address, status.Convert(err).Message())
}

func streamError(err error) string {
	if err == nil || errors.Is(err, io.EOF) || errors.Is(err, context.Canceled) {
		return "stream closed"
	}
	return status.Convert(err).Message()
}
