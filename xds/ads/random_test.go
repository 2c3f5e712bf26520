package ads

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	route "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	"github.com/catalyst-router/catalyst/bgp"
	"github.com/catalyst-router/catalyst/xds"
	"github.com/catalyst-router/catalyst/xds/fib"
)

// imitation is an Envoy that takes resources one by one, and refuses those that have an address that it does not like.
type imitation struct {
	has    map[xds.Ref]string // versions
	early  map[xds.Ref]bool   // scopes of services that it did not know, which came with a cluster that it refused
	asks   map[string]bool    // routes that its scopes name, for which it has asked
	st     *stream
	unread []*discovery.DeltaDiscoveryResponse
	unsaid []*discovery.DeltaDiscoveryRequest // what it asks for, on its way
}

// bed is what a plant stands on: a test, random or not.
type bed interface {
	Context() context.Context
	Logf(format string, args ...any)
	Errorf(format string, args ...any)
	Fatal(args ...any)
	Fatalf(format string, args ...any)
}

func newPlant(t bed) *plant {
	p := &plant{
		t:     t,
		envoy: imitation{has: map[xds.Ref]string{}, early: map[xds.Ref]bool{}, asks: map[string]bool{}},
		known: map[version]*xds.Resource{},
		state: map[bgp.Service]xds.Forwarding{},
		kept:  map[xds.Ref]*xds.Resource{},
	}
	p.start()
	p.complete()
	return p
}

// plant is a control plane, its Envoy, and everything that was ever compiled.
type plant struct {
	t        bed
	compiler *xds.Compiler
	server   *Server
	envoy    imitation
	known    map[version]*xds.Resource
	state    map[bgp.Service]xds.Forwarding
	kept     map[xds.Ref]*xds.Resource // as a file would have it
	linger   time.Duration             // of clusters
}

// Set and Remove make it a Store.
func (p *plant) Set(r *xds.Resource) {
	if fib.Kept(r) {
		p.kept[refOf(r)] = r
	}
}

func (p *plant) Remove(ref xds.Ref) { delete(p.kept, ref) }

// start begins a control plane with what the one before kept.
func (p *plant) start() {
	p.compiler = xds.NewCompiler(xds.Config{
		Self:    bgp.NodeID{Org: "acme.example", Name: "c"},
		Ingress: "127.0.0.1:1",
		Egress:  "127.0.0.1:2",
		Socket:  "/s",
	})
	p.server = quiet()
	p.server.cfg.Store, p.server.cfg.Linger = p, p.linger
	d, err := p.compiler.Start(xds.Identity{})
	if err != nil {
		p.t.Fatal(err)
	}
	p.publish(d)
	var left []xds.Resource
	for _, r := range p.kept {
		left = append(left, *r)
	}
	p.server.Restore(left)
	p.connect()
}

// complete compiles everything.
func (p *plant) complete() {
	change := xds.Change{}
	for _, f := range p.state {
		change.Services = append(change.Services, f)
	}
	p.apply(change)
	p.server.Open()
}

func (p *plant) apply(change xds.Change) {
	d, problems := p.compiler.Apply(change)
	if len(problems) > 0 {
		p.t.Fatal(problems)
	}
	p.publish(d)
}

func (p *plant) publish(d xds.Delta) {
	for i := range d.Set {
		p.known[versionOf(&d.Set[i])] = &d.Set[i]
		p.t.Logf("compiled %s@%s, needs %v", d.Set[i].Name, d.Set[i].Version, d.Set[i].Needs)
	}
	p.t.Logf("compiled without %v", d.Removed)
	p.server.Publish(d)
}

// dial has the Envoy begin another stream.
func (p *plant) dial() *stream {
	if p.server.streams[p.envoy.st] {
		p.server.leave(p.envoy.st)
	}
	st, err := newStream(p.t.Context(), p.server)
	if err != nil || p.server.places.join(st) != nil {
		p.t.Fatal(err)
	}
	p.envoy.st = st
	return st
}

// dialled are the types that it asks for then, routes only if it has scopes that name some.
func dialled() []string {
	return slices.DeleteFunc(xds.Types(), func(t string) bool { return t == xds.TypeSecret })
}

// connect has the Envoy connect, with what it has.
func (p *plant) connect() {
	st := p.dial()
	p.envoy.unread, p.envoy.unsaid = nil, nil
	for _, t := range dialled() {
		req := &discovery.DeltaDiscoveryRequest{
			Node:                    &core.Node{Id: "c"},
			TypeUrl:                 t,
			InitialResourceVersions: map[string]string{},
		}
		if t == xds.TypeRoute {
			if req.ResourceNamesSubscribe = slices.Sorted(maps.Keys(p.envoy.asks)); len(p.envoy.asks) == 0 {
				continue
			}
		}
		for ref, v := range p.envoy.has {
			if ref.Type == t {
				req.InitialResourceVersions[ref.Name] = v
			}
		}
		if err := p.server.request(st, req); err != nil {
			p.t.Fatal(err)
		}
	}
}

func (p *plant) send() bool {
	resp, _ := p.server.told.next(p.envoy.st)
	for _, r := range resp.GetResources() {
		p.t.Logf("sent %s@%s", r.GetName(), r.GetVersion())
	}
	if resp != nil {
		p.envoy.unread = append(p.envoy.unread, resp)
	}
	return resp != nil
}

// read has the Envoy take the oldest response, one resource after the other, and answer it.
func (p *plant) read() bool {
	if len(p.envoy.unread) == 0 {
		return false
	}
	resp := p.envoy.unread[0]
	p.envoy.unread = p.envoy.unread[1:]
	for _, r := range resp.GetResources() {
		p.t.Logf("Envoy reads %s@%s", r.GetName(), r.GetVersion())
	}
	p.t.Logf("Envoy reads the removal of %v", resp.GetRemovedResources())
	var refused []string
	for _, r := range resp.GetResources() {
		ref := xds.Ref{Type: resp.GetTypeUrl(), Name: r.GetName()}
		if bytes.Contains(r.GetResource().GetValue(), []byte("%nosuch")) {
			refused = append(refused, r.GetName()+": malformed IP address")
			continue
		}
		if ref.Type == xds.TypeRoute && !p.envoy.asks[ref.Name] {
			continue // it came too late
		}
		fresh := ref.Type == xds.TypeScope && (p.envoy.has[ref] == "" || p.envoy.early[ref])
		p.envoy.has[ref] = r.GetVersion()
		if delete(p.envoy.early, ref); fresh && p.missing(ref) != "" {
			p.envoy.early[ref] = true
		}
		p.check("after " + r.GetName())
	}
	p.ask()
	for _, name := range resp.GetRemovedResources() {
		ref := xds.Ref{Type: resp.GetTypeUrl(), Name: name}
		delete(p.envoy.has, ref)
		delete(p.envoy.early, ref)
		p.ask()
		p.check("after the removal of " + name)
	}
	req := &discovery.DeltaDiscoveryRequest{TypeUrl: resp.GetTypeUrl(), ResponseNonce: resp.GetNonce()}
	if len(refused) > 0 {
		req.ErrorDetail = &status.Status{Message: "Error adding/updating cluster(s) " + strings.Join(refused, ", ")}
	}
	if err := p.server.request(p.envoy.st, req); err != nil {
		p.t.Fatal(err)
	}
	return true
}

// check wants that nothing that the Envoy has names something that it has not.
func (p *plant) check(when string) {
	for ref, v := range p.envoy.has {
		if n := p.missing(ref); n == "" {
			delete(p.envoy.early, ref)
		} else if !p.envoy.early[ref] {
			p.t.Fatalf("%s, %s@%s names %s, which is not there", when, ref.Name, v, n)
		}
	}
}

// missing returns what the Envoy has not, and without which its version of a resource serves nobody; "" for nothing.
func (p *plant) missing(ref xds.Ref) string {
	if ref.Type == xds.TypeRoute || xds.IsShared(ref.Name) {
		return "" // nobody is served by it alone
	}
	for _, n := range p.known[version{ref, p.envoy.has[ref]}].Needs {
		if _, scout := xds.Scouted(n); !scout && p.envoy.has[xds.Needed(n)] == "" {
			return n
		}
	}
	return ""
}

// ask has the Envoy subscribe to the routes that its scopes name, and forget the others.
func (p *plant) ask() {
	named := map[string]bool{}
	for ref, v := range p.envoy.has {
		var m route.ScopedRouteConfiguration
		if ref.Type != xds.TypeScope {
			continue
		}
		if err := proto.Unmarshal(p.known[version{ref, v}].Body, &m); err != nil {
			p.t.Fatal(err)
		}
		if name := m.GetRouteConfigurationName(); name != "" {
			named[name] = true
		}
	}
	req := &discovery.DeltaDiscoveryRequest{TypeUrl: xds.TypeRoute}
	for name := range named {
		if !p.envoy.asks[name] {
			req.ResourceNamesSubscribe = append(req.ResourceNamesSubscribe, name)
		}
	}
	for name := range p.envoy.asks {
		if !named[name] {
			req.ResourceNamesUnsubscribe = append(req.ResourceNamesUnsubscribe, name)
			delete(p.envoy.has, xds.Ref{Type: xds.TypeRoute, Name: name})
		}
	}
	if p.envoy.asks = named; len(req.GetResourceNamesSubscribe())+len(req.GetResourceNamesUnsubscribe()) > 0 {
		p.envoy.unsaid = append(p.envoy.unsaid, req)
	}
}

// say has the server hear the oldest of what the Envoy asks for.
func (p *plant) say() bool {
	if len(p.envoy.unsaid) == 0 {
		return false
	}
	req := p.envoy.unsaid[0]
	p.envoy.unsaid = p.envoy.unsaid[1:]
	p.t.Logf("Envoy asks for %v, no longer for %v", req.GetResourceNamesSubscribe(), req.GetResourceNamesUnsubscribe())
	if err := p.server.request(p.envoy.st, req); err != nil {
		p.t.Fatal(err)
	}
	return true
}

func (p *plant) settle() {
	for p.send() || p.read() || p.say() || p.outlive() {
	}
}

// outlive has the time of those clusters be over that linger, and tells whether there are any.
func (p *plant) outlive() bool {
	l := &p.envoy.st.lingering
	over := time.Now().Add(-time.Second)
	for i := range l.order {
		if first := &l.order[i]; l.until[first.name].Equal(first.at) {
			first.at, l.until[first.name] = over, over
		}
	}
	return len(l.until) > 0
}

// draw gives a service another way, by some of these targets.
func (p *plant) draw(t *rapid.T, targets ...string) {
	svc := bgp.Service(fmt.Sprintf("s%d.acme.example", rapid.IntRange(0, 3).Draw(t, "service")))
	var tiers []xds.Target
	for range rapid.IntRange(0, 2).Draw(t, "tiers") {
		name := rapid.SampledFrom(targets).Draw(t, "target")
		if rapid.Bool().Draw(t, "local") {
			tiers = append(tiers, local(name, rapid.IntRange(1, 3).Draw(t, "weight")))
		} else {
			tiers = append(tiers, via(name))
		}
	}
	p.way(svc, tiers...)
}

const bad = "%nosuch" // an address that Envoy refuses

// local is a workload beside the node. Its weight makes it another.
func local(name string, weight int) xds.Target {
	return xds.Target{Backend: xds.Backend{Address: address(name)}, Weight: uint32(weight)}
}

func via(name string) xds.Target {
	return xds.Target{
		NextHop: bgp.NextHop{
			Node:    bgp.NodeID{Org: "acme.example", Name: strings.TrimPrefix(name, "%")},
			Address: address(name),
		},
	}
}

func address(name string) string {
	if name == bad {
		return "[fe80::1%nosuch]:80"
	}
	return "127.0.0.1:80"
}

// way gives a service these targets, each the backup of the one before; it is withdrawn if there are none. s0 and s1
// are HTTP, the others TCP.
func (p *plant) way(svc bgp.Service, tiers ...xds.Target) {
	f := xds.Forwarding{Service: svc, Protocol: bgp.HTTP, Port: 1}
	if svc > "s1.acme.example" {
		f.Protocol = bgp.TCP
	}
	for _, t := range tiers {
		f.Tiers = append(f.Tiers, []xds.Target{t})
	}
	if p.state[svc] = f; len(f.Tiers) == 0 {
		delete(p.state, svc)
	}
	p.apply(xds.Change{Services: []xds.Forwarding{f}})
}

// spoilt tells whether a compiled resource cannot be taken, by itself or for what it needs.
func (p *plant) spoilt(r *xds.Resource) bool {
	if bytes.Contains(r.Body, []byte("%nosuch")) {
		return true
	}
	for _, n := range r.Needs {
		// Of a resource that is edited in place an older version may serve.
		if p.envoy.has[xds.Needed(n)] == "" {
			return true
		}
	}
	return false
}

// Whatever changes, whatever is refused, and whoever restarts: at no time does anything that Envoy has name something
// that it has not; in the end it has everything that it can take in the newest version, nothing that is gone, and the
// file has what it has.
func TestEnvoyIsNeverLeftWithAHole(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		p := newPlant(rt)
		if rapid.Bool().Draw(rt, "clusters linger") {
			p.linger = time.Hour
			p.server.cfg.Linger = p.linger
		}
		for range rapid.IntRange(1, 60).Draw(rt, "steps") {
			switch rapid.IntRange(0, 14).Draw(rt, "step") {
			case 14:
				p.outlive()
			case 0, 1, 2, 3:
				p.draw(rt, "a", "b", bad)
			case 4, 5, 6:
				p.send()
			case 7, 8, 9:
				p.read()
			case 13:
				p.say()
			case 10:
				p.settle()
			case 11: // Envoy's connection is lost, or Envoy with all that it had
				if rapid.Bool().Draw(rt, "Envoy restarts") {
					clear(p.envoy.has)
					clear(p.envoy.early)
					clear(p.envoy.asks)
				}
				p.connect()
			case 12: // the control plane is restarted, Envoy with it or not
				if rapid.Bool().Draw(rt, "Envoy too") {
					clear(p.envoy.has)
					clear(p.envoy.early)
					clear(p.envoy.asks)
				}
				p.start()
				for range rapid.IntRange(0, 6).Draw(rt, "before the tables are complete") {
					p.send()
					p.read()
					p.say()
				}
				p.complete()
			}
		}
		p.settle()
		p.verdict()
	})
}

func (p *plant) verdict() {
	for ref := range p.envoy.early {
		p.t.Errorf("%s is still there, without %s", ref.Name, p.missing(ref))
	}
	for t, byName := range p.server.view.byType {
		for name, e := range byName {
			ref := xds.Ref{Type: t, Name: name}
			if e.now != nil && t != xds.TypeSecret && !p.spoilt(e.now) && p.envoy.has[ref] != e.now.Version {
				p.t.Errorf("%s is %q, want %q: nothing is wrong with it", name, p.envoy.has[ref], e.now.Version)
			}
			if e.good != nil && !e.unproven && fib.Kept(e.good) &&
				(p.kept[ref] == nil || p.kept[ref].Version != e.good.Version) {
				p.t.Errorf("%s: kept is %+v, want %s", name, p.kept[ref], e.good.Version)
			}
		}
	}
	for ref, v := range p.envoy.has {
		if e := p.server.view.get(ref); !e.has(v) {
			p.t.Errorf("%s@%s is there and should not", ref.Name, v)
		}
	}
	for ref := range p.kept {
		if e := p.server.view.get(ref); e == nil || e.good == nil || e.unproven {
			p.t.Errorf("%s is kept and should not", ref.Name)
		}
	}
}
