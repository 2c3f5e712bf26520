package ads

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"

	"github.com/catalyst-router/catalyst/xds"
)

// withdrawn publishes that the cluster of service is gone.
func withdrawn() xds.Delta {
	return xds.Delta{Removed: []xds.Ref{{Type: xds.TypeCluster, Name: "http/x"}}}
}

// removed takes the next response, which is to be a removal or nothing.
func (e *envoy) removed() (names []string, wait time.Duration) {
	e.t.Helper()
	resp, wait := e.s.told.next(e.st)
	if resp == nil {
		return nil, wait
	}
	e.ask(&discovery.DeltaDiscoveryRequest{TypeUrl: resp.GetTypeUrl(), ResponseNonce: resp.GetNonce()})
	return resp.GetRemovedResources(), wait
}

// A cluster that nothing names any more stays for a while: requests that are being tried again look for it by name.
func TestAClusterLingers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := quiet()
		s.cfg.Linger = 5 * time.Second
		s.Publish(service("1"))
		s.Open()
		e := newEnvoy(t, s)
		e.want("", "http/x@1 ")

		s.Publish(withdrawn())
		if gone, wait := e.removed(); gone != nil || wait != 5*time.Second {
			t.Fatalf("at once: %v is removed, next look in %s", gone, wait)
		}
		time.Sleep(4 * time.Second)
		s.Publish(service("1")) // it is back, before Envoy heard that it had gone
		e.want("", "")
		time.Sleep(2 * time.Second)
		if gone, wait := e.removed(); gone != nil || wait != 0 {
			t.Fatalf("after it came back: %v is removed, next look in %s", gone, wait)
		}

		s.Publish(withdrawn())
		e.want("", "")
		time.Sleep(3 * time.Second)
		s.Publish(withdrawn()) // said again, which begins nothing anew
		if gone, wait := e.removed(); gone != nil || wait != 2*time.Second {
			t.Fatalf("after three seconds: %v is removed, next look in %s", gone, wait)
		}
		time.Sleep(2 * time.Second)
		if gone, _ := e.removed(); !slices.Equal(gone, []string{"http/x"}) {
			t.Fatalf("after five seconds: %v is removed", gone)
		}
		if gone, wait := e.removed(); gone != nil || wait != 0 || e.st.lingering.until != nil {
			t.Fatalf("at the end: %v is removed, next look in %s, %v lingers", gone, wait, e.st.lingering.until)
		}
	})
}

// The same for an Envoy that is told the state of the world.
func TestAClusterLingersInTheWorld(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := quiet()
		s.cfg.Linger = 5 * time.Second
		s.Publish(service("1"))
		s.Open()
		st, err := newStream(t.Context(), s)
		if err != nil || s.places.join(st) != nil {
			t.Fatal(err)
		}
		last := map[string]*whole{}
		ask := func(nonce string) {
			req := &discovery.DiscoveryRequest{TypeUrl: xds.TypeCluster, ResponseNonce: nonce}
			if err := s.wholeRequest(st, last, req); err != nil {
				t.Fatal(err)
			}
		}
		ask("")
		ask(s.told.nextWhole(st, last).GetNonce())
		s.Publish(withdrawn())
		if resp := s.told.nextWhole(st, last); resp != nil {
			t.Fatalf("at once: %v", resp)
		}
		if wait := s.told.lingers(st); wait != 5*time.Second {
			t.Fatalf("next look in %s", wait)
		}
		time.Sleep(5 * time.Second)
		resp := s.told.nextWhole(st, last)
		if resp == nil || len(resp.GetResources()) != 0 {
			t.Fatalf("after five seconds: %v", resp)
		}
		if ask(resp.GetNonce()); s.told.lingers(st) != 0 {
			t.Error("it lingers on")
		}
	})
}
