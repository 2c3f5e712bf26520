package peering

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/catalyst-router/catalyst/bgp"
	"github.com/catalyst-router/catalyst/bgp/speaker"
	"github.com/catalyst-router/catalyst/bgp/wire"
)

// method is that of the service in bgp/wire/proto.
const method = "/catalyst.peering.v1.Peering/Session"

// link is what a session needs of its stream.
type link interface {
	TrySend(m []byte) bool
	Send(m []byte) error
	End(code codes.Code, text string)
}

// conn is one stream.
type conn struct {
	id     speaker.ConnID
	link   link
	signal chan struct{}
	over   chan struct{} // closed when the stream is to end
	remote bgp.NodeID
	shown  []*x509.Certificate // what the other side showed last, its own first; empty where there is no TLS
	name   []byte              // what both ends call it; nil where there is no TLS
	proved chan struct{}       // other certificates have been shown

	mu      sync.Mutex
	queue   []bgp.Message // guarded by mu; a few UPDATEs, by the speaker's credits, and what goes ahead of them
	last    bool          // guarded by mu: end the stream when the queue is empty
	writing bool          // guarded by mu: the writer has taken what was queued
}

func newConn(l link) *conn {
	return &conn{link: l, signal: make(chan struct{}, 1), over: make(chan struct{}), proved: make(chan struct{}, 1)}
}

// sizeAtOnce is the most bytes that the loop sends by itself: more is for the stream's own writer, so that those of
// many peers work side by side.
const sizeAtOnce = 32 << 10

// sendNow writes a message in the caller's goroutine, and tells whether it could: no other message may wait before
// it, and the peer's window and the socket must have room. To hand it to the writer's goroutine instead is most of
// what a single change costs. Only the loop calls it.
func (c *conn) sendNow(m bgp.Message) bool {
	c.mu.Lock()
	free := !c.writing && !c.last && len(c.queue) == 0 // only the loop changes that to false
	c.mu.Unlock()
	if !free {
		return false
	}
	b := encode(m)
	return len(b) <= sizeAtOnce && c.link.TrySend(b)
}

// send queues a message; whatever is not bulk goes ahead of what is.
func (c *conn) send(m bgp.Message) {
	c.mu.Lock()
	at := len(c.queue)
	if !bgp.Bulk(m) {
		for at > 0 && bgp.Bulk(c.queue[at-1]) {
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
	if !c.last {
		c.last = true
		close(c.over)
	}
	c.mu.Unlock()
	c.poke()
}

// outlast waits until a stream's reader and writer have ended, or ctx has, and returns the reader's error. A stream
// that is told to end is given a moment, in which its last message (a NOTIFICATION, say) goes out and the other side
// can read it.
func (c *conn) outlast(ctx context.Context, read <-chan error, written <-chan struct{}) (err error) {
	select {
	case err = <-read:
		if read = nil; !c.finishing() {
			return err
		}
	case <-written:
		written = nil
	case <-c.over:
	case <-ctx.Done():
		return nil
	}
	grace := time.NewTimer(closeGrace)
	defer grace.Stop()
	for read != nil || written != nil {
		select {
		case err = <-read:
			read = nil
		case <-written:
			written = nil
		case <-grace.C:
			return err
		case <-ctx.Done():
			return err
		}
	}
	return err
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
			if err := c.link.Send(encode(m)); err != nil {
				return
			}
			if bgp.Bulk(m) {
				sent()
			}
		}
		c.wrote()
		if last {
			c.link.End(codes.OK, "")
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

func dialError(address string, err error, timedOut bool) string {
	if timedOut {
		return fmt.Sprintf("dial %s: no answer within %s", address, dialTimeout)
	}
	return fmt.Sprintf("dial %s: %v", address, err)
}

func streamError(err error) string {
	if err == nil || errors.Is(err, io.EOF) || errors.Is(err, net.ErrClosed) || errors.Is(err, context.Canceled) {
		return "stream closed"
	}
	return err.Error()
}
