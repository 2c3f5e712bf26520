package ads

import (
	"crypto/sha256"
	"encoding/hex"
	"io"
	"maps"
	"slices"
	"strconv"
	"time"

	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/catalyst-router/catalyst/xds"
)

// whole is what a state-of-the-world stream was last sent of one type.
type whole struct {
	nonce   string
	version string
	sent    map[string]*xds.Resource
	surplus bool // something of it is not wanted any more
}

// StreamAggregatedResources serves one Envoy with the state-of-the-world variant: each change of a type sends all of
// it, so it is for clients that know nothing else. Versions are hashes of content here too: on one connection an
// unchanged type is not sent again, nor a refused version.
func (s *Server) StreamAggregatedResources(rpc discovery.AggregatedDiscoveryService_StreamAggregatedResourcesServer) error {
	st, err := newStream(rpc.Context(), s)
	if err != nil {
		return err
	}
	if err := s.places.join(st); err != nil {
		return s.places.turnAway(st, true, err)
	}
	defer s.leave(st)
	return s.judge(st, s.serveWhole(st, rpc))
}

func (s *Server) serveWhole(st *stream,
	rpc discovery.AggregatedDiscoveryService_StreamAggregatedResourcesServer) error {
	ctx := st.ctx
	requests, failed := receive(ctx, rpc.Recv)
	opened := s.open
	last := map[string]*whole{}
	over := time.NewTimer(time.Hour)
	defer over.Stop()
	for {
		select {
		case <-ctx.Done():
			if err := st.why(); err != nil {
				return err
			}
			return hungUp(<-failed)
		case err := <-failed:
			return hungUp(err)
		case req := <-requests:
			if err := s.wholeRequest(st, last, req); err != nil {
				return err
			}
		case <-over.C:
		case <-st.signal:
		case <-opened:
			opened = nil
		}
		for resp := s.told.nextWhole(st, last); resp != nil; resp = s.told.nextWhole(st, last) {
			if err := rpc.Send(resp); err != nil {
				return err
			}
		}
		if wait := s.told.lingers(st); wait > 0 {
			over.Reset(wait)
		}
	}
}

// wholeRequest takes a subscription, an acknowledgement or a refusal. Names replace those of the request before (xDS
// protocol, "SotW").
func (s *Server) wholeRequest(st *stream, last map[string]*whole, req *discovery.DiscoveryRequest) error {
	s.mu.Lock()
	defer s.unlock()
	t := req.GetTypeUrl()
	if xds.Order(t) < 0 {
		return status.Errorf(codes.InvalidArgument, "type %q is not served here", t)
	}
	if err := s.meet(st, req.GetNode()); err != nil {
		return err
	}
	names := map[string]bool{}
	for _, name := range req.GetResourceNames() {
		names[name] = true
	}
	sub := st.subs[t]
	if sub == nil {
		sub = newSubscription(t, req.GetResourceNames(), nil)
		st.subs[t] = sub
		last[t] = &whole{}
		st.pending[t] = newQueue()
		if req.GetVersionInfo() != "" {
			// it kept what another stream gave it, and something of what it refused as well: it is sent everything, but not
			// before Open
			sub.fresh = false
		}
	} else if w := last[t]; req.GetResponseNonce() == w.nonce {
		if out := st.outstanding[w.nonce]; out != nil {
			delete(st.outstanding, w.nonce)
			s.answers.book(st, sub, out, req.GetErrorDetail().GetMessage())
			for held := range st.held {
				st.pending[held] = newQueue()
			}
			clear(st.held)
		}
	}
	if !maps.Equal(names, sub.names) {
		for name := range names {
			if sub.names != nil && !sub.names[name] {
				sub.fresh = true // it may have had it, and dropped it
			}
		}
		sub.names = names
		st.pending[t] = newQueue()
	}
	st.clear(last)
	return nil
}

// nextWhole builds the next response; nil if there is none.
func (tl *told) nextWhole(st *stream, last map[string]*whole) *discovery.DiscoveryResponse {
	tl.mu.Lock()
	defer tl.unlock()
	if !tl.opened {
		return nil
	}
	st.outlived()
	for types := xds.Types(); len(types) > 0; {
		t := types[0]
		types = types[1:]
		sub, w := st.subs[t], last[t]
		if st.pending[t] == nil || tl.left && !sub.fresh { // what it has may be newer than what was kept
			continue
		}
		delete(st.pending, t)
		set := tl.wanted(st, sub, t, w.sent)
		if t == xds.TypeCluster {
			w.surplus = st.retain(last, set)
			st.lingerWhole(w.sent, set, tl.cfg.Linger)
		}
		version := wholeVersion(set)
		if version == w.version && !sub.fresh {
			for _, r := range set {
				tl.waits.settle(refOf(r)) // it may be since another was taken
			}
			if t != xds.TypeCluster {
				st.clear(last)
			}
			types = xds.Types() // something may be gone now
			continue
		}
		sub.fresh = false
		return st.respondWhole(t, w, sub, set, version)
	}
	return nil
}

// namers are the types that name clusters. Routes do it on behalf of scopes, which need the same.
func namers() []string { return []string{xds.TypeScope, xds.TypeListener} }

// naming tells whether the Envoy may have something that names clusters and is to be replaced: what it names goes
// after it.
func (st *stream) naming(last map[string]*whole) bool {
	return slices.ContainsFunc(namers(), func(t string) bool {
		return st.pending[t] != nil || last[t] != nil && st.outstanding[last[t].nonce] != nil
	})
}

// clear has a look at clusters that were retained, when they may go.
func (st *stream) clear(last map[string]*whole) {
	if w := last[xds.TypeCluster]; w != nil && w.surplus && !st.naming(last) {
		st.pending[xds.TypeCluster] = newQueue()
	}
}

// retain adds clusters to a set that were sent before and that something names which the Envoy has or may have, and
// tells whether there are any.
func (st *stream) retain(last map[string]*whole, set map[string]*xds.Resource) bool {
	before, sent := len(set), last[xds.TypeCluster].sent
	if st.naming(last) {
		for name, r := range sent {
			if set[name] == nil {
				set[name] = r
			}
		}
		return len(set) > before
	}
	var retain func(r *xds.Resource)
	retain = func(r *xds.Resource) {
		for _, n := range r.Needs {
			if set[n] == nil && sent[n] != nil {
				set[n] = sent[n]
				retain(sent[n])
			}
		}
	}
	for _, t := range namers() {
		if w := last[t]; w != nil {
			for _, r := range w.sent {
				retain(r)
			}
		}
	}
	for _, r := range maps.Clone(set) {
		retain(r)
	}
	return len(set) > before
}

// wanted returns the state that an Envoy is to have of a type, by name. What would come before something that it
// needs is left as it was.
func (tl *told) wanted(st *stream, sub *subscription, t string,
	sent map[string]*xds.Resource) map[string]*xds.Resource {
	set := map[string]*xds.Resource{}
	for name, e := range tl.view.byType[t] {
		if !st.uses(xds.Ref{Type: t, Name: name}) {
			continue
		}
		r := tl.quarantine.serves(st, xds.Ref{Type: t, Name: name})
		if r != nil && r == e.now && tl.early(st, sub, r) {
			// a version that everybody has taken may be early too, for one that begins: it was nobody's yet
			if r = sent[name]; r == nil || !tl.quarantine.usable(st, r) {
				if r = e.good; r != nil && t != xds.TypeCluster && tl.early(st, sub, r) {
					r = nil
				}
			}
		}
		if r != e.now || tl.view.unsettled[xds.Ref{Type: t, Name: name}] {
			st.held[t] = true
		}
		if r != nil && sub.covers(name) {
			set[name] = r
		}
	}
	return set
}

// early tells whether a resource that the Envoy was not sent yet would come before clusters that it needs.
func (tl *told) early(st *stream, sub *subscription, r *xds.Resource) bool {
	return !st.sentAlready(sub, r) && st.subs[xds.TypeCluster].knows() && tl.waits.ahead(st, sub, r)
}

// ahead tells whether a resource would come before what it needs. Of an Envoy that begins, it is enough that clusters
// are on their way.
func (w *waits) ahead(st *stream, sub *subscription, r *xds.Resource) bool {
	if sub.knows() {
		return w.lacks(st, r.Needs) != ""
	}
	clusters := st.subs[xds.TypeCluster]
	return slices.ContainsFunc(r.Needs, func(n string) bool {
		return xds.Needed(n).Type == xds.TypeCluster && clusters.covers(n) && clusters.known[n] == ""
	})
}

func wholeVersion(set map[string]*xds.Resource) string {
	h := sha256.New()
	for _, name := range slices.Sorted(maps.Keys(set)) {
		_, _ = io.WriteString(h, name+"\x00"+set[name].Version+"\x00")
	}
	return hex.EncodeToString(h.Sum(nil)[:8])
}

func (st *stream) respondWhole(t string, w *whole, sub *subscription, set map[string]*xds.Resource,
	version string) *discovery.DiscoveryResponse {
	st.nonce++
	delete(st.outstanding, w.nonce)
	w.nonce, w.version, w.sent = strconv.FormatUint(st.nonce, 10), version, set
	resp := &discovery.DiscoveryResponse{TypeUrl: t, Nonce: w.nonce, VersionInfo: version}
	out := &response{sent: time.Now(), whole: true}
	for name := range sub.known {
		if set[name] == nil {
			delete(sub.known, name)
			delete(sub.acked, name)
		}
	}
	for _, name := range slices.SortedFunc(maps.Keys(set), xds.CompareNames) {
		r := set[name]
		resp.Resources = append(resp.Resources, &anypb.Any{TypeUrl: r.Type, Value: st.body(r)})
		st.bytes += len(r.Body)
		// an answer to what was sent before does not count any more
		if sub.known[name] != r.Version || sub.acked[name].version != r.Version {
			out.resources = append(out.resources, r)
		}
		sub.known[name] = r.Version
	}
	st.outstanding[w.nonce] = out
	return resp
}
