package ads

import (
	"cmp"
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
}

// StreamAggregatedResources serves one Envoy with the state-of-the-world variant: each change of a type sends all of it, so it is for clients that know
// nothing else. Versions are hashes of content here too: an unchanged type is not sent, and a refused version is not sent again.
func (s *Server) StreamAggregatedResources(rpc discovery.AggregatedDiscoveryService_StreamAggregatedResourcesServer) error {
	st, err := newStream(rpc.Context(), s)
	if err != nil {
		return err
	}
	if !s.join(st) {
		return status.Errorf(codes.ResourceExhausted, "%d Envoys are connected already", maxStreams)
	}
	defer s.leave(st)
	ctx := rpc.Context()
	requests, failed := receive(ctx, rpc.Recv)
	opened := s.open
	last := map[string]*whole{}
	for {
		select {
		case <-ctx.Done():
			return nil
		case err := <-failed:
			return hungUp(err)
		case req := <-requests:
			if err := s.wholeRequest(st, last, req); err != nil {
				return err
			}
		case <-st.signal:
		case <-opened:
			opened = nil
		}
		for resp := s.nextWhole(st, last); resp != nil; resp = s.nextWhole(st, last) {
			if err := rpc.Send(resp); err != nil {
				return err
			}
		}
	}
}

// wholeRequest takes a subscription, an acknowledgement or a refusal. Names replace those of the request before (xDS protocol, "SotW").
func (s *Server) wholeRequest(st *stream, last map[string]*whole, req *discovery.DiscoveryRequest) error {
	s.mu.Lock()
	defer s.mu.Unlock()
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
		sub = &subscription{fresh: true, wildcard: len(names) == 0 && t != xds.TypeRoute, known: map[string]string{}, acked: map[string]ack{}}
		st.subs[t] = sub
		last[t] = &whole{}
		st.pending[t] = map[string]bool{}
		if v := req.GetVersionInfo(); v != "" {
			last[t].version, sub.fresh = v, false // it kept what another stream gave it
		}
	} else if w := last[t]; req.GetResponseNonce() == w.nonce {
		if out := st.outstanding[w.nonce]; out != nil {
			delete(st.outstanding, w.nonce)
			s.book(st, sub, out, req.GetErrorDetail().GetMessage())
			for held := range st.held {
				st.pending[held] = map[string]bool{}
			}
			clear(st.held)
		}
	}
	if !maps.Equal(names, sub.names) {
		sub.names = names
		st.pending[t] = map[string]bool{}
	}
	if xds.Order(t) > xds.Order(xds.TypeCluster) && st.pending[xds.TypeCluster] == nil && last[xds.TypeCluster] != nil {
		st.pending[xds.TypeCluster] = map[string]bool{} // clusters that routes and listeners no longer name may go now
	}
	return nil
}

// nextWhole builds the next response; nil if there is none.
func (s *Server) nextWhole(st *stream, last map[string]*whole) *discovery.DiscoveryResponse {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.opened {
		return nil
	}
	types := slices.SortedFunc(maps.Keys(st.pending), func(a, b string) int { return cmp.Compare(xds.Order(a), xds.Order(b)) })
	for _, t := range types {
		sub, w := st.subs[t], last[t]
		if s.left && !sub.fresh {
			continue // what it has may be newer than what was kept
		}
		_, scopes := st.pending[xds.TypeScope]
		_, listeners := st.pending[xds.TypeListener]
		delete(st.pending, t)
		set := s.wanted(st, sub, t)
		if t == xds.TypeCluster && (scopes || listeners) { // what old ones name goes after them
			for name, r := range w.sent {
				if set[name] == nil {
					set[name] = r
				}
			}
		}
		version := wholeVersion(set)
		if version == w.version && !sub.fresh {
			s.kept(sub, set)
			continue
		}
		sub.fresh = false
		return st.respondWhole(t, w, sub, set, version)
	}
	return nil
}

func (s *Server) wanted(st *stream, sub *subscription, t string) map[string]*xds.Resource {
	set := map[string]*xds.Resource{}
	for name, e := range s.view.byType[t] {
		r := s.serves(st, xds.Ref{Type: t, Name: name})
		if r != nil && r == e.now && r != e.good && !st.sentAlready(sub, r) && sub.knows() && st.subs[xds.TypeCluster].knows() && s.lacks(st, r.Needs) != "" {
			r = e.good // until it has what the newer one needs, or refuses it
		}
		if r != e.now || s.view.unsettled[xds.Ref{Type: t, Name: name}] {
			st.held[t] = true
		}
		if r != nil && sub.covers(name) {
			set[name] = r
		}
	}
	return set
}

// kept books what an Envoy has of an earlier connection, all of which is as it is now. What it has taken may be settled since it has taken something else.
func (s *Server) kept(sub *subscription, set map[string]*xds.Resource) {
	fresh := len(sub.known) == 0
	for name, r := range set {
		if fresh {
			sub.known[name], sub.acked[name] = r.Version, ack{version: r.Version}
		}
		s.settle(refOf(r))
	}
}

func wholeVersion(set map[string]*xds.Resource) string {
	h := sha256.New()
	for _, name := range slices.Sorted(maps.Keys(set)) {
		_, _ = io.WriteString(h, name+"\x00"+set[name].Version+"\x00")
	}
	return hex.EncodeToString(h.Sum(nil)[:8])
}

func (st *stream) respondWhole(t string, w *whole, sub *subscription, set map[string]*xds.Resource, version string) *discovery.DiscoveryResponse {
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
		resp.Resources = append(resp.Resources, &anypb.Any{TypeUrl: r.Type, Value: r.Body})
		st.bytes += len(r.Body)
		if sub.known[name] != r.Version {
			out.resources = append(out.resources, r)
		}
		sub.known[name] = r.Version
	}
	st.outstanding[w.nonce] = out
	return resp
}
