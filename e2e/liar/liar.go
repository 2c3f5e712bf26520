// Package liar is a node that has been modified: it speaks the protocol of peers with a node's own certificate, and
// says whatever it is told to. The demo and the tests between organisations put it in the place of a partner's node.
package liar

import (
	"context"
	"fmt"
	"sync"

	"github.com/catalyst-router/catalyst/auth/identity"
	"github.com/catalyst-router/catalyst/bgp"
	"github.com/catalyst-router/catalyst/bgp/attr"
	"github.com/catalyst-router/catalyst/bgp/stream"
	"github.com/catalyst-router/catalyst/bgp/wire"
)

// method is that of the service in bgp/wire/proto.
const method = "/catalyst.peering.v1.Peering/Session"

// Liar is a session with one node.
type Liar struct {
	Node bgp.NodeID // whose certificate it shows

	stream *stream.Stream
	reader sync.WaitGroup

	mu    sync.Mutex
	heard []*bgp.Notification // guarded by mu
	err   error               // guarded by mu; what the session ended with
}

// Dial opens a session as the node whose identity is in a directory with the node that listens for peers at an
// address, and says that role is what it is to that node.
func Dial(ctx context.Context, dir string, to bgp.NodeID, address string, role bgp.Role) (*Liar, error) {
	id, err := identity.Open(dir)
	if err != nil {
		return nil, err
	}
	s, err := stream.Dial(ctx, address, stream.Config{
		Method: method, MaxMessage: bgp.MaxMessageSize, TLS: id.ClientTLS(to),
	})
	if err != nil {
		return nil, fmt.Errorf("dial %s: %w", to, err)
	}
	l := &Liar{Node: id.Material().Node, stream: s}
	l.reader.Go(l.read)
	for _, m := range []bgp.Message{
		&bgp.Open{Version: bgp.Version, Node: l.Node, BootID: 1, Ingress: "127.0.0.1:1", Role: role}, bgp.Keepalive{},
	} {
		if err := s.Send(wire.Append(nil, m)); err != nil {
			l.Close()
			return nil, err
		}
	}
	return l, nil
}

// read takes what the node says until the session ends.
func (l *Liar) read() {
	for {
		b, err := l.stream.Receive()
		l.mu.Lock()
		if m, _ := wire.Decode(b); err == nil && m != nil {
			if n, ok := m.(*bgp.Notification); ok {
				l.heard = append(l.heard, n)
			}
		}
		l.err = err
		l.mu.Unlock()
		if err != nil {
			return
		}
	}
}

// Ended returns the notifications that the node sent, and what the session ended with; nil while it goes on.
func (l *Liar) Ended() ([]*bgp.Notification, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.heard, l.err
}

// Announce announces a service with these attributes as they are: no path is begun and nothing is checked.
func (l *Liar) Announce(svc bgp.Service, a bgp.Attributes) error {
	return l.Frame(wire.Append(nil, &bgp.Update{Announced: []bgp.Group{{
		Attributes: attr.Append(nil, &a), Routes: []bgp.NLRI{{Service: svc}},
	}}}))
}

// Frame sends a message as it is.
func (l *Liar) Frame(b []byte) error { return l.stream.Send(b) }

// Close ends the session.
func (l *Liar) Close() {
	l.stream.Close()
	l.reader.Wait()
}
