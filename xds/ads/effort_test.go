package ads

import (
	"fmt"
	"log/slog"
	"runtime"
	"slices"
	"testing"
	"time"

	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"

	"github.com/catalyst-router/catalyst/xds"
)

func clusters(n int, version string) xds.Delta {
	var d xds.Delta
	for i := range n {
		name := fmt.Sprintf("http/service-%06d", i)
		d.Set = append(d.Set, xds.Resource{
			Type:    xds.TypeCluster,
			Name:    name,
			Version: version,
			Body:    []byte(name),
			Service: "x",
		})
	}
	return d
}

// subscribing is how long it takes to subscribe to 500 names of a table of n.
func subscribing(t *testing.T, n int) time.Duration {
	t.Helper()
	s := quiet()
	s.Publish(clusters(n, "1"))
	s.Open()
	names := make([]string, 500)
	for i := range names {
		names[i] = fmt.Sprintf("http/service-%06d", i)
	}
	best := time.Hour
	for range 3 {
		st, err := newStream(t.Context(), s)
		if err != nil || s.places.join(st) != nil {
			t.Fatal(err)
		}
		began := time.Now()
		if err := s.request(st, &discovery.DeltaDiscoveryRequest{
			TypeUrl:                xds.TypeCluster,
			ResourceNamesSubscribe: names,
		}); err != nil {
			t.Fatal(err)
		}
		best = min(best, time.Since(began))
		if resp, _ := s.told.next(st); len(resp.GetResources()) != len(names) {
			t.Fatalf("sent %d, want %d", len(resp.GetResources()), len(names))
		}
		s.leave(st)
	}
	return best
}

// A subscription costs its own names, and not the table for each of them.
func TestASubscriptionCostsItsOwnNames(t *testing.T) {
	small, large := subscribing(t, 500), subscribing(t, 100_000)
	if large > 10*small+5*time.Millisecond {
		t.Errorf("500 names take %s of 500 resources and %s of 100,000", small, large)
	}
}

// slowStore keeps the order in which it is told.
type slowStore struct {
	told []string
	s    *Server
}

func (k *slowStore) Set(r *xds.Resource) {
	k.s.Status() // whoever is told may ask
	k.told = append(k.told, r.Name+"@"+r.Version)
}

func (k *slowStore) Remove(ref xds.Ref) { k.told = append(k.told, "-"+ref.Name) }

// Observers are told when the lock is released: they may ask the server. The order is that in which it happened.
func TestObserversMayAskTheServer(t *testing.T) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		store := &slowStore{}
		var s *Server
		var acks []string
		s = NewServer(Config{Log: slog.New(slog.DiscardHandler), Store: store, OnQuarantine: func() { s.Quarantined() },
			OnAck:  func(a Acknowledged) { acks = append(acks, a.Resource.Name+"@"+a.Version); s.Service("x") },
			OnNack: func(Refused) { s.Status() },
		})
		store.s = s
		s.Publish(service("1"))
		s.Open()
		e := newEnvoy(t, s)
		e.want("", "http/x@1 ")
		s.Publish(service("2"))
		e.want("", "http/x@2 ")
		s.Publish(service("3"))
		e.want("Error adding/updating cluster(s) http/x: no", "http/x@3 ")
		s.Publish(xds.Delta{Removed: []xds.Ref{{Type: xds.TypeCluster, Name: "http/x"}}})
		if want := []string{"http/x@1", "http/x@2"}; !slices.Equal(acks, want) {
			t.Errorf("acknowledged %v, want %v", acks, want)
		}
		if want := []string{"http/x@1", "http/x@2", "-http/x"}; !slices.Equal(store.told, want) {
			t.Errorf("kept %v, want %v", store.told, want)
		}
	}()
	select {
	case <-done:
	case <-time.After(20 * time.Second):
		t.Fatal("an observer that asks the server waits for ever")
	}
}

// What is kept of 30,000 services goes when they do, in the server's view and in what it knows of an Envoy that stays
// connected.
func TestMemoryComesBackAfterAFlood(t *testing.T) {
	const n = 30_000
	s := quiet()
	s.Publish(service("1"))
	s.Open()
	e := newEnvoy(t, s)
	e.want("", "http/x@1 ")
	before := heap()
	s.Publish(clusters(n, "1"))
	for sent, _ := e.answer(""); sent != nil; sent, _ = e.answer("") {
	}
	full := heap() - before
	var gone xds.Delta
	for i := range n {
		gone.Removed = append(gone.Removed, xds.Ref{Type: xds.TypeCluster, Name: fmt.Sprintf("http/service-%06d", i)})
	}
	s.Publish(gone)
	for resp, _ := s.told.next(e.st); resp != nil; resp, _ = s.told.next(e.st) {
		e.ask(&discovery.DeltaDiscoveryRequest{TypeUrl: resp.GetTypeUrl(), ResponseNonce: resp.GetNonce()})
	}
	if held := heap() - before; held > full/20 {
		t.Errorf("%d KiB are held after the flood, %d during it", held>>10, full>>10)
	}
	if got := s.Status()[0].Types[0]; got.Sent != 1 || got.Acked != 1 {
		t.Errorf("got %+v", got)
	}
	runtime.KeepAlive(s)
}

func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
