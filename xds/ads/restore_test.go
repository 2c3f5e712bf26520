package ads

import (
	"log/slog"
	"maps"
	"slices"
	"testing"

	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/genproto/googleapis/rpc/status"

	"github.com/catalyst-router/catalyst/xds"
)

func resource(name, version string, needs ...string) xds.Resource {
	return xds.Resource{Type: xds.TypeCluster, Name: name, Version: version, Service: "x", Needs: needs}
}

func quiet() *Server { return NewServer(Config{Log: slog.New(slog.DiscardHandler)}) }

// An Envoy that has a newer version than what was kept keeps it until everything is compiled; then it has what was
// compiled, older or newer.
func TestAnEnvoyThatIsAheadIsLeftAlone(t *testing.T) {
	for compiled, want := range map[string]string{"1": "http/x@1 ", "2": "", "3": "http/x@3 "} {
		s := quiet()
		s.Restore([]xds.Resource{resource("http/x", "1"), resource("http/y", "1")})
		st, err := newStream(t.Context(), s)
		if err != nil || s.places.join(st) != nil {
			t.Fatal(err)
		}
		e := &envoy{t, s, st}
		e.ask(&discovery.DeltaDiscoveryRequest{
			TypeUrl:                 xds.TypeCluster,
			InitialResourceVersions: map[string]string{"http/x": "2", "http/new": "1"},
		})
		e.want("", "http/y@1 ") // which it lacks
		e.want("", "")
		s.Publish(xds.Delta{Set: []xds.Resource{resource("http/x", compiled), resource("http/new", "1")}})
		s.Open()
		if want != "" {
			e.want("", want)
		}
		resp, _ := s.told.next(st)
		if resp == nil || !slices.Equal(resp.GetRemovedResources(), []string{"http/y"}) {
			t.Errorf("compiled %s: got %v, want http/y removed", compiled, resp)
		}
	}
}

// wholeEnvoy asks for the state of the world.
type wholeEnvoy struct {
	t    *testing.T
	s    *Server
	st   *stream
	last map[string]*whole
}

func newWholeEnvoy(t *testing.T, s *Server, has string) *wholeEnvoy {
	t.Helper()
	st, err := newStream(t.Context(), s)
	if err != nil || s.places.join(st) != nil {
		t.Fatal(err)
	}
	e := &wholeEnvoy{t, s, st, map[string]*whole{}}
	e.ask(&discovery.DiscoveryRequest{TypeUrl: xds.TypeCluster, VersionInfo: has})
	return e
}

func (e *wholeEnvoy) ask(req *discovery.DiscoveryRequest) {
	e.t.Helper()
	if err := e.s.wholeRequest(e.st, e.last, req); err != nil {
		e.t.Fatal(err)
	}
}

// answer takes the next response, refuses it unless words are empty, and returns how many resources it has; -1 for
// none.
func (e *wholeEnvoy) answer(words string) int {
	e.t.Helper()
	resp := e.s.told.nextWhole(e.st, e.last)
	if resp == nil {
		return -1
	}
	e.reply(resp, words)
	return len(resp.GetResources())
}

// reply answers a response, and refuses it unless words are empty.
func (e *wholeEnvoy) reply(resp *discovery.DiscoveryResponse, words string) {
	e.t.Helper()
	req := &discovery.DiscoveryRequest{
		TypeUrl:       resp.GetTypeUrl(),
		ResponseNonce: resp.GetNonce(),
		ResourceNames: slices.Sorted(maps.Keys(e.st.subs[resp.GetTypeUrl()].names)),
	}
	if words != "" {
		req.ErrorDetail = &status.Status{Message: words}
	}
	e.ask(req)
}

// The same for an Envoy that asks for the state of the world: it is told nothing before Open if it has something, and
// everything if it has nothing.
func TestTheWholeStateWaitsForOpen(t *testing.T) {
	s := quiet()
	s.Restore([]xds.Resource{resource("http/x", "1")})
	ahead, empty := newWholeEnvoy(t, s, "of an earlier connection"), newWholeEnvoy(t, s, "")
	if got := ahead.answer(""); got != -1 {
		t.Errorf("an Envoy that has something is sent %d resources", got)
	}
	if got := empty.answer(""); got != 1 {
		t.Errorf("an Envoy that has nothing is sent %d resources", got)
	}
	s.Publish(xds.Delta{Set: []xds.Resource{resource("http/x", "1"), resource("http/z", "1")}})
	s.Open()
	if got := ahead.answer(""); got != 2 {
		t.Errorf("after Open it is sent %d", got)
	}
}

// A name that came in one response with next hops that were refused is not something to fall back to, although Envoy
// took it.
func TestANameOfNothingIsNotGood(t *testing.T) {
	s := quiet()
	s.Open()
	s.Publish(xds.Delta{Set: []xds.Resource{resource("hops/1", "1"), resource("http/x", "1", "hops/1")}})
	e := newWholeEnvoy(t, s, "")
	if got := e.answer("Error adding/updating cluster(s) hops/1: no"); got != 2 {
		t.Fatalf("got %d resources", got)
	}
	if kept := s.Taken(); len(kept) > 0 {
		t.Errorf("kept %+v", kept)
	}
}
