// Package trace follows a call to a service from the node where it is asked to the workload, over every node that
// answers, and finds the first thing that does not hold. What a node knows and can try is a Source; the questions
// between nodes are bgp/peering's.
//
//	t := trace.New(source, trace.Organisation, peering.NewTraceID)
//	hops := t.Begin(ctx, svc)            // where catalyst trace is typed
//	broken := trace.Broken(hops)
//	hops := t.Answer(ctx, from, req)     // at every node beyond, for the peer that asks
//
// A node says of itself what its tables, its Envoy and its own probes say. The listener and the TLS of a next hop are
// tried by the node before it, with that node's certificate, so that they stand at the head of the next hop's steps.
package trace

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/catalyst-router/catalyst/bgp"
	"github.com/catalyst-router/catalyst/bgp/fsm"
	"github.com/catalyst-router/catalyst/bgp/rib"
	"github.com/catalyst-router/catalyst/bgp/speaker"
	"github.com/catalyst-router/catalyst/cmd/internal/offer/probe"
	"github.com/catalyst-router/catalyst/xds"
	"github.com/catalyst-router/catalyst/xds/ads"
)

// Policy says what peers may ask.
type Policy uint8

// The policies.
const (
	Organisation Policy = iota // nodes of this organisation about every name, others about what they were given a route to
	Given                      // everybody about what they were given a route to
)

// Limits of a trace that begins here.
const (
	Budget      = 8 * time.Second // for all of it
	reserve     = 400 * time.Millisecond
	probeTime   = 2 * time.Second
	maxSearched = 8 // peers that are asked about a name that is not known here
)

// Facts are what a node knows of a service at one moment.
type Facts struct {
	Service  bgp.Service
	Pattern  bgp.Service // by whose route calls of it go, where nobody announces the name itself; "" otherwise
	Paths    []rib.Candidate
	Exports  []rib.Export
	Peers    []speaker.PeerView
	Unused   bool   // Envoy is given it when it is called
	Problem  string // why nothing could be compiled
	Compiled []xds.Ref
	Envoys   []ads.ServiceStatus
	// Connected are the Envoys with an ADS stream.
	Connected []string
	// Supervised tells that this node runs an Envoy of its own.
	Supervised bool
	Egress     string   // HOST:PORT where applications beside this node reach the service
	Workload   Workload // of this node's own service; without address if it offers none
}

// Workload is what this node itself offers.
type Workload struct {
	Address string // HOST:PORT, as the operator ordered it; several are separated by commas
	// At are the workloads as they are reached now, by the node's checks and its Envoy alike; none where no host has an
	// address.
	At []Place
	// Trouble is what there is against a host's name; "" for nothing.
	Trouble string
	Check   string // how it is checked; "" for not at all
	Health  bgp.Health
	Error   string // why the last check failed
}

// Place is where one of a service's workloads is.
type Place struct {
	Address, Other string // IP:PORT; Other is "" where the workload has an address in one family only
}

// Host is an endpoint of a cluster, as Envoy sees it.
type Host struct {
	Cluster, Address string
	// Ejected tells that it is left out because it did not answer.
	Ejected bool
}

// Source is what a node knows and can try. Every call ends with its context.
type Source interface {
	Self() bgp.NodeID
	Facts(ctx context.Context, svc bgp.Service) (*Facts, error)
	// Clusters returns which of the clusters this node's Envoy has, and their endpoints; an error if it does not answer.
	Clusters(ctx context.Context, names []string) (has []string, hosts []Host, err error)
	// Connect opens a TCP connection to HOST:PORT and closes it.
	Connect(ctx context.Context, address string) error
	// Reach does so with a workload, as Envoy reaches it.
	Reach(ctx context.Context, p Place) error
	// Speaks finds out whether a workload of this node's own service speaks what the service was ordered with.
	Speaks(ctx context.Context, svc bgp.Service, p Place) (probe.Spoken, error)
	// Handshake does a TLS handshake with a next hop's mesh ingress as this node's Envoy would.
	Handshake(ctx context.Context, hop bgp.NextHop) (string, error)
	// Tunnel tells whether a next hop is reached by the tunnels that its Envoy holds to this node's, and an error if it
	// holds none.
	Tunnel(ctx context.Context, hop bgp.NodeID) (bool, error)
	// Calls returns what this node remembers of a call of a service, oldest first; false if it remembers none at all.
	Calls(svc bgp.Service, id string) ([]Seen, bool)
	// Joins tells whether an organisation is asked about calls, and answered.
	Joins(org bgp.Org) bool
	// Ask puts a question to a peer.
	Ask(ctx context.Context, peer bgp.NodeID, req bgp.TraceRequest) ([]bgp.TraceHop, error)
}

// Tracer traces from one node.
type Tracer struct {
	src    Source
	policy Policy
	newID  func() uint64
}

// New returns a tracer; newID draws the id of a trace.
func New(src Source, policy Policy, newID func() uint64) *Tracer {
	return &Tracer{src: src, policy: policy, newID: newID}
}

// Begin traces a service from this node on: catalyst trace at this node.
func (t *Tracer) Begin(ctx context.Context, svc bgp.Service) ([]bgp.TraceHop, error) {
	ctx, cancel := context.WithTimeout(ctx, Budget)
	defer cancel()
	f, err := t.src.Facts(ctx, svc)
	if err != nil {
		return nil, err
	}
	hop := bgp.TraceHop{Node: t.src.Self()}
	if f.Egress != "" {
		hop.Steps = append(hop.Steps, t.egress(ctx, f))
	}
	return t.from(ctx, f, hop, bgp.TraceRequest{ID: t.newID(), Service: svc, TTL: bgp.MaxTraceHops, Budget: Budget},
		bgp.NodeID{}), nil
}

// Answer goes on with a trace that a peer has brought here.
func (t *Tracer) Answer(ctx context.Context, from bgp.NodeID, req bgp.TraceRequest) []bgp.TraceHop {
	if req.Call != "" {
		return t.answerCall(ctx, from, req)
	}
	hop := bgp.TraceHop{Node: t.src.Self()}
	f, err := t.src.Facts(ctx, req.Service)
	switch {
	case err != nil:
		hop.Note = "cannot answer now: " + err.Error()
		return []bgp.TraceHop{hop}
	case !t.mayKnow(from, f):
		hop.Note = fmt.Sprintf("says nothing of it, because it gave %s no route to it", from)
		return []bgp.TraceHop{hop}
	case req.TTL == 0:
		hop.Note = fmt.Sprintf("the trace ends here: it has crossed %d nodes", bgp.MaxTraceHops)
		return []bgp.TraceHop{hop}
	}
	if req.Search {
		hop.Steps = append(hop.Steps, export(f, from)...)
	}
	hops := t.from(ctx, f, hop, req, from)
	if from.Org != t.src.Self().Org {
		hops = discreet(hops)
	}
	return hops
}

// mayKnow applies the policy: beyond it nothing is said, not even whether there is such a service.
func (t *Tracer) mayKnow(from bgp.NodeID, f *Facts) bool {
	if t.policy == Organisation && from.Org == t.src.Self().Org {
		return true
	}
	return slices.ContainsFunc(f.Exports, func(e rib.Export) bool { return e.Peer == from && e.Told })
}

// from traces on from this node, for the peer that asks or, without one, for this node's operator. Its own hop has
// been begun and is completed here; the hops beyond follow it.
func (t *Tracer) from(ctx context.Context, f *Facts, hop bgp.TraceHop, req bgp.TraceRequest,
	asker bgp.NodeID) []bgp.TraceHop {
	if len(f.Paths) == 0 || f.Paths[0].Reject != rib.Accepted {
		if s := rejected(f); s != nil {
			hop.Steps = append(hop.Steps, *s)
			return []bgp.TraceHop{hop}
		}
		if f.Workload.Address != "" {
			hop.Steps = append(hop.Steps, t.withdrawn(ctx, f)...)
			return []bgp.TraceHop{hop}
		}
		return t.search(ctx, f, hop, req)
	}
	best := &f.Paths[0]
	hop.Steps = append(hop.Steps, learned(f)...)
	hop.Steps = append(hop.Steps, published(f)...)
	if best.Local {
		return []bgp.TraceHop{t.workload(ctx, f, hop)}
	}
	if why := t.untold(asker, best); why != "" {
		return []bgp.TraceHop{hop, {Node: best.NextHop.Node, Note: why}}
	}
	ask, cancel := context.WithTimeout(ctx, max(reserve, req.Budget-reserve))
	defer cancel()
	beyond := make(chan []bgp.TraceHop, 1)
	go func() { beyond <- t.beyond(ask, f, req) }() // ends with ask
	arrival := make(chan []bgp.TraceStep, 1)
	go func() { arrival <- t.arrive(ctx, best.NextHop) }() // ends within probeTime
	hop.Steps = append(hop.Steps, t.envoy(ctx, f))
	rest := <-beyond
	rest[0].Steps = append(<-arrival, rest[0].Steps...)
	return append([]bgp.TraceHop{hop}, rest...)
}

// beyond asks the next hop, and returns at least one hop, that node's.
func (t *Tracer) beyond(ctx context.Context, f *Facts, req bgp.TraceRequest) []bgp.TraceHop {
	next := f.Paths[0].NextHop.Node
	silent := func(why string) []bgp.TraceHop { return []bgp.TraceHop{{Node: next, Note: why}} }
	if req.TTL <= 1 {
		return silent(fmt.Sprintf("not asked: the trace has crossed %d nodes", bgp.MaxTraceHops))
	}
	if next != f.Paths[0].Peer {
		return silent(fmt.Sprintf("not asked: the route was reflected by %s, and there is no session with the "+
			"next hop itself", f.Paths[0].Peer))
	}
	req.TTL--
	req.Budget = max(reserve, req.Budget-2*reserve)
	req.Search = false
	hops, err := t.src.Ask(ctx, next, req)
	if err != nil {
		return silent(err.Error())
	}
	if len(hops) == 0 || hops[0].Node != next {
		return silent("answers in the name of another node")
	}
	return hops
}

// search asks peers about a name that is not known here, and gives the branch that says most of it.
func (t *Tracer) search(ctx context.Context, f *Facts, hop bgp.TraceHop, req bgp.TraceRequest) []bgp.TraceHop {
	var asked []bgp.NodeID
	for i := range f.Peers {
		if p := &f.Peers[i]; p.State == fsm.Established && p.Caps.Trace && !p.External && len(asked) < maxSearched {
			asked = append(asked, p.Config.Node)
		}
	}
	var found []bgp.TraceHop
	begun := !req.Search
	if req.TTL > 1 {
		req.TTL--
		req.Budget = max(reserve, req.Budget-2*reserve)
		req.Search = true
		found = t.ask(ctx, asked, req)
	}
	if found == nil {
		hop.Steps = append(hop.Steps, unheard(req.Service, f, len(asked), begun)...)
		return []bgp.TraceHop{hop}
	}
	hop.Steps = append(hop.Steps, bgp.TraceStep{
		Name:  "route",
		State: bgp.TraceUnknown,
		Text:  fmt.Sprintf("no path to it is known here; %s says more", found[0].Node),
	})
	return append([]bgp.TraceHop{hop}, found...)
}

// ask asks several peers at once; the first of them, in their order, that knows something broken is preferred. nil if
// none knows the name.
func (t *Tracer) ask(ctx context.Context, peers []bgp.NodeID, req bgp.TraceRequest) []bgp.TraceHop {
	ctx, cancel := context.WithTimeout(ctx, req.Budget)
	defer cancel()
	answers := make([]chan []bgp.TraceHop, len(peers))
	for i, p := range peers {
		answers[i] = make(chan []bgp.TraceHop, 1)
		go func() { // ends with ctx
			hops, _ := t.src.Ask(ctx, p, req)
			answers[i] <- hops
		}()
	}
	var best []bgp.TraceHop
	for _, c := range answers {
		if hops := <-c; best == nil && Broken(hops) != nil {
			best = hops
		}
	}
	return best
}

// Break is the first thing that is broken.
type Break struct {
	Node bgp.NodeID
	Step bgp.TraceStep
}

// Broken returns the first failed step of a trace, nil if there is none. Where a next hop cannot be reached and says
// itself what is wrong with it, its own words go into the advice.
func Broken(hops []bgp.TraceHop) *Break {
	for _, h := range hops {
		for i, s := range h.Steps {
			if s.State != bgp.TraceFailed {
				continue
			}
			for _, cause := range h.Steps[i+1:] {
				if (s.Name == "listener" || s.Name == "tls") && cause.State == bgp.TraceFailed && cause.Name != "tls" {
					s.Advice = fmt.Sprintf("%s says: %s: %s. %s", h.Node, cause.Name, cause.Text, cause.Advice)
					break
				}
			}
			return &Break{h.Node, s}
		}
	}
	return nil
}

// Complete tells whether every hop has spoken and no step is unknown.
func Complete(hops []bgp.TraceHop) bool {
	return !slices.ContainsFunc(hops, func(h bgp.TraceHop) bool {
		return h.Note != "" || slices.ContainsFunc(h.Steps, func(s bgp.TraceStep) bool { return s.State == bgp.TraceUnknown })
	})
}

// timed runs a probe and books its outcome.
func timed(ctx context.Context, name string, probe func(context.Context) (string, error),
	advice func(error) string) bgp.TraceStep {
	ctx, cancel := context.WithTimeout(ctx, probeTime)
	defer cancel()
	began := time.Now()
	text, err := probe(ctx)
	s := bgp.TraceStep{Name: name, State: bgp.TraceOK, Text: text, Took: time.Since(began)}
	if err != nil {
		s.State, s.Text, s.Advice = bgp.TraceFailed, err.Error(), advice(err)
		if errors.Is(err, context.DeadlineExceeded) {
			s.Text = fmt.Sprintf("no answer within %s: %s", probeTime, text)
		}
	}
	return s
}
