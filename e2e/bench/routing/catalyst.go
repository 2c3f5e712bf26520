package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/catalyst-router/catalyst/auth/ca"
	"github.com/catalyst-router/catalyst/auth/disk"
	"github.com/catalyst-router/catalyst/auth/identity"
	"github.com/catalyst-router/catalyst/bgp"
	"github.com/catalyst-router/catalyst/bgp/attr"
	"github.com/catalyst-router/catalyst/bgp/wire"
	"github.com/catalyst-router/catalyst/e2e/bench/routing/bgp4"
	"github.com/catalyst-router/catalyst/e2e/bench/routing/stream"
)

const org = bgp.Org("acme.example")

// catalyst is our node, without an Envoy, as the BGP daemons have none.
type catalyst struct {
	binary  string
	envoy   bool     // with one
	flags   []string // of the node besides
	answers bool     // peers have a mesh ingress that answers; otherwise Envoy is in front of nothing
	egress  string   // of the last node's Envoy
	dir     string
	listen  []netip.AddrPort
	ca      *ca.Authority
}

func newCatalyst(binary string) router { return &catalyst{binary: binary} }

func (*catalyst) Name() string { return "Catalyst" }

func hub(i int) string { return fmt.Sprintf("hub-%d", i) }

func (c *catalyst) data(i int) string { return filepath.Join(c.dir, fmt.Sprintf("d%d", i)) }

// Start implements router.
func (c *catalyst) Start(ctx context.Context, dir string, l line) ([]*os.Process, error) {
	c.dir, c.listen = dir, nil
	err := disk.InitCA(filepath.Join(dir, "org"), org)
	if err != nil {
		return nil, err
	}
	if c.ca, err = disk.LoadCA(filepath.Join(dir, "org")); err != nil {
		return nil, err
	}
	var procs []*os.Process
	for i := range l.daemons {
		p, err := c.node(ctx, i)
		if err != nil {
			return procs, err
		}
		procs = append(procs, p)
	}
	for i := range l.peers {
		name := fmt.Sprintf("p%d", i)
		if _, _, err := disk.IssueNode(c.ca, filepath.Join(dir, name), name, time.Hour); err != nil {
			return procs, err
		}
		if err := c.addPeer(ctx, l.at(i), name); err != nil {
			return procs, err
		}
	}
	for i := 1; i < l.daemons; i++ {
		if err := errors.Join(c.addPeer(ctx, i, hub(i-1)), c.addPeer(ctx, i-1, hub(i), c.listen[i].String())); err != nil {
			return procs, err
		}
	}
	return procs, nil
}

func (c *catalyst) node(ctx context.Context, i int) (*os.Process, error) {
	listen, err := freePort()
	if err != nil {
		return nil, err
	}
	c.listen = append(c.listen, listen)
	if _, _, err := disk.IssueNode(c.ca, filepath.Join(c.dir, hub(i)), hub(i), time.Hour); err != nil {
		return nil, err
	}
	log, err := os.Create(c.data(i) + ".log")
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, c.binary, "node", "--identity", filepath.Join(c.dir, hub(i)), "--data", c.data(i),
		"--admin", "",
		"--peering-listen", listen.String(), "--peering-graceful-restart", "0s")
	if c.envoy {
		for _, flag := range []string{"--envoy-egress", "--envoy-ingress"} {
			at, err := freePort()
			if err != nil {
				return nil, err
			}
			cmd.Args = append(cmd.Args, flag, at.String())
			if flag == "--envoy-egress" {
				c.egress = at.String()
			}
		}
	} else {
		cmd.Args = append(cmd.Args, "--no-envoy")
	}
	cmd.Args = append(cmd.Args, c.flags...)
	cmd.Stderr = log
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	return cmd.Process, nil
}

// addPeer tells node i of a peer; it tries again while the node is starting.
func (c *catalyst) addPeer(ctx context.Context, i int, peer ...string) error {
	retry := time.NewTicker(50 * time.Millisecond)
	defer retry.Stop()
	for deadline := time.Now().Add(20 * time.Second); ; <-retry.C {
		args := append([]string{"--socket", filepath.Join(c.data(i), "catalyst.sock"), "peer", "add"}, peer...)
		out, err := exec.CommandContext(ctx, c.binary, args...).CombinedOutput()
		if err == nil {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%w: %s", err, out)
		}
	}
}

// Peer implements router.
func (c *catalyst) Peer(ctx context.Context, l line, i int) (peer, error) {
	src, err := identity.Open(filepath.Join(c.dir, fmt.Sprintf("p%d", i)))
	if err != nil {
		return nil, err
	}
	at := l.at(i)
	st, err := stream.Dial(ctx, c.listen[at].String(), "/catalyst.peering.v1.Peering/Session",
		src.ClientTLS(bgp.NodeID{Org: org, Name: hub(at)}))
	if err != nil {
		return nil, err
	}
	p := &session{stream: st, self: src.Material().Node, ingress: "127.0.0.1:1"}
	if c.answers {
		if p.ingress, err = c.ingress(ctx, i); err != nil {
			return nil, err
		}
	}
	return p, p.handshake(uint64(i + 1))
}

// session speaks the peering protocol just enough to load a node and to count what comes out.
type session struct {
	stream  *stream.Stream
	self    bgp.NodeID
	ingress string
	held    []uint32 // by route: its newest variant; nil if nobody asks
}

func (s *session) send(m bgp.Message) error { return s.stream.Send(wire.Append(nil, m)) }

func (s *session) receive() (bgp.Message, error) {
	b, err := s.stream.Receive()
	if err != nil {
		return nil, err
	}
	m, n := wire.Decode(b)
	if n != nil {
		return nil, n
	}
	return m, nil
}

func (s *session) handshake(boot uint64) error {
	if err := s.send(&bgp.Open{
		Version:  bgp.Version,
		Node:     s.self,
		HoldTime: 240 * time.Second,
		Ingress:  s.ingress,
		BootID:   boot,
	}); err != nil {
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
		a := bgp.Attributes{
			NodePath: path,
			Protocol: bgp.HTTP,
			Tags:     []string{fmt.Sprintf("route-%d", i), fmt.Sprintf("variant-%d", variant)},
		}
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
			if s.held != nil {
				s.hold(m)
			}
		}
	}
	return nil
}

// Close implements peer.
func (s *session) Close() error { return s.stream.Close() }

// Track implements peer.
func (s *session) Track(n int) {
	if s.held = nil; n > 0 {
		s.held = make([]uint32, n)
	}
}

// Held implements peer.
func (s *session) Held() []uint32 { return s.held }

// Stall implements peer.
func (s *session) Stall() (resume func()) { return s.stream.Stall() }

func (s *session) hold(u *bgp.Update) {
	for i := range u.Announced {
		a, err := attr.Parse(u.Announced[i].Attributes)
		if err != nil || len(a.Tags) < 2 {
			continue
		}
		variant := number(a.Tags[1], "variant-") // tags are sorted
		for _, r := range u.Announced[i].Routes {
			name, _, _ := strings.Cut(string(r.Service), ".")
			if route := number(name, "service-"); route < len(s.held) {
				s.held[route] = uint32(variant)
			}
		}
	}
}

func number(text, prefix string) int {
	n, _ := strconv.Atoi(strings.TrimPrefix(text, prefix))
	return n
}
