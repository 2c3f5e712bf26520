package ads

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"

	"github.com/catalyst-router/catalyst/xds"
)

// eater is an Envoy that has scopes alone, and answers when it is told to.
type eater struct {
	*testing.T
	s  *Server
	st *stream
	at int // change of a scope
}

// newEater is served so many scopes.
func newEater(t *testing.T, scopes int) *eater {
	t.Helper()
	e := &eater{T: t, s: quiet()}
	var d xds.Delta
	for i := range scopes {
		d.Set = append(d.Set, of(xds.TypeScope, fmt.Sprintf("route/s%06d", i), "1"))
	}
	e.s.Publish(d)
	e.s.Open()
	var err error
	if e.st, err = newStream(t.Context(), e.s); err != nil {
		t.Fatal(err)
	}
	if err := e.s.places.join(e.st); err != nil {
		t.Fatal(err)
	}
	e.answer(&discovery.DeltaDiscoveryResponse{})
	return e
}

// answer acknowledges a response; one without a nonce asks for all scopes.
func (e *eater) answer(resp *discovery.DeltaDiscoveryResponse) {
	e.Helper()
	req := &discovery.DeltaDiscoveryRequest{TypeUrl: xds.TypeScope, ResponseNonce: resp.GetNonce()}
	if err := e.s.request(e.st, req); err != nil {
		e.Fatal(err)
	}
}

// next wants a response with so many scopes; none for 0.
func (e *eater) next(want int) *discovery.DeltaDiscoveryResponse {
	e.Helper()
	resp, _ := e.s.told.next(e.st)
	if got := len(resp.GetResources()); got != want || (resp == nil) != (want == 0) {
		e.Fatalf("a response with %d scopes, want %d", got, want)
	}
	return resp
}

// fill answers everything that there is, and returns in how many responses it came.
func (e *eater) fill() (responses int) {
	e.Helper()
	for {
		resp, _ := e.s.told.next(e.st)
		if resp == nil {
			return responses
		}
		responses++
		e.answer(resp)
	}
}

// change publishes a new version of one scope.
func (e *eater) change(name int) {
	e.at++
	e.s.Publish(xds.Delta{Set: []xds.Resource{
		of(xds.TypeScope, fmt.Sprintf("route/s%06d", name), fmt.Sprint("v", e.at)),
	}})
}

// For each response with scopes Envoy goes through all that it has: a table of n in responses of 500 cost it n²/500.
func TestResponsesGrowWithTheTable(t *testing.T) {
	for scopes, want := range map[int]int{400: 1, 5_000: 10, 40_000: 20, 100_000: 20} {
		if got := newEater(t, scopes).fill(); got != want {
			t.Errorf("%d scopes came in %d responses, want %d", scopes, got, want)
		}
	}
}

// What changes while an Envoy with many services is still at work goes into one response when it has answered: under
// a flood of changes it has one such response to do, and not a queue of them that everybody's change waits behind.
func TestAnEnvoyIsToldAtItsOwnPace(t *testing.T) {
	e := newEater(t, 20_000)
	first := e.next(1_000)
	e.next(0)
	e.answer(first)
	e.fill()
	e.change(1)
	resp := e.next(1)
	for n := range 300 {
		e.change(n % 150)
		e.next(0)
	}
	e.answer(resp)
	e.answer(e.next(150))
	e.next(0)
}

// An Envoy with few services is told each change at once.
func TestAnEnvoyWithFewServicesIsToldAtOnce(t *testing.T) {
	e := newEater(t, 100)
	e.fill()
	for n := range 50 {
		e.change(n)
		e.next(1)
	}
}

// An Envoy that does not answer is told more all the same, after a while. Nothing is taken from it before: what comes
// in its place may be what waits.
func TestAnEnvoyThatDoesNotAnswerIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEater(t, 20_000)
		e.fill()
		e.change(1)
		e.next(1)
		e.change(2)
		e.s.Publish(xds.Delta{Removed: []xds.Ref{{Type: xds.TypeScope, Name: "route/s000003"}}})
		if resp, wait := e.s.told.next(e.st); resp != nil || wait != digestion {
			t.Fatalf("sent %v, next look in %s, want %s", resp, wait, digestion)
		}
		time.Sleep(removalPatience + time.Millisecond)
		e.next(0)
		time.Sleep(digestion)
		e.next(1)
	})
}
