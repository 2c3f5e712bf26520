package xds

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listener "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	route "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/catalyst-router/catalyst/bgp"
)

// hosts returns all virtual hosts in a message, however deep and packed they are.
func hosts(t *testing.T, m proto.Message) (all []*route.VirtualHost) {
	t.Helper()
	if packed, ok := m.(*anypb.Any); ok {
		inside, err := packed.UnmarshalNew()
		if err != nil {
			t.Fatal(err)
		}
		return hosts(t, inside)
	}
	if host, ok := m.(*route.VirtualHost); ok {
		return []*route.VirtualHost{host}
	}
	in := func(v protoreflect.Value) { all = append(all, hosts(t, v.Message().Interface())...) }
	m.ProtoReflect().Range(func(fd protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		switch {
		case fd.IsMap():
			if fd.MapValue().Message() != nil {
				v.Map().Range(func(_ protoreflect.MapKey, v protoreflect.Value) bool { in(v); return true })
			}
		case fd.Message() == nil:
		case fd.IsList():
			for i := range v.List().Len() {
				in(v.List().Get(i))
			}
		default:
			in(v)
		}
		return true
	})
	return all
}

// says tells whether a virtual host writes where its requests go, over whatever they say themselves.
func says(host *route.VirtualHost) bool {
	return slices.ContainsFunc(host.GetRequestHeadersToAdd(), func(h *core.HeaderValueOption) bool {
		return h.GetHeader().GetKey() == destinationHeader && h.GetHeader().GetValue() != "" &&
			!strings.Contains(h.GetHeader().GetValue(), "%") &&
			h.GetAppendAction() == core.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD
	})
}

// Of everything that is ever compiled, nothing leads to the workloads beside the node without saying to which, and no
// route takes a cluster's name from a request, but for one that puts a prefix before it.
func TestNothingLeadsBesideWithoutSayingWhereTo(t *testing.T) {
	beside := 0
	for name, s := range situations(t) {
		for _, onDemand := range []bool{false, true} {
			s.Own, s.Node.OnDemand = []string{""}, onDemand
			for _, r := range s.compile(t).Set {
				m := map[string]proto.Message{TypeListener: &listener.Listener{}, TypeRoute: &route.RouteConfiguration{},
					TypeScope: &route.ScopedRouteConfiguration{}, TypeExtension: &core.TypedExtensionConfig{}}[r.Type]
				if m == nil {
					continue
				}
				if err := proto.Unmarshal(r.Body, m); err != nil {
					t.Fatal(err)
				}
				for _, host := range hosts(t, m) {
					for _, way := range host.GetRoutes() {
						to := way.GetRoute()
						switch {
						case strings.HasPrefix(to.GetCluster(), besidePrefix):
							if beside++; !says(host) {
								t.Errorf("%s: %s leads to %s: %v", name, r.Name, to.GetCluster(), host.GetRequestHeadersToAdd())
							}
						case to != nil && to.GetCluster() == "" && r.Name != workName:
							t.Errorf("%s: the cluster of %s depends on the request: %v", name, r.Name, to)
						}
					}
				}
			}
		}
	}
	if beside == 0 {
		t.Error("no situation has a workload that is alone")
	}
}

// A resource that would leave it to a caller where Envoy connects to is not encoded.
func TestAnOpenRouteIsRefused(t *testing.T) {
	c := compiler()
	f := to(t, "127.0.0.1:80")
	b := builder{c: c}
	b.set(TypeRoute, "open", c.routesTo("open", bgp.HTTP, besideHTTP1, f.runs()))
	if b.err == nil || len(b.d.Set) > 0 {
		t.Errorf("%v, %d resources", b.err, len(b.d.Set))
	}
	at, _ := c.alone(f)
	b = builder{c: c}
	b.set(TypeRoute, "closed", c.besideRoutes(f, at))
	if b.err != nil || len(b.d.Set) != 1 {
		t.Errorf("%v, %d resources", b.err, len(b.d.Set))
	}
}

// to is an HTTP service with workloads at these addresses.
func to(t *testing.T, at ...string) *Forwarding {
	t.Helper()
	f := &Forwarding{Service: "books.acme.example", Protocol: bgp.HTTP}
	var tier []Target
	for _, address := range at {
		tier = append(tier, Target{Backend: Backend{Address: address}})
	}
	f.Tiers = [][]Target{tier}
	return f
}

// A service shares a cluster if nothing about it wants one of its own.
func TestWhoSharesACluster(t *testing.T) {
	const own = "http/books.acme.example"
	with := func(f *Forwarding, change func(*Forwarding)) *Forwarding { change(f); return f }
	for name, tt := range map[string]struct {
		f    *Forwarding
		want string
	}{
		"an address":    {to(t, "127.0.0.1:80"), besideHTTP1},
		"of IPv6":       {to(t, "[::1]:80"), besideHTTP1},
		"GraphQL":       {with(to(t, "127.0.0.1:80"), func(f *Forwarding) { f.Protocol = bgp.GraphQL }), besideHTTP1},
		"HTTP/2":        {with(to(t, "127.0.0.1:80"), func(f *Forwarding) { f.Protocol = bgp.HTTP2 }), besideHTTP2},
		"gRPC":          {with(to(t, "127.0.0.1:80"), func(f *Forwarding) { f.Protocol = bgp.GRPC }), besideHTTP2},
		"a name":        {to(t, "web.internal:80"), own},
		"a zone":        {to(t, "[fe80::1%eth0]:80"), own},
		"two workloads": {to(t, "127.0.0.1:80", "127.0.0.2:80"), own},
		"TLS":           {with(to(t, "127.0.0.1:80"), func(f *Forwarding) { f.TLS = &WorkloadTLS{Insecure: true} }), own},
		"an idle time":  {with(to(t, "127.0.0.1:80"), func(f *Forwarding) { f.Idle = time.Second }), own},
		"an idle time that the workload says": {with(to(t, "127.0.0.1:80"), func(f *Forwarding) {
			f.Kept = time.Second
		}), own},
		"one as long as the usual": {with(to(t, "127.0.0.1:80"), func(f *Forwarding) {
			f.Kept = time.Minute
		}), besideHTTP1},
		"draining": {with(to(t, "127.0.0.1:80"), func(f *Forwarding) { f.Tiers[0][0].Draining = true }), own},
		"a second family": {with(to(t, "127.0.0.1:80"), func(f *Forwarding) {
			f.Tiers[0][0].Backend.Other = "[::1]:80"
		}), own},
		"a backup": {with(to(t, "127.0.0.1:80"), func(f *Forwarding) {
			f.Tiers = append(f.Tiers, []Target{hop("a", "10.0.0.1:8443")})
		}), own},
		"down": {with(to(t, "127.0.0.1:80"), func(f *Forwarding) {
			f.Tiers, f.Down = nil, []bgp.NodeID{{Org: "acme.example", Name: "c"}}
		}), own},
	} {
		d, problems := compiler().Apply(Change{Services: []Forwarding{*tt.f}})
		if len(problems) > 0 {
			t.Fatalf("%s: %v", name, problems)
		}
		last := d.Set[len(d.Set)-1]
		if last.Name != "route/books.acme.example" || !slices.Equal(last.Needs, []string{tt.want}) {
			t.Errorf("%s: %s needs %v, want %s", name, last.Name, last.Needs, tt.want)
		}
	}
}

// A service more, or one that moves, costs its scope; the last one takes the cluster with it.
func TestTheSharedClusterIsSentOnce(t *testing.T) {
	c := compiler()
	for i := range 10 {
		f := to(t, fmt.Sprintf("127.0.0.1:%d", 1000+i))
		f.Service = bgp.Service(fmt.Sprintf("s%d.acme.example", i%9)) // s0 moves
		d, _ := c.Apply(Change{Services: []Forwarding{*f}})
		want := 1
		if i == 0 {
			want = 2
		}
		if len(d.Set) != want || len(d.Removed) != 0 {
			t.Errorf("service %d: %d resources set, %d removed", i, len(d.Set), len(d.Removed))
		}
	}
	for i := range 9 {
		d, _ := c.Apply(Change{Services: []Forwarding{{Service: bgp.Service(fmt.Sprintf("s%d.acme.example", i))}}})
		if last := d.Removed[len(d.Removed)-1]; (last == Ref{TypeCluster, besideHTTP1}) != (i == 8) {
			t.Errorf("service %d: %v removed", i, d.Removed)
		}
	}
}

// A try to connect to a workload beside the node lasts as long as envoy.connect says, whatever cluster it has.
func TestConnectingToAWorkloadBesideLastsAsLongAsSaid(t *testing.T) {
	c := NewCompiler(Config{Egress: "127.0.0.1:1", Limits: Limits{Connect: 5 * time.Second}})
	if got := c.besideCluster(besideHTTP2).GetConnectTimeout().AsDuration(); got != 5*time.Second {
		t.Errorf("%s, want 5s", got)
	}
}

// The limit of connections that one service may take holds for each workload of the shared cluster.
func TestEachWorkloadHasItsLimit(t *testing.T) {
	c := NewCompiler(Config{Egress: "127.0.0.1:1", Limits: Limits{Descriptors: 800}})
	limits := c.besideCluster(besideHTTP1).GetCircuitBreakers()
	if got := limits.GetPerHostThresholds()[0].GetMaxConnections(); !proto.Equal(got, wrapperspb.UInt32(100)) {
		t.Errorf("%v connections, want 100", got)
	}
	all := limits.GetThresholds()[0]
	if all.GetMaxConnections().GetValue() < 800 || all.GetMaxRequests().GetValue() < 800 {
		t.Errorf("all workloads together are limited: %v", all)
	}
}
