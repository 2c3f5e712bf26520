package sim

import (
	"fmt"
	"testing"
	"time"

	"github.com/catalyst-router/catalyst/bgp"
	"github.com/catalyst-router/catalyst/bgp/speaker"
)

// Whatever befalls a network of six, in whatever order: once all is mended, it is quiet, every table is what an
// onlooker of the whole graph says, and every peer holds what the other's books say.
func FuzzNetwork(f *testing.F) {
	f.Add([]byte{0, 0, 9, 0, 1, 20, 4, 2, 10, 5, 2, 200})
	f.Add([]byte{1, 3, 200, 7, 1, 3, 4, 1, 0, 2, 3, 9, 5, 1, 40, 8, 2, 1})
	f.Add([]byte{9, 1, 30, 7, 0, 1, 7, 1, 1, 7, 2, 1, 10, 1, 0, 6, 4, 250, 3, 3, 3, 11, 4, 100})
	f.Fuzz(func(t *testing.T, script []byte) {
		s := small()
		for ; len(script) >= 3 && s.n.Steps < 20_000; script = script[3:] {
			s.order(script[0], script[1], script[2])
			s.n.Run(time.Duration(script[2]) * time.Duration(script[2]) * 2 * time.Millisecond) // up to two minutes
		}
		s.heal()
		s.checkQuiet(t)
		s.checkTables(t)
		s.checkBooks(t)
	})
}

// small is a ring of four with two clients, of one hub and of two.
func small() *storm {
	s := newStorm(1, 0)
	for i := range 6 {
		s.nodes = append(s.nodes, id(fmt.Sprint("n", i)))
		s.n.Add(s.nodes[i], nil)
	}
	for _, e := range []struct {
		a, b int
		hub  bool
	}{{0, 1, false}, {1, 2, false}, {2, 3, false}, {3, 0, false}, {0, 4, true}, {1, 4, true}, {1, 5, true},
		{3, 5, false}} {
		s.link(s.nodes[e.a], s.nodes[e.b], e.hub)
	}
	for i := range 3 {
		s.services = append(s.services, bgp.Service(fmt.Sprintf("s%d.acme.example", i)))
	}
	return s
}

// order does one of the things that may befall a network.
func (s *storm) order(op, what, how byte) {
	n, e := s.n, s.edges[int(what)%len(s.edges)]
	at := s.nodes[int(what)%len(s.nodes)]
	svc := s.services[int(how)%len(s.services)]
	node := n.Node(at)
	switch op % 14 {
	case 0:
		n.Announce(at, svc, bgp.Attributes{Protocol: bgp.HTTP, Region: fmt.Sprint(how % 5)})
	case 1:
		n.Withdraw(at, svc)
	case 2:
		n.Cut(e.a, e.b, time.Duration(how)*time.Millisecond)
	case 3:
		n.Mend(e.a, e.b)
	case 4:
		if node.up {
			n.Crash(at)
		}
	case 5:
		if !node.up {
			node.fresh = how%2 == 0
			n.Restart(at)
		}
	case 6:
		n.Jitter(e.a, e.b, time.Duration(how)*10*time.Millisecond)
	case 7:
		if n.Node(e.a).up {
			n.Stall(e.b, e.a, how%2 == 0)
		}
	case 8:
		if n.Node(e.b).up {
			n.Stall(e.a, e.b, how%2 == 0)
		}
	case 9:
		n.Do(at, speaker.Drain{On: how%2 == 0})
	case 10:
		n.Do(e.a, speaker.PeerReset{Node: e.b})
	case 11:
		n.Do(e.b, speaker.PeerRefresh{Node: e.a})
	case 12: // a rule comes and goes, which is all that is left of it
		p := n.Node(e.a).peers[e.b]
		q := p
		if how%2 == 0 {
			q.Import = rules("reject:s0")
		} else {
			q.Export = rules("reject:s1,pref:7")
		}
		n.SetPeer(e.a, q)
		n.Run(time.Duration(how) * time.Millisecond)
		n.SetPeer(e.a, p)
	case 13:
		n.Do(e.a, speaker.Problem{Service: svc, Kind: bgp.ReportKind(how % 3), Text: "fuzz"})
	}
}
