//go:build e2e

package soak

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"path/filepath"
	"time"

	"github.com/catalyst-router/catalyst/auth/identity"
	"github.com/catalyst-router/catalyst/bgp"
	"github.com/catalyst-router/catalyst/bgp/fsm"
	"github.com/catalyst-router/catalyst/bgp/peering"
	"github.com/catalyst-router/catalyst/bgp/rib"
	"github.com/catalyst-router/catalyst/bgp/speaker"
	"github.com/catalyst-router/catalyst/e2e/lab"
)

const org = "acme.example"

// churn is what changes around the nodes.
type churn struct {
	rnd     *rand.Rand
	lab     *lab.Lab
	all     []*churner
	version int
	done    counts
}

type counts struct{ announced, withdrawn, resets, restarts int }

func (c counts) String() string {
	return fmt.Sprintf("%d announcements, %d withdrawals, %d sessions reset, %d restarts", c.announced, c.withdrawn,
		c.resets, c.restarts)
}

// churner is a router in this process, with services of its own.
type churner struct {
	id     bgp.NodeID
	src    *identity.Source
	at     *lab.Node
	offers map[bgp.Service]string // to the region, by which a version is known
	router *peering.Router
	stop   context.CancelFunc
	ended  chan error
}

// add issues a router and peers it with a node.
func (c *churn) add(ctx context.Context, name string, at *lab.Node) error {
	dir := filepath.Join(c.lab.Dir, name)
	if _, err := c.lab.Run(ctx, "org", "issue-node", name, "--dir", filepath.Join(c.lab.Dir, "org"), "--out",
		dir); err != nil {
		return err
	}
	src, err := identity.Open(dir)
	if err != nil {
		return err
	}
	if _, err := at.CLI(ctx, "peer", "add", name); err != nil {
		return err
	}
	p := &churner{id: src.Material().Node, src: src, at: at, offers: map[bgp.Service]string{}}
	c.all = append(c.all, p)
	return p.start(ctx, c.rnd.Uint64())
}

func (c *churn) close() {
	for _, p := range c.all {
		p.halt()
	}
}

// start runs the router; it dials its node and announces what it offers.
func (p *churner) start(ctx context.Context, boot uint64) error {
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	p.router = peering.New(peering.Config{
		Speaker: speaker.Config{Self: p.id, BootID: boot, Ingress: "127.0.0.1:1", GracefulRestart: 10 * time.Second,
			DialMin: 50 * time.Millisecond, DialMax: time.Second},
		Identity: p.src, Log: slog.New(slog.DiscardHandler),
	})
	run, cancel := context.WithCancel(context.Background())
	p.stop, p.ended = cancel, make(chan error, 1)
	go func() { p.ended <- p.router.Run(run, lis) }()
	for svc, region := range p.offers {
		if err := p.router.Do(ctx, local(svc, region)); err != nil {
			return err
		}
	}
	return p.router.Do(ctx, speaker.PeerSet{
		Peer: speaker.Peer{Node: bgp.NodeID{Org: org, Name: p.at.Name}, Addresses: []string{p.at.Peering}},
	})
}

func (p *churner) halt() {
	if p.router != nil {
		p.stop()
		<-p.ended
		p.router = nil
	}
}

func local(svc bgp.Service, region string) speaker.LocalSet {
	return speaker.LocalSet{Service: svc, Attributes: bgp.Attributes{Protocol: bgp.HTTP, Region: region}}
}

// warm announces about as much as the churn hovers around.
func (c *churn) warm(ctx context.Context) error {
	for range churners * services / 4 {
		if err := c.announce(ctx, c.one(), c.name()); err != nil {
			return err
		}
	}
	return nil
}

// step makes one change: most often of one service, sometimes of many, now and then of a session or of a whole router.
func (c *churn) step(ctx context.Context) error {
	switch n := c.rnd.IntN(10_000); {
	case n < 5:
		c.done.restarts++
		p := c.one()
		p.halt()
		return p.start(ctx, c.rnd.Uint64())
	case n < 20:
		c.done.resets++
		p := c.one()
		return p.router.Do(ctx, speaker.PeerReset{Node: bgp.NodeID{Org: org, Name: p.at.Name}, Text: "soak"})
	case n < 40:
		for range 100 {
			if err := c.change(ctx); err != nil {
				return err
			}
		}
		return nil
	}
	return c.change(ctx)
}

func (c *churn) one() *churner { return c.all[c.rnd.IntN(len(c.all))] }

// change announces, replaces or withdraws one service of one router. One in four of all that could be announced is,
// in the long run.
func (c *churn) change(ctx context.Context) error {
	for {
		p, svc := c.one(), c.name()
		_, has := p.offers[svc]
		switch {
		case has && c.rnd.IntN(2) == 0:
			c.done.withdrawn++
			delete(p.offers, svc)
			return p.router.Do(ctx, speaker.LocalRemoved{Service: svc})
		case has || c.rnd.IntN(6) == 0:
			return c.announce(ctx, p, svc)
		}
	}
}

func (c *churn) name() bgp.Service {
	return bgp.Service(fmt.Sprintf("s%d.%s", c.rnd.IntN(services), org))
}

func (c *churn) announce(ctx context.Context, p *churner, svc bgp.Service) error {
	c.version++
	c.done.announced++
	p.offers[svc] = fmt.Sprintf("v%d", c.version)
	return p.router.Do(ctx, local(svc, p.offers[svc]))
}

// announced returns all that is announced, with the versions that are true of it.
func (c *churn) announced() map[bgp.Service]map[string]bool {
	all := map[bgp.Service]map[string]bool{}
	for _, p := range c.all {
		for svc, region := range p.offers {
			if all[svc] == nil {
				all[svc] = map[string]bool{}
			}
			all[svc][region] = true
		}
	}
	return all
}

// settled waits until everyone holds exactly what is announced, and the books of both ends of every session agree.
func (c *churn) settled(ctx context.Context, hub, spoke *lab.Node) error {
	want := c.announced()
	for _, p := range c.all {
		if err := lab.Eventually(ctx, p.id.Name+" holds what is announced",
			func(ctx context.Context) error { return p.holds(ctx, want) }); err != nil {
			return err
		}
		if err := lab.Eventually(ctx, "the books of "+p.id.Name+" and "+p.at.Name, p.balances); err != nil {
			return err
		}
	}
	return lab.Eventually(ctx, "the books of hub and spoke", func(ctx context.Context) error {
		a, err := booksOf(ctx, hub, spoke.Name)
		if err != nil {
			return err
		}
		b, err := booksOf(ctx, spoke, hub.Name)
		if err == nil && (a.Received != b.Advertised || a.Advertised != b.Received || a.Pending+b.Pending > 0) {
			err = fmt.Errorf("hub: %+v, spoke: %+v", a, b)
		}
		return err
	})
}

// holds compares a router's table with what is announced everywhere.
func (p *churner) holds(ctx context.Context, want map[bgp.Service]map[string]bool) error {
	var wrong error
	err := p.router.Query(ctx, func(s *speaker.Speaker) {
		seen := 0
		s.Table().Scan(0, services+1, func(sel rib.Selected) {
			seen++
			best := sel.Tiers[0][0]
			if best.Stale || !want[sel.Service][best.Attrs.Region] {
				wrong = fmt.Errorf("%s is held as %q (stale: %v), announced as %v", sel.Service, best.Attrs.Region, best.Stale,
					want[sel.Service])
			}
		})
		if seen != len(want) && wrong == nil {
			wrong = fmt.Errorf("%d services are held, %d announced", seen, len(want))
		}
	})
	if err != nil {
		return err
	}
	return wrong
}

// books are a node's counts of one peer.
type books struct{ Received, Advertised, Pending, Stale int }

func booksOf(ctx context.Context, n *lab.Node, peer string) (b books, err error) {
	err = n.JSON(ctx, &b, "peer", "show", peer)
	return b, err
}

func (p *churner) balances(ctx context.Context) error {
	there, err := booksOf(ctx, p.at, p.id.Name)
	if err != nil {
		return err
	}
	var here books
	err = p.router.Query(ctx, func(s *speaker.Speaker) {
		v, _ := s.Peer(bgp.NodeID{Org: org, Name: p.at.Name})
		if v.State == fsm.Established {
			here = books{Received: v.Routes.Received, Advertised: v.Routes.Advertised, Pending: v.Pending, Stale: v.Routes.Stale}
		}
	})
	if err == nil && (here.Received != there.Advertised || here.Advertised != there.Received ||
		here.Pending+there.Pending+here.Stale+there.Stale > 0) {
		err = fmt.Errorf("%s: %+v, %s: %+v", p.id.Name, here, p.at.Name, there)
	}
	return err
}
