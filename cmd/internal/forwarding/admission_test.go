package forwarding

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/catalyst-router/catalyst/bgp"
	"github.com/catalyst-router/catalyst/bgp/filter"
	"github.com/catalyst-router/catalyst/bgp/speaker"
	"github.com/catalyst-router/catalyst/xds"
)

func (f *Forwarder) admitted() xds.Admission {
	f.admission.mu.Lock()
	defer f.admission.mu.Unlock()
	return f.admission.now()
}

func (n *node) peer(t *testing.T, p speaker.Peer) {
	t.Helper()
	n.do(t, speaker.PeerSet{Peer: p})
	if err := n.PeersChanged(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// offers lets a peer have services whose name matches, and no others.
func offers(pattern string) *filter.Chain {
	return &filter.Chain{Default: filter.Reject, Terms: []filter.Term{{
		Name: "offered", Match: filter.Match{Services: []string{pattern}}, Action: filter.Accept,
	}}}
}

// Peers of this organisation come in for everything, from the moment when the order is answered until it is taken back.
func TestWhoComesInFollowsThePeers(t *testing.T) {
	n := start(t, func(*Config) {})
	n.Restored()
	c := bgp.NodeID{Org: "acme.example", Name: "c"}
	if a := n.admitted(); len(a.Peers) > 0 || a.Organisation {
		t.Fatalf("before: %+v", a)
	}
	n.peer(t, speaker.Peer{Node: c})
	if a := n.admitted(); len(a.Peers) != 1 || a.Peers[0].Node != c || !a.Peers[0].Everything || a.Organisation {
		t.Errorf("after it was added: %+v", a)
	}
	n.peer(t, speaker.Peer{Node: c, Disabled: true})
	if a := n.admitted(); len(a.Peers) > 0 {
		t.Errorf("while it is disabled: %+v", a)
	}
	n.peer(t, speaker.Peer{Node: c})
	n.do(t, speaker.PeerRemoved{Node: c})
	if err := n.PeersChanged(t.Context()); err != nil {
		t.Fatal(err)
	}
	if a := n.admitted(); len(a.Peers) > 0 {
		t.Errorf("after it was removed: %+v", a)
	}
}

// A peer of another organisation reaches what the export rules let it have, as rules and services change, and nothing
// else.
func TestAForeignPeerReachesWhatItIsOffered(t *testing.T) {
	x := bgp.NodeID{Org: "bravo.example", Name: "x"}
	dir := t.TempDir()
	n := start(t, func(cfg *Config) { cfg.Data = dir })
	n.Restored()
	may := func() string {
		for _, p := range n.admitted().Peers {
			if p.Node == x {
				text := make([]string, 0, len(p.Services))
				for _, s := range p.Services {
					text = append(text, string(s))
				}
				if p.Everything {
					return "everything"
				}
				return strings.Join(text, " ")
			}
		}
		return "no peer"
	}
	n.announce(t, "one.acme.example", "127.0.0.1:1")
	n.announce(t, "two.acme.example", "127.0.0.1:2")
	n.peer(t, speaker.Peer{Node: x})
	eventually(t, "without rules: "+may(), func() bool { return may() == "" })
	n.peer(t, speaker.Peer{Node: x, Export: offers("one.acme.example")})
	eventually(t, "with a rule for one: "+may(), func() bool { return may() == "one.acme.example" })
	n.peer(t, speaker.Peer{Node: x, Export: offers("*.acme.example")})
	eventually(t, "with a rule for all: "+may(), func() bool { return may() == "one.acme.example two.acme.example" })
	n.announce(t, "three.acme.example", "127.0.0.1:3")
	n.do(t, speaker.LocalRemoved{Service: "one.acme.example"})
	eventually(
		t, "after a change of services: "+may(), func() bool { return may() == "three.acme.example two.acme.example" },
	)
	n.peer(t, speaker.Peer{Node: x, Export: offers("two.acme.example")})
	eventually(t, "after a change of rules: "+may(), func() bool { return may() == "two.acme.example" })

	// The next process knows it before it knows any route, for the peers that are still configured.
	eventually(t, "it is not kept", func() bool {
		text, err := os.ReadFile(filepath.Join(dir, admissionFile))
		return err == nil && strings.Contains(string(text), `{"two.acme.example":true}`)
	})
	again := newAdmission(&Config{Data: dir, Node: n.cfg.Node, Log: n.cfg.Log, Peers: []bgp.NodeID{x}}, nil)
	if a := again.now(); len(a.Peers) != 1 || !slices.Equal(a.Peers[0].Services, []bgp.Service{"two.acme.example"}) {
		t.Errorf("after a restart: %+v", a)
	}
	if a := newAdmission(&Config{Data: dir, Node: n.cfg.Node, Log: n.cfg.Log}, nil).now(); len(a.Peers) > 0 {
		t.Errorf("after a restart without the peer: %+v", a)
	}
	if err := os.WriteFile(filepath.Join(dir, admissionFile), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	broken := newAdmission(&Config{Data: dir, Node: n.cfg.Node, Log: n.cfg.Log, Peers: []bgp.NodeID{x}}, nil)
	if a := broken.now(); len(a.Peers) != 1 || len(a.Peers[0].Services) > 0 {
		t.Errorf("with a damaged file: %+v", a)
	}
}
