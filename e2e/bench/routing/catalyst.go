package main

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/mem"

	"github.com/catalyst-router/catalyst/auth/ca"
	"github.com/catalyst-router/catalyst/auth/identity"
	"github.com/catalyst-router/catalyst/bgp"
	"github.com/catalyst-router/catalyst/bgp/attr"
	"github.com/catalyst-router/catalyst/bgp/wire"
	"github.com/catalyst-router/catalyst/e2e/bench/routing/bgp4"
)

const org = bgp.Org("acme.example")

// catalyst is our node, without an Envoy, as the BGP daemons have none.
type catalyst struct {
	binary string
	dir    string
	listen netip.AddrPort
	ca     *ca.Authority
}

func newCatalyst(binary string) router { return &catalyst{binary: binary} }

func (*catalyst) Name() string { return "Catalyst" }

func (c *catalyst) Start(ctx context.Context, dir string, peers int) (*os.Process, error) {
	c.dir = dir
	var err error
	if c.listen, err = freePort(); err != nil {
		return nil, err
	}
	if err := ca.Init(filepath.Join(dir, "org"), org); err != nil {
		return nil, err
	}
	if c.ca, err = ca.Load(filepath.Join(dir, "org")); err != nil {
		return nil, err
	}
	if _, _, err := c.ca.IssueNode(filepath.Join(dir, "hub"), "hub", time.Hour); err != nil {
		return nil, err
	}
	log, err := os.Create(filepath.Join(dir, "node.log"))
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, c.binary, "node", "--identity", filepath.Join(dir, "hub"), "--data", filepath.Join(dir, "d"), "--no-envoy", "--admin", "",
		"--peering-listen", c.listen.String(), "--peering-graceful-restart", "0s")
	cmd.Stderr = log
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	for i := range peers {
		if err := c.addPeer(ctx, i); err != nil {
			return cmd.Process, err
		}
	}
	return cmd.Process, nil
}

func (c *catalyst) addPeer(ctx context.Context, i int) error {
	name := fmt.Sprintf("p%d", i)
	if _, _, err := c.ca.IssueNode(filepath.Join(c.dir, name), name, time.Hour); err != nil {
		return err
	}
	retry := time.NewTicker(50 * time.Millisecond)
	defer retry.Stop()
	for deadline := time.Now().Add(10 * time.Second); ; <-retry.C {
		out, err := exec.CommandContext(ctx, c.binary, "--socket", filepath.Join(c.dir, "d", "catalyst.sock"), "peer", "add", name).CombinedOutput()
		if err == nil {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%w: %s", err, out)
		}
	}
}

func (c *catalyst) Peer(ctx context.Context, i int) (peer, error) {
	src, err := identity.Open(filepath.Join(c.dir, fmt.Sprintf("p%d", i)))
	if err != nil {
		return nil, err
	}
	cc, err := grpc.NewClient("passthrough:///"+c.listen.String(),
		grpc.WithTransportCredentials(credentials.NewTLS(src.ClientTLS(bgp.NodeID{Org: org, Name: "hub"}))),
		grpc.WithInitialWindowSize(4<<20), grpc.WithInitialConnWindowSize(4<<20), grpc.WithDefaultCallOptions(grpc.ForceCodecV2(codec{})))
	if err != nil {
		return nil, err
	}
	stream, err := cc.NewStream(ctx, &grpc.StreamDesc{StreamName: "Session", ServerStreams: true, ClientStreams: true}, "/catalyst.peering.v1.Peering/Session")
	if err != nil {
		return nil, err
	}
	p := &session{cc: cc, stream: stream, self: src.Material().Node}
	return p, p.handshake(uint64(i + 1))
}

// session speaks the peering protocol just enough to load a node and to count what comes out.
type session struct {
	cc     *grpc.ClientConn
	stream grpc.ClientStream
	self   bgp.NodeID
}

type frame struct{ b []byte }

type codec struct{}

func (codec) Name() string { return "proto" }
func (codec) Marshal(v any) (mem.BufferSlice, error) {
	return mem.BufferSlice{mem.SliceBuffer(v.(*frame).b)}, nil
}
func (codec) Unmarshal(data mem.BufferSlice, v any) error {
	v.(*frame).b = data.Materialize()
	return nil
}

func (s *session) send(m bgp.Message) error {
	return s.stream.SendMsg(&frame{wire.Append(nil, m)})
}

func (s *session) receive() (bgp.Message, error) {
	var f frame
	if err := s.stream.RecvMsg(&f); err != nil {
		return nil, err
	}
	m, n := wire.Decode(f.b)
	if n != nil {
		return nil, n
	}
	return m, nil
}

func (s *session) handshake(boot uint64) error {
	if err := s.send(&bgp.Open{Version: bgp.Version, Node: s.self, HoldTime: 240 * time.Second, Ingress: "127.0.0.1:1", BootID: boot}); err != nil {
		return err
	}
	for {
		m, err := s.receive()
		if err != nil {
			return err
		}
		switch m := m.(type) {
		case *bgp.Notification:
			return m
		case bgp.Keepalive:
			return s.send(bgp.Keepalive{})
		}
	}
}

func service(i int) bgp.Service { return bgp.Service(fmt.Sprintf("service-%d.acme.example", i)) }

// Announce implements peer, in messages of 64 KiB at the most.
func (s *session) Announce(first, n int, variant uint32, extra int) error {
	path := []bgp.NodeID{s.self, {Org: org, Name: "origin"}}
	for i := range extra {
		path = append(path, bgp.NodeID{Org: org, Name: fmt.Sprintf("far-%d", i)})
	}
	u, size := &bgp.Update{}, 0
	for i := first; i < first+n; i++ {
		a := bgp.Attributes{NodePath: path, Protocol: bgp.HTTP, Tags: []string{fmt.Sprintf("route-%d", i), fmt.Sprintf("variant-%d", variant)}}
		set := attr.Append(nil, &a)
		u.Announced = append(u.Announced, bgp.Group{Attributes: set, Routes: []bgp.NLRI{{Service: service(i)}}})
		if size += len(set) + 40; size > bgp.MaxUpdateSize || len(u.Announced) == bgp.MaxUpdateRoutes || i == first+n-1 {
			if err := s.send(u); err != nil {
				return err
			}
			u, size = &bgp.Update{}, 0
		}
	}
	return nil
}

// Withdraw implements peer.
func (s *session) Withdraw(first, n int) error {
	u := &bgp.Update{}
	for i := first; i < first+n; i++ {
		u.Withdrawn = append(u.Withdrawn, bgp.NLRI{Service: service(i)})
		if len(u.Withdrawn) == bgp.MaxUpdateRoutes || i == first+n-1 {
			if err := s.send(u); err != nil {
				return err
			}
			u = &bgp.Update{}
		}
	}
	return nil
}

// Receive implements peer.
func (s *session) Receive(total *bgp4.Counts, done func(bgp4.Counts) bool) error {
	for !done(*total) {
		m, err := s.receive()
		if err != nil {
			return err
		}
		switch m := m.(type) {
		case *bgp.Notification:
			return m
		case *bgp.Update:
			total.Withdrawn += len(m.Withdrawn)
			for i := range m.Announced {
				total.Announced += len(m.Announced[i].Routes)
			}
		}
	}
	return nil
}

// Close implements peer.
func (s *session) Close() error { return s.cc.Close() }
