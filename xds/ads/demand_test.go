package ads_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"

	"github.com/catalyst-router/catalyst/bgp"
	"github.com/catalyst-router/catalyst/xds"
	"github.com/catalyst-router/catalyst/xds/ads"
)

// uses is what Envoys use, by seat and service.
type uses struct {
	mu  sync.Mutex
	all map[string]bool // guarded by mu
}

func (u *uses) set(seat string, svc bgp.Service, uses bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.all[seat+" "+string(svc)] = uses
}

func (u *uses) Uses(seat string, svc bgp.Service) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.all[seat+" "+string(svc)]
}

// Each Envoy is given the services that it uses, and no other's; what it loses is taken from it alone. Whoever waits
// for an Envoy to have one hears when it has, that it is gone, or nothing.
func TestEachEnvoyHasWhatItUses(t *testing.T) {
	t.Parallel()
	org := newAuthority(t, "acme.example")
	u := &uses{all: map[string]bool{}}
	e := newElsewhere(t, org, func(c *ads.Config) { c.Uses = u.Uses })
	for _, svc := range []bgp.Service{books, "films.acme.example"} {
		f := to(svc, bgp.HTTP, []xds.Target{backend("127.0.0.1:9")})
		d, problems := e.compiler.Apply(xds.Change{Services: []xds.Forwarding{f}})
		if len(problems) > 0 {
			t.Fatal(problems)
		}
		e.server.Publish(d)
	}
	one, two := scopes(t, e, "one"), scopes(t, e, "two")
	u.set("acme.example/a/one", books, true)
	e.server.Reconsider("acme.example/a/one", []bgp.Service{books})
	one.wants("route/books.acme.example", true)
	u.set("acme.example/a/two", "films.acme.example", true)
	e.server.Reconsider("acme.example/a/two", []bgp.Service{"films.acme.example"})
	two.wants("route/films.acme.example", true)

	wait := func(seat string, svc bgp.Service, most time.Duration) error {
		ctx, cancel := context.WithTimeoutCause(t.Context(), most, errLate)
		defer cancel()
		return e.server.Await(ctx, seat, svc, true)
	}
	if err := wait("acme.example/a/one", books, patience); err != nil {
		t.Errorf("one has books: %v", err)
	}
	if err := wait("acme.example/a/two", books, 50*time.Millisecond); !errors.Is(err, errLate) {
		t.Errorf("two has no books: %v, want that it waits", err)
	}
	if err := wait("acme.example/a/one", "nobody.acme.example", patience); !errors.Is(err, ads.ErrGone) {
		t.Errorf("a service that is not published: %v, want that it is gone", err)
	}
	u.set("acme.example/a/one", books, false)
	e.server.Reconsider("acme.example/a/one", []bgp.Service{books})
	one.wants("route/books.acme.example", false)
	if n := e.server.Using(); n["acme.example/a/one"] != 0 || n["acme.example/a/two"] != 1 {
		t.Errorf("scopes of services by Envoy: %v", n)
	}
}

var errLate = errors.New("late")

// scopeClient is an Envoy that takes every scope.
type scopeClient struct {
	t   *testing.T
	rpc discovery.AggregatedDiscoveryService_DeltaAggregatedResourcesClient
}

func scopes(t *testing.T, e *elsewhere, name string) *scopeClient {
	t.Helper()
	rpc, err := e.dial(t, e.issue(t, "a", name), "acme.example/a/"+name)
	if err != nil {
		t.Fatal(err)
	}
	c := &scopeClient{t, rpc}
	c.send(&discovery.DeltaDiscoveryRequest{TypeUrl: xds.TypeScope})
	return c
}

func (c *scopeClient) send(r *discovery.DeltaDiscoveryRequest) {
	c.t.Helper()
	if err := c.rpc.Send(r); err != nil {
		c.t.Fatal(err)
	}
}

// wants reads until a response gives or takes a scope, and no response may give or take another.
func (c *scopeClient) wants(name string, given bool) {
	c.t.Helper()
	for {
		resp, err := c.rpc.Recv()
		if err != nil {
			c.t.Fatal(err)
		}
		c.send(&discovery.DeltaDiscoveryRequest{TypeUrl: resp.GetTypeUrl(), ResponseNonce: resp.GetNonce()})
		if resp.GetTypeUrl() != xds.TypeScope {
			continue
		}
		for _, r := range resp.GetResources() {
			if r.GetName() == name && given {
				return
			}
			c.t.Fatalf("it was given %s", r.GetName())
		}
		for _, gone := range resp.GetRemovedResources() {
			if gone == name && !given {
				return
			}
			c.t.Fatalf("it lost %s", gone)
		}
	}
}
