package offer

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"go.opentelemetry.io/otel/trace/noop"

	"github.com/catalyst-router/catalyst/bgp"
	"github.com/catalyst-router/catalyst/bgp/journal"
	"github.com/catalyst-router/catalyst/bgp/speaker"
)

const patience = 20 * time.Second

// router remembers what it is told, in order.
type router struct{ told chan speaker.Event }

func (r router) Do(ctx context.Context, ev speaker.Event) error {
	select {
	case r.told <- ev:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (r router) next(t *testing.T) speaker.Event {
	t.Helper()
	select {
	case ev := <-r.told:
		return ev
	case <-time.After(patience):
		t.Fatal("the router was told nothing")
		return nil
	}
}

func (r router) silent(t *testing.T) {
	t.Helper()
	select {
	case ev := <-r.told:
		t.Fatalf("the router was told %#v", ev)
	default:
	}
}

// node is an offer over a journal, whose workload checks run.
type node struct {
	*Offer
	router router
}

func start(t *testing.T, j Journal) node {
	t.Helper()
	r := router{make(chan speaker.Event, 100)}
	o := New(Config{
		Node: bgp.NodeID{Org: "acme.example", Name: "a"}, Router: r, Journal: j,
		Log: slog.New(slog.NewTextHandler(io.Discard, nil)), Tracer: noop.NewTracerProvider().Tracer(""),
	})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- o.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return node{o, r}
}

func open(t *testing.T, dir string) *journal.Journal {
	t.Helper()
	j, err := journal.Open(t.Context(), filepath.Join(dir, "journal.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := j.Close(); err != nil {
			t.Error(err)
		}
	})
	return j
}

func books(address string) journal.Service {
	return journal.Service{Name: "books.acme.example", Protocol: bgp.HTTP, Address: address, Region: "eu"}
}

func TestAServiceIsAnnouncedAndWithdrawn(t *testing.T) {
	n := start(t, open(t, t.TempDir()))
	if err := n.Set(t.Context(), books("127.0.0.1:1")); err != nil {
		t.Fatal(err)
	}
	set, ok := n.router.next(t).(speaker.LocalSet)
	if !ok || set.Service != "books.acme.example" || set.Attributes.Region != "eu" || set.Attributes.Protocol != bgp.HTTP {
		t.Fatalf("told %#v", set)
	}
	if svc := <-n.Moved(); svc != "books.acme.example" {
		t.Errorf("%s moved", svc)
	}
	if had, err := n.Remove(t.Context(), "books.acme.example"); err != nil || !had {
		t.Fatalf("removed: %t, %v", had, err)
	}
	if gone, ok := n.router.next(t).(speaker.LocalRemoved); !ok || gone.Service != "books.acme.example" {
		t.Fatalf("told %#v", gone)
	}
	if had, err := n.Remove(t.Context(), "books.acme.example"); err != nil || had {
		t.Errorf("removed again: %t, %v", had, err)
	}
	n.router.silent(t)
}

// What could not be kept is not announced: after a restart it would be gone, without a word to anybody.
func TestNothingIsAnnouncedThatIsNotKept(t *testing.T) {
	n := start(t, full{open(t, t.TempDir())})
	if err := n.Set(t.Context(), books("127.0.0.1:1")); !errors.Is(err, journal.ErrFull) {
		t.Fatalf("got %v", err)
	}
	n.router.silent(t)
	if n.Has("books.acme.example") {
		t.Error("it is offered all the same")
	}
}

// full is a journal on a disk without room.
type full struct{ Journal }

func (full) PutService(context.Context, journal.Service) error { return journal.ErrFull }

func TestARestartAnnouncesWhatWasOrdered(t *testing.T) {
	dir := t.TempDir()
	j := open(t, dir)
	n := start(t, j)
	for _, s := range []journal.Service{books("127.0.0.1:1"),
		{Name: "db.acme.example", Protocol: bgp.TCP, Address: "127.0.0.1:2"}} {
		if err := n.Set(t.Context(), s); err != nil {
			t.Fatal(err)
		}
	}
	if err := n.SetForNow(t.Context(), journal.Service{
		Name:     "a.nodes.acme.example",
		Protocol: bgp.HTTP,
		Address:  "127.0.0.1:3",
	}); err != nil {
		t.Fatal(err)
	}
	again := start(t, open(t, dir))
	if err := again.Restore(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, want := range []bgp.Service{"books.acme.example", "db.acme.example"} {
		if set, ok := again.router.next(t).(speaker.LocalSet); !ok || set.Service != want {
			t.Errorf("told %#v, want %s", set, want)
		}
	}
	again.router.silent(t) // what was offered for now is not there any more
}

// workload is an HTTP server whose health can be set.
func workload(t *testing.T) (address string, healthy *atomic.Bool) {
	t.Helper()
	healthy = new(atomic.Bool)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if !healthy.Load() {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	}))
	t.Cleanup(srv.Close)
	return srv.Listener.Addr().(*net.TCPAddr).String(), healthy //nolint:forcetypeassert // httptest listens on TCP
}

func checked(address string, withdraw bool) journal.Service {
	s := books(address)
	s.HealthPath, s.HealthInterval, s.HealthFall, s.WithdrawDown = "http:/", 100*time.Millisecond, 1, withdraw
	return s
}

// until reads what the router is told until it is told a health.
func (r router) until(t *testing.T, want bgp.Health) {
	t.Helper()
	for {
		if set, ok := r.next(t).(speaker.LocalSet); ok && set.Attributes.Health == want {
			return
		}
	}
}

func TestHealthIsAnnounced(t *testing.T) {
	address, healthy := workload(t)
	n := start(t, open(t, t.TempDir()))
	if err := n.Set(t.Context(), checked(address, false)); err != nil {
		t.Fatal(err)
	}
	n.router.until(t, bgp.HealthDown)
	healthy.Store(true)
	n.router.until(t, bgp.HealthUp)
	healthy.Store(false)
	n.router.until(t, bgp.HealthDown)
	if st, ok := n.Health("books.acme.example"); !ok || st.Error == "" {
		t.Errorf("the failure is not kept: %+v", st)
	}
}

func TestADownServiceIsWithdrawnWhereTheOperatorWantsThat(t *testing.T) {
	address, healthy := workload(t)
	dir := t.TempDir()
	n := start(t, open(t, dir))
	if err := n.Set(t.Context(), checked(address, true)); err != nil {
		t.Fatal(err)
	}
	if _, ok := n.router.next(t).(speaker.LocalRemoved); !ok {
		t.Fatal("it was announced before it was checked")
	}
	healthy.Store(true)
	n.router.until(t, bgp.HealthUp)
	healthy.Store(false)
	for {
		if _, gone := n.router.next(t).(speaker.LocalRemoved); gone {
			break
		}
	}
	// A node that starts while the workload is down does not announce it either.
	again := start(t, open(t, dir))
	if err := again.Restore(t.Context()); err != nil {
		t.Fatal(err)
	}
	for range len(again.router.told) {
		if set, ok := (<-again.router.told).(speaker.LocalSet); ok {
			t.Errorf("told %#v", set)
		}
	}
}
