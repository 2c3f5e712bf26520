package spread

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/catalyst-router/catalyst/bgp"
	"github.com/catalyst-router/catalyst/policy"
)

// network joins nodes by name. It can lose bulletins.
type network struct {
	mu    sync.Mutex
	nodes map[string]*node
	links map[string][]string
	deaf  map[string]bool
	loses func() bool
	cut   map[string]bool
}

type node struct {
	*Spread
	net  *network
	id   bgp.NodeID
	mu   sync.Mutex
	took []string // notes of the sets
	bad  error
}

func nodeID(name string) bgp.NodeID { return bgp.NodeID{Org: "acme.example", Name: name} }

// Hearing implements Peers.
func (n *node) Hearing(context.Context) (hearing, deaf []bgp.NodeID) {
	n.net.mu.Lock()
	defer n.net.mu.Unlock()
	for _, name := range n.net.links[n.id.Name] {
		switch {
		case n.net.cut[name] || n.net.cut[n.id.Name]:
		case n.net.deaf[name]:
			deaf = append(deaf, nodeID(name))
		default:
			hearing = append(hearing, nodeID(name))
		}
	}
	return hearing, deaf
}

// Say implements Peers.
func (n *node) Say(_ context.Context, to bgp.NodeID, body []byte) {
	n.net.mu.Lock()
	defer n.net.mu.Unlock()
	if n.net.cut[to.Name] || n.net.cut[n.id.Name] || n.net.loses != nil && n.net.loses() || len(body) > bgp.MaxBulletin {
		return
	}
	n.net.nodes[to.Name].Heard(n.id, body)
}

// Sign implements Identity: a signature is the name of its signer and the text.
func (n *node) Sign(text []byte) ([]byte, [][]byte, error) {
	return append([]byte(n.id.String()), text...), [][]byte{[]byte(n.id.String())}, nil
}

// Verify implements Identity.
func (n *node) Verify(id bgp.NodeID, text, signature []byte, _ [][]byte, _ time.Time) error {
	if string(signature) != id.String()+string(text) {
		return errors.New("the signature is not its")
	}
	return nil
}

func (n *node) take(_ context.Context, _ *Head, _ []byte, b Bundle) (string, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.bad != nil {
		return "", n.bad
	}
	n.took = append(n.took, b.Note)
	return "set " + b.Note, nil
}

func (n *node) last() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(n.took) == 0 {
		return ""
	}
	return n.took[len(n.took)-1]
}

// join starts the nodes of links such as "a-b", all of whom follow a.
func join(t *testing.T, links string) *network {
	net := &network{nodes: map[string]*node{}, links: map[string][]string{}, deaf: map[string]bool{},
		cut: map[string]bool{}}
	for link := range strings.FieldsSeq(links) {
		a, b, _ := strings.Cut(link, "-")
		net.links[a], net.links[b] = append(net.links[a], b), append(net.links[b], a)
	}
	for name := range net.links {
		n := &node{net: net, id: nodeID(name)}
		n.Spread = New(Config{Self: n.id, Follow: func(id bgp.NodeID) bool { return id.Name == "a" }, Identity: n, Peers: n,
			Take: n.take, Log: slog.New(slog.DiscardHandler)}, nil, nil, "")
		net.nodes[name] = n
	}
	for _, n := range net.nodes {
		go func() { _ = n.Run(t.Context()) }()
	}
	return net
}

// publish has a node apply a set of some size.
func (n *node) publish(t *testing.T, note string, bytes int) {
	t.Helper()
	var text strings.Builder
	for r := rand.New(rand.NewPCG(1, uint64(bytes))); text.Len() < bytes; {
		fmt.Fprintf(&text, "// %x\n", r.Uint64())
	}
	h, packed, err := n.Next(Bundle{Source: policy.Source{Policies: []policy.Document{{Name: "x", Text: text.String()}}},
		Note: note})
	if err != nil {
		t.Fatal(err)
	}
	n.Publish(t.Context(), h, packed, "set "+note)
}

func (net *network) want(t *testing.T, note string) {
	t.Helper()
	for name, n := range net.nodes {
		if got := n.last(); name != "a" && got != note {
			t.Errorf("%s has %q, want %q", name, got, note)
		}
	}
}

// Within a second every node has a set, over two hops, of one part as of many; each says which it has.
func TestEveryNodeHasItWithinASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := join(t, "a-b b-c b-d d-e")
		for i, bytes := range []int{10, 1 << 20} {
			note := fmt.Sprint("set ", i)
			net.nodes["a"].publish(t, note, bytes)
			time.Sleep(time.Second)
			synctest.Wait()
			net.want(t, note)
			time.Sleep(saidEvery)
			synctest.Wait()
			for _, h := range net.nodes["a"].Holders() {
				if h.Serial != uint64(i+1) || h.Set != "set "+note {
					t.Errorf("%+v", h)
				}
			}
		}
		if all := net.nodes["e"].Holders(); len(all) != 5 {
			t.Errorf("e has heard of %d nodes", len(all))
		}
	})
}

// Half of all bulletins may be lost.
func TestWhatIsLostIsSaidAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := join(t, "a-b b-c c-a")
		chance := rand.New(rand.NewPCG(2, 2))
		net.loses = func() bool { return chance.IntN(2) == 0 }
		net.nodes["a"].publish(t, "one", 300_000)
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		net.want(t, "one")
	})
}

// A node that is cut off goes on, knows how old its set is, and catches up when it is back.
func TestCutOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := join(t, "a-b")
		net.nodes["a"].publish(t, "one", 10)
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if age := net.nodes["b"].Age(); age > 3*time.Second || net.nodes["a"].Age() != 0 {
			t.Errorf("b's set is %s old, a's %s", age, net.nodes["a"].Age())
		}
		net.mu.Lock()
		net.cut["b"] = true
		net.mu.Unlock()
		net.nodes["a"].publish(t, "two", 10)
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		if age := net.nodes["b"].Age(); age < 10*time.Minute || net.nodes["b"].last() != "one" {
			t.Errorf("cut off, b's set %q is %s old", net.nodes["b"].last(), age)
		}
		net.mu.Lock()
		net.cut["b"] = false
		net.mu.Unlock()
		time.Sleep(3 * time.Second)
		synctest.Wait()
		net.want(t, "two")
		if age := net.nodes["b"].Age(); age > 3*time.Second {
			t.Errorf("back, b's set is %s old", age)
		}
	})
}

// A set that one node cannot use changes nothing there, and everybody learns why.
func TestASetThatANodeCannotUse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := join(t, "a-b b-c")
		net.nodes["a"].publish(t, "one", 10)
		time.Sleep(time.Second)
		net.nodes["c"].mu.Lock()
		net.nodes["c"].bad = errors.New("unknown attribute")
		net.nodes["c"].mu.Unlock()
		net.nodes["a"].publish(t, "two", 10)
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if got := net.nodes["c"].last(); got != "one" {
			t.Errorf("c has %q", got)
		}
		all := net.nodes["a"].Holders()
		i := slices.IndexFunc(all, func(h Holder) bool { return h.Node.Name == "c" })
		if i < 0 || all[i].Serial != 1 || !strings.Contains(all[i].Error, "unknown attribute") {
			t.Errorf("%+v", all)
		}
	})
}

// What somebody else signed, who is not followed, or is of another organisation, and what was changed on the way, is
// not taken.
func TestForgeries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := join(t, "a-b b-c")
		net.nodes["a"].publish(t, "one", 10)
		time.Sleep(time.Second)
		net.nodes["c"].publish(t, "of c", 10) // b follows a alone
		head := *net.nodes["a"].Head()
		b := net.nodes["b"]
		for _, change := range []func(h *Head){
			func(h *Head) { h.Serial = 9 },
			func(h *Head) { h.Serial = 9; h.Signer.Org = "bravo.example" },
			func(h *Head) { h.Serial = 9; h.Chain = nil },
			func(h *Head) { h.Serial = 9; h.Size = maxBundle + 1 },
			func(h *Head) { h.At = h.At.Add(time.Hour) },
		} {
			h := head
			change(&h)
			b.Heard(nodeID("c"), message{Head: &h}.encode())
		}
		b.Heard(nodeID("c"), []byte("{"))
		b.Heard(nodeID("c"), message{Part: &part{Hash: head.Hash, Data: []byte("x")}}.encode())
		b.Heard(nodeID("c"), message{Want: &want{Hash: head.Hash, Offset: -1}}.encode())
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if got := b.Head(); got.Serial != 1 || got.Signer.Name != "a" || b.last() != "one" {
			t.Errorf("b has %+v", got)
		}
	})
}

// Nodes that would not understand a set are named before it is applied.
func TestTooOld(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := join(t, "a-b b-c a-d")
		net.deaf["d"] = true
		old := Holder{Node: nodeID("c"), Level: 1, At: time.Now()}
		net.nodes["a"].Heard(nodeID("b"), message{Holder: &old}.encode())
		time.Sleep(100 * time.Millisecond)
		synctest.Wait()
		if got := net.nodes["a"].TooOld(t.Context(), 2); len(got) != 2 || got[0] != "acme.example/d" ||
			got[1] != "acme.example/c" {
			t.Errorf("too old: %v", got)
		}
	})
}
