package trace

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/catalyst-router/catalyst/bgp"
	"github.com/catalyst-router/catalyst/bgp/fsm"
	"github.com/catalyst-router/catalyst/bgp/peering"
	"github.com/catalyst-router/catalyst/bgp/rib"
	"github.com/catalyst-router/catalyst/bgp/speaker"
	"github.com/catalyst-router/catalyst/cmd/internal/offer/probe"
	"github.com/catalyst-router/catalyst/xds"
	"github.com/catalyst-router/catalyst/xds/ads"
)

const books = bgp.Service("books.acme.example")

func id(name string) bgp.NodeID { return bgp.NodeID{Org: "acme.example", Name: name} }

// world is a line of nodes, a the last, in which things can be broken.
type world struct {
	nodes map[bgp.NodeID]*fake
	dead  map[string]error // addresses, and "tls "+node
	// tunnels are the nodes that are reached by tunnels, with an error for one that holds none.
	tunnels map[string]error
	ids     uint64
}

type fake struct {
	w      *world
	self   bgp.NodeID
	facts  Facts
	envoy  error
	hosts  []Host
	silent error // what Ask of this node answers
	tracer *Tracer
	asked  atomic.Int64
	calls  []Seen // nil if it is not told of calls
	joins  []bgp.Org
}

func (f *fake) Self() bgp.NodeID { return f.self }

func (f *fake) Facts(context.Context, bgp.Service) (*Facts, error) { c := f.facts; return &c, nil }

func (f *fake) Clusters(_ context.Context, names []string) ([]string, []Host, error) {
	return names, f.hosts, f.envoy
}

func (f *fake) Speaks(context.Context, bgp.Service, Place) (probe.Spoken, error) {
	return probe.Spoken{}, nil
}
func (f *fake) Reach(_ context.Context, p Place) error          { return f.w.dead[p.Address] }
func (f *fake) Connect(_ context.Context, address string) error { return f.w.dead[address] }

func (f *fake) Tunnel(_ context.Context, hop bgp.NodeID) (bool, error) {
	err, tunnelled := f.w.tunnels[hop.Name]
	return tunnelled, err
}

func (f *fake) Handshake(_ context.Context, hop bgp.NextHop) (string, error) {
	return hop.Node.URI(), f.w.dead["tls "+hop.Node.Name]
}

func (f *fake) Calls(bgp.Service, string) ([]Seen, bool) { return f.calls, f.calls != nil }
func (f *fake) Joins(org bgp.Org) bool                   { return slices.Contains(f.joins, org) }

func (f *fake) Ask(ctx context.Context, peer bgp.NodeID, req bgp.TraceRequest) ([]bgp.TraceHop, error) {
	n := f.w.nodes[peer]
	if n.silent != nil {
		return nil, n.silent
	}
	n.asked.Add(1)
	return bgp.Bounded(n.tracer.Answer(ctx, f.self, req)), nil
}

// line makes c – b – a, with books at a; policy is everybody's.
func line(policy Policy, names ...string) *world {
	w := &world{nodes: map[bgp.NodeID]*fake{}, dead: map[string]error{}}
	for i, name := range names {
		n := &fake{w: w, self: id(name)}
		ref := xds.Ref{Type: xds.TypeCluster, Name: "http/" + string(books)}
		n.facts = Facts{Supervised: true, Connected: []string{name}, Egress: "egress-" + name, Compiled: []xds.Ref{ref},
			Envoys: []ads.ServiceStatus{{
				Node:     name,
				Resource: ref,
				Current:  "v1",
				Sent:     "v1",
				Acked:    "v1",
				AckedAt:  time.Unix(1, 0),
			}}}
		var path []bgp.NodeID
		for _, further := range names[i+1:] {
			path = append(path, id(further))
		}
		if i == len(names)-1 {
			n.facts.Paths = []rib.Candidate{{Path: rib.Path{Peer: n.self, Local: true}}}
			n.facts.Workload = Workload{Address: "workload", At: []Place{{Address: "workload"}}}
		} else {
			next := id(names[i+1])
			n.facts.Paths = []rib.Candidate{{
				Path: rib.Path{
					Peer:    next,
					Attrs:   bgp.Attributes{NodePath: path},
					NextHop: bgp.NextHop{Node: next, Address: "ingress-" + next.Name},
				},
			}}
		}
		for _, j := range []int{i - 1, i + 1} {
			if j >= 0 && j < len(names) {
				n.facts.Peers = append(n.facts.Peers,
					speaker.PeerView{
						Config: speaker.Peer{Node: id(names[j])},
						State:  fsm.Established,
						Caps:   bgp.Capabilities{Trace: true},
					})
				n.facts.Exports = append(n.facts.Exports, rib.Export{Peer: id(names[j]), Told: j < i})
			}
		}
		n.tracer = New(n, policy, func() uint64 { w.ids++; return w.ids })
		w.nodes[n.self] = n
	}
	return w
}

func (w *world) trace(t *testing.T, from string) []bgp.TraceHop {
	t.Helper()
	hops, err := w.nodes[id(from)].tracer.Begin(t.Context(), books)
	if err != nil {
		t.Fatal(err)
	}
	return hops
}

// unheard takes a node's routes away.
func (w *world) unheard(names ...string) {
	for _, n := range names {
		f := &w.nodes[id(n)].facts
		f.Paths, f.Exports, f.Compiled, f.Envoys = nil, nil, nil, nil
	}
}

func text(hops []bgp.TraceHop) string {
	var b strings.Builder
	for _, h := range hops {
		fmt.Fprintf(&b, "%s %s\n", h.Node, h.Note)
		for _, s := range h.Steps {
			fmt.Fprintf(&b, "  %s %s: %s (%s)\n", s.State, s.Name, s.Text, s.Advice)
		}
	}
	return b.String()
}

func TestAllIsWell(t *testing.T) {
	hops := line(Given, "c", "b", "a").trace(t, "c")
	if Broken(hops) != nil || !Complete(hops) {
		t.Fatalf("broken: %+v\n%s", Broken(hops), text(hops))
	}
	want := []string{
		"c listener session route filter compiled sent acknowledged envoy",
		"b listener tls session route filter compiled sent acknowledged envoy",
		"a listener tls route compiled sent acknowledged envoy backend",
	}
	var got []string
	for _, h := range hops {
		line := h.Node.Name
		for _, s := range h.Steps {
			line += " " + s.Name
		}
		got = append(got, line)
	}
	if !slices.Equal(got, want) {
		t.Errorf("steps are\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// Whatever is broken on purpose is named, with the node and the step, and with something to do.
func TestEachBreakIsNamed(t *testing.T) {
	refused := errors.New("connection refused")
	for _, c := range []struct {
		name       string
		breakIt    func(*world)
		node, step string
		says       string // in text or advice
	}{
		{"own Envoy does not listen", func(w *world) { w.dead["egress-c"] = refused }, "c", "listener", "refused"},
		{"not compiled", func(w *world) { w.nodes[id("b")].facts.Problem = "no port is left" }, "b", "compiled", "no port"},
		{"nothing compiled", func(w *world) { w.nodes[id("b")].facts.Compiled = nil }, "b", "compiled", "nothing"},
		{"no Envoy connected", func(w *world) { w.nodes[id("b")].facts.Connected = nil }, "b", "sent", "no Envoy"},
		{"Envoy refuses", func(w *world) { w.nodes[id("b")].facts.Envoys[0].Error = "bad regex" }, "b", "acknowledged",
			"bad regex"},
		{"Envoy does not answer", func(w *world) { w.nodes[id("a")].envoy = refused }, "a", "envoy", "refused"},
		{"next hop's listener", func(w *world) { w.dead["ingress-b"] = refused }, "b", "listener", "refused"},
		{"next hop's listener, and it knows why",
			func(w *world) { w.dead["ingress-b"] = refused; w.nodes[id("b")].envoy = errors.New("no such file") }, "b",
			"listener", "no such file"},
		{"next hop holds no tunnel", func(w *world) { w.tunnels = map[string]error{"b": errors.New("no tunnel")} }, "b",
			"listener", "envoy.tunnels-to"},
		{"next hop's certificate", func(w *world) { w.dead["tls a"] = errors.New("certificate has expired") }, "a", "tls",
			"issue-node"},
		{"workload", func(w *world) { w.dead["workload"] = refused }, "a", "backend", "--addr"},
		{"health check", func(w *world) {
			w.nodes[id("a")].facts.Workload = Workload{
				Address: "workload",
				At:      []Place{{Address: "workload"}},
				Check:   "/healthz",
				Health:  bgp.HealthDown,
				Error:   "503",
			}
		}, "a", "health", "503"},
		{"health check, and withdrawn for it", func(w *world) {
			w.unheard("c", "b", "a")
			w.nodes[id("a")].facts.Workload = Workload{
				Address: "workload",
				At:      []Place{{Address: "workload"}},
				Check:   "/healthz",
				Health:  bgp.HealthDown,
				Error:   "503",
			}
		}, "a", "health", "503"},
		{"rejected here", func(w *world) {
			w.nodes[id("c")].facts.Paths[0].Reject, w.nodes[id("c")].facts.Paths[0].Term = rib.RejectFilter, "no-books"
		}, "c", "filter", "no-books"},
		{"rejected at b, and c has never heard of it", func(w *world) {
			w.unheard("c")
			w.nodes[id("b")].facts.Paths[0].Reject, w.nodes[id("b")].facts.Paths[0].Term = rib.RejectFilter, "no-books"
		}, "b", "filter", "no-books"},
		{"not exported by b", func(w *world) {
			w.unheard("c")
			w.nodes[id("b")].facts.Exports = []rib.Export{{Peer: id("c"), Why: rib.WithheldFilter, Term: "secret"}}
		}, "b", "export", "secret"},
		{"session between b and a", func(w *world) {
			w.unheard("c", "b")
			p := &w.nodes[id("b")].facts.Peers[1]
			p.State, p.LastError, p.Remote = fsm.Active, "cease: administrative shutdown", true
		}, "b", "session", "administrative shutdown"},
		{"not subscribed to", func(w *world) {
			w.unheard("c", "b", "a")
			w.nodes[id("c")].facts.Peers[0].Config.Subscribe = []bgp.Service{"films.acme.example"}
		}, "c", "route", "subscribes to"},
		{"over the limit", func(w *world) {
			w.unheard("c", "b", "a")
			w.nodes[id("c")].facts.Peers[0].Routes = rib.PeerCounts{Received: 5, Blocked: 1}
		}, "c", "route", "beyond 5 routes"},
		{"nobody knows it", func(w *world) { w.unheard("c", "b", "a") }, "c", "route", "is the name right"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := line(Organisation, "c", "b", "a")
			c.breakIt(w)
			hops := w.trace(t, "c")
			broken := Broken(hops)
			if broken == nil || broken.Node != id(c.node) || broken.Step.Name != c.step {
				t.Fatalf("named %+v, want %s %s\n%s", broken, c.node, c.step, text(hops))
			}
			if !strings.Contains(broken.Step.Text+broken.Step.Advice, c.says) || broken.Step.Advice == "" {
				t.Errorf("says %q and advises %q, want %q", broken.Step.Text, broken.Step.Advice, c.says)
			}
		})
	}
}

// What is not known is not called broken.
func TestUnknownIsNotBroken(t *testing.T) {
	for name, change := range map[string]func(*world){
		"a node declines":                    func(w *world) { w.nodes[id("b")].silent = peering.ErrNoAnswers },
		"a session is down, routes are kept": func(w *world) { w.nodes[id("c")].facts.Peers[0].State = fsm.Active },
		"an Envoy of somebody else":          func(w *world) { w.nodes[id("b")].facts.Supervised = false },
		"an Envoy has not answered":          func(w *world) { w.nodes[id("b")].facts.Envoys[0].Acked = "v0" },
		"a reflected route":                  func(w *world) { w.nodes[id("c")].facts.Paths[0].Peer = id("hub") },
	} {
		w := line(Organisation, "c", "b", "a")
		change(w)
		hops := w.trace(t, "c")
		if Broken(hops) != nil || Complete(hops) {
			t.Errorf("%s: broken %+v, complete %t\n%s", name, Broken(hops), Complete(hops), text(hops))
		}
		if hops[1].Node != id("b") || hops[1].Steps[0].Name != "listener" {
			t.Errorf("%s: the next hop's ingress was not tried\n%s", name, text(hops))
		}
	}
}

// Beyond what a peer was given nothing is said, and nothing gives away whether there is anything.
func TestOnlyWhatWasGiven(t *testing.T) {
	w := line(Given, "c", "b", "a")
	stranger := bgp.NodeID{Org: "bravo.example", Name: "x"}
	for _, policy := range []Policy{Given, Organisation} {
		b := w.nodes[id("b")]
		b.tracer = New(b, policy, nil)
		known := b.tracer.Answer(t.Context(), stranger, bgp.TraceRequest{Service: books, TTL: 9, Search: true})
		saved := b.facts
		w.unheard("b")
		unknown := b.tracer.Answer(t.Context(), stranger, bgp.TraceRequest{Service: books, TTL: 9, Search: true})
		b.facts = saved
		if text(known) != text(unknown) || len(known) != 1 || len(known[0].Steps) != 0 {
			t.Errorf("a stranger is told %s, and of a service that is not known %s", text(known), text(unknown))
		}
	}
	b := w.nodes[id("b")]
	b.tracer = New(b, Given, nil)
	if hops := b.tracer.Answer(t.Context(), id("c"), bgp.TraceRequest{Service: books, TTL: 9}); len(hops) != 2 {
		t.Errorf("c, which was given the route, is told %s", text(hops))
	}
	b.facts.Exports = append(b.facts.Exports, rib.Export{Peer: stranger, Told: true})
	if hops := b.tracer.Answer(t.Context(), stranger, bgp.TraceRequest{Service: books, TTL: 9}); len(hops[0].Steps) == 0 {
		t.Errorf("a stranger that was given the route is told %s", text(hops))
	}
}

// A trace ends with its TTL, however the routes turn.
func TestLoopEnds(t *testing.T) {
	w := line(Organisation, "c", "b", "a")
	b := &w.nodes[id("b")].facts
	// c goes to b, b goes to c
	b.Paths[0].Peer, b.Paths[0].NextHop = id("c"), bgp.NextHop{Node: id("c"), Address: "ingress-c"}
	hops := w.trace(t, "c")
	if len(hops) > bgp.MaxTraceHops+1 || w.nodes[id("b")].asked.Load() > bgp.MaxTraceHops {
		t.Errorf("%d hops, b was asked %d times", len(hops), w.nodes[id("b")].asked.Load())
	}
	if last := hops[len(hops)-1]; last.Note == "" {
		t.Errorf("nothing says why the trace ended: %s", text(hops[len(hops)-1:]))
	}
}

// A peer cannot have this node try an address for it, whether it chose that itself, or had it chosen by another.
// Nothing is tried, so that neither words nor time tell; an operator of this node is told as before.
func TestNoAddressIsTriedForAPeer(t *testing.T) {
	stranger, friend := bgp.NodeID{Org: "bravo.example", Name: "x"}, bgp.NodeID{Org: "delta.example", Name: "y"}
	for name, tt := range map[string]struct {
		asker, hop bgp.NodeID
		path       []bgp.NodeID
		tried      bool
	}{
		"the one that announced it": {id("z"), id("z"), []bgp.NodeID{id("z")}, false},
		"one on the way": {id("z"), id("a"), []bgp.NodeID{id("a"), id("z")},
			false},
		"a stranger, of what a friend of it announced": {stranger, friend, []bgp.NodeID{friend}, false},
		"a stranger, of what a friend of it announced to another node": {stranger, id("a"), []bgp.NodeID{id("a"), friend},
			false},
		"a stranger, of this organisation's own":      {stranger, id("a"), []bgp.NodeID{id("a")}, true},
		"a node of this organisation that has no say": {id("c"), id("a"), []bgp.NodeID{id("a")}, true},
		"this node's operator":                        {bgp.NodeID{}, id("z"), []bgp.NodeID{id("z")}, true},
	} {
		t.Run(name, func(t *testing.T) {
			w := line(Organisation, "b", "a")
			b := w.nodes[id("b")]
			w.nodes[tt.hop], b.facts.Paths[0].Peer = w.nodes[id("a")], tt.hop
			b.facts.Paths[0].NextHop = bgp.NextHop{Node: tt.hop, Address: "10.0.0.5:22"}
			b.facts.Paths[0].Attrs.NodePath = tt.path
			b.facts.Exports = append(b.facts.Exports, rib.Export{Peer: tt.asker, Told: true})
			w.dead["10.0.0.5:22"] = errors.New("dial tcp 10.0.0.5:22: connection refused")
			var hops []bgp.TraceHop
			if tt.asker.IsZero() {
				hops = w.trace(t, "b")
			} else {
				hops = b.tracer.Answer(t.Context(), tt.asker, bgp.TraceRequest{ID: 1, Service: books, TTL: 9, Budget: time.Second})
			}
			tried := slices.ContainsFunc(hops, func(h bgp.TraceHop) bool {
				return slices.ContainsFunc(h.Steps,
					func(s bgp.TraceStep) bool { return s.Name == "listener" && s.State == bgp.TraceFailed })
			})
			if tried != tt.tried {
				t.Errorf("tried: %t, want %t: %s", tried, tt.tried, text(hops))
			}
			if tt.asker.Org != "acme.example" && !tt.asker.IsZero() && strings.Contains(fmt.Sprintf("%+v", hops), "10.0.0.5") {
				t.Errorf("another organisation is told an address: %+v", hops)
			}
			for _, h := range hops {
				for _, s := range h.Steps {
					if tt.asker == stranger && s.Took != 0 {
						t.Errorf("%s took %s", s.Name, s.Took)
					}
				}
			}
		})
	}
}

// A service that is in nobody's Envoy because nobody has called it is not broken (envoy.table: used).
func TestAServiceThatIsNotInUseIsNotBroken(t *testing.T) {
	w := line(Organisation, "c", "b", "a")
	for _, name := range []string{"b", "c"} {
		f := &w.nodes[id(name)].facts
		f.Unused, f.Compiled, f.Envoys = true, nil, nil
	}
	hops := w.trace(t, "c")
	if Broken(hops) != nil || !strings.Contains(text(hops), "not in use here") {
		t.Errorf("broken %+v\n%s", Broken(hops), text(hops))
	}
}
