package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/catalyst-router/catalyst/auth/identity"
	"github.com/catalyst-router/catalyst/bgp"
	"github.com/catalyst-router/catalyst/bgp/attr"
	"github.com/catalyst-router/catalyst/bgp/stream"
	"github.com/catalyst-router/catalyst/bgp/wire"
)

// kind is one way to flood a node.
type kind struct {
	name  string
	does  string
	spins bool // no node hears of it: it uses a core, for what that alone does to others
	again bool // it is sent again and again until the measurement is over
	pause time.Duration
	// frames returns what is sent by a node of that id.
	frames func(self bgp.NodeID) [][]byte
}

// kinds returns the floods, each in the size that docs/benchmarks.md gives figures of.
func kinds() []kind {
	return []kind{
		{name: "spin", does: "nothing is sent: the attacking process uses a core", spins: true},
		{name: "paths", does: "200,000 path ids of one service", again: true, frames: func(self bgp.NodeID) [][]byte {
			return announce(self, 200_000, bgp.MaxUpdateRoutes, 0, 0, func(i int) bgp.NLRI {
				return bgp.NLRI{Service: "flood.acme.example", PathID: uint32(i + 1)}
			})
		}},
		{name: "subscribe", does: "SUBSCRIBE with 10,000 other names, 120 a second", again: true, pause: time.Second / 120,
			frames: func(bgp.NodeID) [][]byte { return subscriptions() }},
		{name: "large", does: "50,000 routes of 29 KiB", again: true, frames: func(self bgp.NodeID) [][]byte {
			return announce(self, 50_000, 8, 29<<10, 0, numbered)
		}},
		{name: "heavy", does: "30,000 routes of 15 KiB, which are taken", frames: func(self bgp.NodeID) [][]byte {
			return announce(self, 30_000, 16, 15<<10, 0, numbered)
		}},
		{name: "million", does: "1,000,000 routes", frames: func(self bgp.NodeID) [][]byte {
			return announce(self, 1_000_000, bgp.MaxUpdateRoutes, 0, 0, numbered)
		}},
		{name: "updates", does: "UPDATEs of 1,000 routes, 50,000 services that change without end", again: true,
			frames: func(self bgp.NodeID) [][]byte {
				return append(announce(self, 50_000, bgp.MaxUpdateRoutes, 0, 1, numbered),
					announce(self, 50_000, bgp.MaxUpdateRoutes, 0, 2, numbered)...)
			}},
	}
}

func numbered(i int) bgp.NLRI {
	return bgp.NLRI{Service: bgp.Service(fmt.Sprintf("flood-%d.acme.example", i))}
}

// announce makes frames of so many routes each, with so many bytes of attributes a route of its own, or with the same
// for all if size is 0.
func announce(self bgp.NodeID, n, per, size int, med uint32, route func(int) bgp.NLRI) [][]byte {
	set := bgp.Attributes{Protocol: bgp.HTTP, NodePath: []bgp.NodeID{self}, MED: med}
	var frames [][]byte
	u := &bgp.Update{}
	for i := range n {
		own := set
		if size > 0 {
			own.Attestation = fmt.Appendf(make([]byte, 0, size), "%0*d", size, i)
		}
		if g := len(u.Announced) - 1; g >= 0 && size == 0 {
			u.Announced[g].Routes = append(u.Announced[g].Routes, route(i))
		} else {
			u.Announced = append(u.Announced, bgp.Group{Attributes: attr.Append(nil, &own), Routes: []bgp.NLRI{route(i)}})
		}
		if (i+1)%per == 0 || i == n-1 {
			frames = append(frames, wire.Append(nil, u))
			u = &bgp.Update{}
		}
	}
	return frames
}

// subscriptions makes two lists of as many names as may be, none of which the other has.
func subscriptions() [][]byte {
	var frames [][]byte
	for k := range 2 {
		sub := &bgp.Subscribe{}
		for i := range bgp.MaxSubscriptions {
			sub.Services = append(sub.Services, bgp.Service(fmt.Sprintf("want-%d-%d.acme.example", k, i)))
		}
		frames = append(frames, wire.Append(nil, sub))
	}
	return frames
}

// session is a stream with a node by the identity in a directory.
type session struct {
	*stream.Stream
	self bgp.NodeID
}

func dial(ctx context.Context, dir string, to bgp.NodeID, address string) (*session, error) {
	id, err := identity.Open(dir)
	if err != nil {
		return nil, err
	}
	s, err := stream.Dial(ctx, address, stream.Config{
		Method: "/catalyst.peering.v1.Peering/Session", MaxMessage: bgp.MaxMessageSize, TLS: id.ClientTLS(to),
	})
	if err != nil {
		return nil, err
	}
	x := &session{s, id.Material().Node}
	for _, m := range []bgp.Message{&bgp.Open{
		Version: bgp.Version, Node: x.self, BootID: uint64(time.Now().UnixNano()), Ingress: "127.0.0.1:1",
		Capabilities: bgp.Capabilities{Subscribe: false},
	}, bgp.Keepalive{}} {
		if err := x.Send(wire.Append(nil, m)); err != nil {
			x.Close()
			return nil, err
		}
	}
	return x, nil
}

// attack is the program's other end: a process of its own, so that what it costs is not in the measurement. Its
// session is opened again whenever the node has ended it.
func attack(ctx context.Context, args []string) error {
	if len(args) != 4 {
		return errors.New("usage: floods attack KIND DIR NODE ADDRESS")
	}
	org, name, _ := strings.Cut(args[2], "/")
	for _, k := range kinds() {
		if k.name != args[0] {
			continue
		}
		for k.spins && ctx.Err() == nil {
		}
		if k.spins {
			return nil
		}
		frames := k.frames(bgp.NodeID{Org: bgp.Org(org), Name: "crowd"})
		for ctx.Err() == nil {
			s, err := dial(ctx, args[1], bgp.NodeID{Org: bgp.Org(org), Name: name}, args[3])
			if err != nil {
				time.Sleep(50 * time.Millisecond) // the node holds the door shut for a while
				continue
			}
			if send(ctx, s, k, frames) == nil {
				<-ctx.Done() // all was sent: it stays
			}
			s.Close()
			time.Sleep(10 * time.Millisecond) // its own handshakes are not to be what is measured
		}
		return nil
	}
	return errors.New("no flood is called " + strconv.Quote(args[0]))
}

// send sends a flood until it is over, or the session is.
func send(ctx context.Context, s *session, k kind, frames [][]byte) error {
	ended := make(chan error, 1)
	go func() {
		for {
			if _, err := s.Receive(); err != nil {
				s.Close()
				ended <- err
				return
			}
		}
	}()
	stop := context.AfterFunc(ctx, s.Close)
	defer stop()
	for {
		for _, f := range frames {
			if err := s.Send(f); err != nil {
				return err
			}
			if k.pause > 0 {
				time.Sleep(k.pause)
			}
			if len(ended) > 0 {
				return <-ended
			}
		}
		if !k.again {
			return nil
		}
	}
}
