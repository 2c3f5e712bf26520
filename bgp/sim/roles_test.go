package sim

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/catalyst-router/catalyst/bgp"
	"github.com/catalyst-router/catalyst/bgp/attr"
	"github.com/catalyst-router/catalyst/bgp/filter"
	"github.com/catalyst-router/catalyst/bgp/fsm"
	"github.com/catalyst-router/catalyst/bgp/rib"
	"github.com/catalyst-router/catalyst/bgp/speaker"
)

// open are rules that let everything through, transit too: what stays away, roles keep away.
func open() *filter.Chain {
	yes := true
	return &filter.Chain{Terms: []filter.Term{
		{Name: "transit", Match: filter.Match{Transit: &yes}, Action: filter.Accept}, {Name: "own", Action: filter.Accept},
	}}
}

// peered makes two nodes peers; each says what the other is to it.
func peered(n *Net, a, b bgp.NodeID, bIs, aIs bgp.Role) {
	for _, node := range []bgp.NodeID{a, b} {
		if n.Node(node) == nil {
			n.Add(node, nil)
		}
	}
	n.Link(a, b, time.Millisecond)
	n.Peer(a, b, true)
	for _, s := range []struct {
		at, of bgp.NodeID
		role   bgp.Role
	}{{a, b, bIs}, {b, a, aIs}} {
		p := n.Node(s.at).peers[s.of]
		p.Node, p.Role, p.Import, p.Export, p.Namespaces = s.of, s.role, open(), open(), []string{"*"}
		n.SetPeer(s.at, p)
	}
}

// Each pair of roles: provider meets customer, peer meets peer, a side that names none meets all; and both operators
// read what was said.
func TestRolesThatMeet(t *testing.T) {
	roles := []bgp.Role{bgp.RoleNone, bgp.RoleProvider, bgp.RoleCustomer, bgp.RolePeer}
	for _, bIs := range roles {
		for _, aIs := range roles {
			t.Run(fmt.Sprintf("%s,%s", bIs, aIs), func(t *testing.T) {
				n := New(1)
				a, b := id("a"), id("b@bravo")
				peered(n, a, b, bIs, aIs)
				n.Run(3 * time.Second)
				want := bIs == bgp.RoleNone || aIs == bgp.RoleNone || bIs == aIs.Opposite()
				for _, s := range [][2]bgp.NodeID{{a, b}, {b, a}} {
					v, _ := n.Node(s[0]).sp.Peer(s[1])
					if up := v.State == fsm.Established; up != want {
						t.Errorf("%s: up %v, want %v: %s", s[0], up, want, v.LastError)
					}
					if !want && !strings.Contains(v.LastError, "provider meets customer") {
						t.Errorf("%s: %q does not say what is wrong", s[0], v.LastError)
					}
				}
			})
		}
	}
}

// A route goes from left through the middle to right only if left is the middle's customer, or right is (RFC 9234):
// that is true if the middle keeps to its roles, and if it does not, its neighbours do.
func TestRoutesDoNotLeak(t *testing.T) {
	roles := []bgp.Role{bgp.RoleProvider, bgp.RoleCustomer, bgp.RolePeer}
	for _, leftIs := range roles {
		for _, rightIs := range roles {
			want := leftIs == bgp.RoleCustomer || rightIs == bgp.RoleCustomer
			for _, middleForgets := range []bool{false, true} {
				if middleForgets && leftIs == bgp.RoleProvider && rightIs == bgp.RoleProvider {
					// Left marks what it tells its customer, and right must not take marked routes of a customer.
					want = false
				}
				t.Run(fmt.Sprintf("%s,%s,%v", leftIs, rightIs, middleForgets), func(t *testing.T) {
					n := New(1)
					left, middle, right := id("l"), id("m@bravo"), id("r@carol")
					toLeft, toRight := leftIs, rightIs
					if middleForgets {
						toLeft, toRight = bgp.RoleNone, bgp.RoleNone
					}
					peered(n, middle, left, toLeft, leftIs.Opposite())
					peered(n, middle, right, toRight, rightIs.Opposite())
					n.Announce(left, books, http)
					n.Run(3 * time.Second)
					if _, got := n.Node(right).Table[books]; got != want {
						t.Errorf("right has it: %v, want %v; the middle: %v", got, want,
							n.Node(middle).sp.Table().Exports(books))
					}
				})
			}
		}
	}
}

// What a peer sent is shown as it sent it, beside what this side's role made of it.
func TestWhatWasReceivedIsShown(t *testing.T) {
	s := speaker.New(speaker.Config{Self: id("a"), BootID: 1}, rand.New(rand.NewPCG(1, 1)))
	tab := s.Table()
	from := id("p@bravo")
	tab.AddPeer(1, rib.PeerConfig{Node: from, External: true, Role: bgp.RoleProvider, Import: open()})
	tab.Established(1, "")
	svc := service("shop@bravo")
	tab.Apply(1, announced(svc, bgp.Attributes{NodePath: []bgp.NodeID{from}, Protocol: bgp.HTTP}))
	c := tab.Explain(svc)[0]
	if c.Received.OnlyToCustomer != "" || c.Attrs.OnlyToCustomer != "bravo.example" {
		t.Errorf("received %q, made %q", c.Received.OnlyToCustomer, c.Attrs.OnlyToCustomer)
	}
}

func announced(svc bgp.Service, a bgp.Attributes) *bgp.Update {
	return &bgp.Update{Announced: []bgp.Group{{
		Attributes: attr.Append(nil, &a), Routes: []bgp.NLRI{{Service: svc}},
	}}}
}
