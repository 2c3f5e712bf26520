package ads

import (
	"bytes"
	"maps"
	"slices"
	"strings"
	"testing"

	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	"github.com/catalyst-router/catalyst/xds"
)

// wholePlant is a plant whose Envoy asks for the state of the world, and takes everything.
type wholePlant struct {
	*plant
	// some: then all of a type comes in one response, and what names something bad comes with it
	refuses bool
	// types of which it has heard on this connection: nobody knows what it has of the others
	told    map[string]bool
	last    map[string]*whole                       // the server's books
	heard   map[string]*discovery.DiscoveryResponse // what the Envoy has read last, by type
	version map[string]string                       // what it has taken last
	unread  []*discovery.DiscoveryResponse
	unsaid  []*discovery.DiscoveryRequest
}

func (p *wholePlant) connectWhole() {
	p.dial()
	p.told, p.last, p.unread, p.unsaid = map[string]bool{}, map[string]*whole{}, nil, nil
	for _, t := range dialled() {
		if t == xds.TypeRoute && len(p.envoy.asks) == 0 {
			continue
		}
		req := p.request(t)
		req.Node, req.ResponseNonce = &core.Node{Id: "c"}, "" // nonces are of a stream
		p.unsaid = append(p.unsaid, req)
	}
}

// request says what the Envoy has of a type, and what it wants.
func (p *wholePlant) request(typeURL string) *discovery.DiscoveryRequest {
	req := &discovery.DiscoveryRequest{
		TypeUrl:       typeURL,
		VersionInfo:   p.version[typeURL],
		ResponseNonce: p.heard[typeURL].GetNonce(),
	}
	if typeURL == xds.TypeRoute {
		req.ResourceNames = slices.Sorted(maps.Keys(p.envoy.asks))
	}
	return req
}

func (p *wholePlant) sendWhole() bool {
	resp := p.server.told.nextWhole(p.envoy.st, p.last)
	if resp != nil {
		p.t.Logf("sent %d of %s, nonce %s", len(resp.GetResources()), resp.GetTypeUrl(), resp.GetNonce())
		p.unread = append(p.unread, resp)
	}
	return resp != nil
}

func (p *wholePlant) readWhole() bool {
	if len(p.unread) == 0 {
		return false
	}
	resp := p.unread[0]
	p.unread = p.unread[1:]
	p.heard[resp.GetTypeUrl()], p.told[resp.GetTypeUrl()] = resp, true
	before := maps.Clone(p.envoy.has)
	if resp.GetTypeUrl() != xds.TypeRoute { // routes go with the scopes that name them
		maps.DeleteFunc(p.envoy.has, func(ref xds.Ref, _ string) bool { return ref.Type == resp.GetTypeUrl() })
	}
	var refused []string
	for _, r := range resp.GetResources() {
		m, err := r.UnmarshalNew()
		if err != nil {
			p.t.Fatal(err)
		}
		named, ok := m.(interface{ GetName() string })
		if !ok {
			p.t.Fatalf("%s has no name", r.GetTypeUrl())
		}
		ref := xds.Ref{Type: resp.GetTypeUrl(), Name: named.GetName()}
		if ref.Type == xds.TypeRoute && !p.envoy.asks[ref.Name] {
			continue
		}
		version := p.versionOf(ref, r.GetValue())
		switch {
		case version == "":
			p.t.Fatalf("%s was never compiled so", ref.Name)
		case !bytes.Contains(r.GetValue(), []byte(bad)):
			p.envoy.has[ref] = version
		default:
			if refused = append(refused, ref.Name); before[ref] != "" {
				p.envoy.has[ref] = before[ref]
			}
		}
	}
	for ref, v := range p.envoy.has {
		// which serve nobody without a scope
		if n := p.lacks(ref); n != "" && !p.refuses && p.told[ref.Type] && ref.Type != xds.TypeRoute {
			p.t.Fatalf("after nonce %s, %s@%s names %s, which is not there", resp.GetNonce(), ref.Name, v, n)
		}
	}
	answer := p.request(resp.GetTypeUrl())
	if answer.VersionInfo = resp.GetVersionInfo(); len(refused) > 0 {
		answer.VersionInfo, answer.ErrorDetail = p.version[resp.GetTypeUrl()],
			&status.Status{Message: "Error adding/updating cluster(s) " + strings.Join(refused, ", ")}
	}
	p.version[resp.GetTypeUrl()] = answer.GetVersionInfo()
	p.unsaid = append(p.unsaid, answer)
	if p.ask(); len(p.envoy.unsaid) > 0 {
		p.envoy.unsaid = nil
		p.unsaid = append(p.unsaid, p.request(xds.TypeRoute))
	}
	return true
}

// lacks returns a cluster that a resource names and that is not there; "" if there is none.
func (p *wholePlant) lacks(ref xds.Ref) string {
	for _, n := range p.known[version{ref, p.envoy.has[ref]}].Needs {
		if need := xds.Needed(n); need.Type == xds.TypeCluster && p.envoy.has[need] == "" {
			return n
		}
	}
	return ""
}

// versionOf finds what was compiled like this.
func (p *wholePlant) versionOf(ref xds.Ref, body []byte) string {
	for v, r := range p.known {
		if v.Ref == ref && string(r.Body) == string(body) {
			return r.Version
		}
	}
	return ""
}

func (p *wholePlant) sayWhole() bool {
	if len(p.unsaid) == 0 {
		return false
	}
	req := p.unsaid[0]
	p.unsaid = p.unsaid[1:]
	p.t.Logf("Envoy says %v", req)
	if err := p.server.wholeRequest(p.envoy.st, p.last, proto.CloneOf(req)); err != nil {
		p.t.Fatal(err)
	}
	return true
}

func (p *wholePlant) settleWhole() {
	for n := 0; p.sendWhole() || p.readWhole() || p.sayWhole(); n++ {
		if n > 1000 {
			p.t.Fatal("it does not come to rest")
		}
	}
}

// The same of an Envoy that asks for the state of the world: it has all that there is in the end, and nothing else,
// if there is nothing in it that it refuses.
func TestTheWholeStateArrives(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		p := &wholePlant{
			plant:   newPlant(rt),
			refuses: rapid.Bool().Draw(rt, "refuses"),
			heard:   map[string]*discovery.DiscoveryResponse{},
			version: map[string]string{},
		}
		targets := []string{"a", "b", "d"}
		if p.refuses {
			targets = append(targets, bad)
		}
		p.connectWhole()
		for range rapid.IntRange(1, 60).Draw(rt, "steps") {
			switch rapid.IntRange(0, 12).Draw(rt, "step") {
			case 0, 1, 2:
				p.draw(rt, targets...)
			case 3, 4, 5:
				p.sendWhole()
			case 6, 7, 8:
				p.readWhole()
			case 9, 10, 11:
				p.sayWhole()
			case 12: // its connection is lost
				if rapid.Bool().Draw(rt, "Envoy restarts") {
					clear(p.envoy.has)
					clear(p.envoy.asks)
					clear(p.heard)
					clear(p.version)
				}
				p.connectWhole()
			}
		}
		p.settleWhole()
		if p.refuses {
			for _, svc := range slices.Sorted(maps.Keys(p.state)) {
				p.way(svc, via("a"))
			}
			p.settleWhole()
		}
		p.verdict()
		for ref := range p.server.view.unsettled {
			if ref.Type != xds.TypeSecret { // for which it does not ask
				rt.Errorf("it is not known that everybody has %s", ref.Name)
			}
		}
	})
}

// servedWithX begins with an Envoy that has a cluster, and a scope that needs it.
func servedWithX(t *testing.T) (*Server, *wholeEnvoy) {
	t.Helper()
	s := quiet()
	s.Open()
	s.Publish(xds.Delta{Set: []xds.Resource{resource("hops/1", "1"), of(xds.TypeScope, "route/x", "1", "hops/1")}})
	e := newWholeEnvoy(t, s, "")
	e.ask(&discovery.DiscoveryRequest{TypeUrl: xds.TypeScope})
	e.takes("hops/1@1")("")
	e.takes("route/x@1")("")
	return s, e
}

// takes wants the next response to have these versions, and returns how to answer it.
func (e *wholeEnvoy) takes(want ...string) func(words string) {
	e.t.Helper()
	resp := e.s.told.nextWhole(e.st, e.last)
	if resp == nil {
		e.t.Fatalf("sent nothing, want %v", want)
	}
	w := e.last[resp.GetTypeUrl()]
	var got []string
	for _, r := range w.sent {
		got = append(got, r.Name+"@"+r.Version)
	}
	if slices.Sort(got); !slices.Equal(got, want) {
		e.t.Errorf("sent %v, want %v", got, want)
	}
	return func(words string) { e.reply(resp, words) }
}

// of makes a resource of another type.
func of(typeURL, name, version string, needs ...string) xds.Resource {
	r := resource(name, version, needs...)
	r.Type = typeURL
	return r
}

// Routes that an Envoy asks for again it has dropped, although it was sent the same before.
func TestRoutesAskedForAgainAreSentAgain(t *testing.T) {
	s := quiet()
	s.Open()
	s.Publish(xds.Delta{Set: []xds.Resource{of(xds.TypeRoute, "via/1", "1")}})
	e := newWholeEnvoy(t, s, "")
	ask := func(names ...string) {
		nonce := ""
		if w := e.last[xds.TypeRoute]; w != nil {
			nonce = w.nonce
		}
		e.ask(&discovery.DiscoveryRequest{TypeUrl: xds.TypeRoute, ResourceNames: names, ResponseNonce: nonce})
	}
	e.takes()("")
	ask("via/1")
	e.takes("via/1@1")("")
	ask()
	ask("via/1")
	e.takes("via/1@1")("")
}

// An Envoy that may refuse scopes keeps the clusters of those before.
func TestClustersWaitForTheAnswerOfWhatNamedThem(t *testing.T) {
	s, e := servedWithX(t)
	move := func(from, to string) (answer func(words string)) {
		s.Publish(xds.Delta{
			Set:     []xds.Resource{resource("hops/"+to, "1"), of(xds.TypeScope, "route/x", to, "hops/"+to)},
			Removed: []xds.Ref{{Type: xds.TypeCluster, Name: "hops/" + from}},
		})
		e.answer("") // the clusters
		return e.takes("route/x@" + to)
	}
	move("1", "2") // it is read, and the answer comes too late to count
	answer := move("2", "3")
	s.Publish(xds.Delta{Set: []xds.Resource{resource("hops/4", "1")}})
	e.takes("hops/1@1", "hops/2@1", "hops/3@1", "hops/4@1")("")
	answer("")
	e.takes("hops/3@1", "hops/4@1")("")
}

// A version that has to wait leaves an Envoy what it has, and not what everybody is known to have taken.
func TestWhatWaitsLeavesTheNewestThere(t *testing.T) {
	s, e := servedWithX(t)
	s.Publish(xds.Delta{Set: []xds.Resource{of(xds.TypeScope, "route/x", "2", "hops/1")}})
	answer := e.takes("route/x@2")
	s.Publish(xds.Delta{
		Set: []xds.Resource{resource("hops/2", "1"), of(xds.TypeScope, "route/x", "3", "hops/2"),
			of(xds.TypeScope, "route/y", "1", "hops/1")},
	})
	taken := e.takes("hops/1@1", "hops/2@1")
	e.takes("route/x@2", "route/y@1")("")
	answer("")
	taken("")
	e.takes("route/x@3", "route/y@1")("")
}
