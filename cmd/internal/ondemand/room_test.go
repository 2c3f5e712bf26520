package ondemand_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.opentelemetry.io/otel/metric/noop"

	"github.com/catalyst-router/catalyst/bgp"
	"github.com/catalyst-router/catalyst/cmd/internal/ondemand"
	"github.com/catalyst-router/catalyst/xds/ads"
)

// envoys take everything at once, after a moment, unless they refuse it.
type envoys struct {
	mu      sync.Mutex
	refused map[bgp.Service]bool
	told    []string // what was reconsidered; guarded by mu
}

func (e *envoys) Caller(context.Context) (string, error) { return "", nil }

func (e *envoys) Reconsider(seat string, services []bgp.Service) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, svc := range services {
		e.told = append(e.told, seat+" "+string(svc))
	}
}

func (e *envoys) Await(_ context.Context, _ string, svc bgp.Service, _ bool) error {
	time.Sleep(time.Millisecond) // of synctest
	if e.refused[svc] {
		return ads.ErrRefused
	}
	return nil
}

func open(t *testing.T, path string, most int) (*ondemand.Room, *envoys) {
	t.Helper()
	r, err := ondemand.Open(ondemand.Config{
		Path: path, Idle: time.Hour, Most: most, Log: slog.New(slog.DiscardHandler), Meter: noop.Meter{},
		Kept: func() []bgp.Service { return []bgp.Service{"kept.acme.example"} },
	})
	must(t, err)
	e := &envoys{refused: map[bgp.Service]bool{}}
	r.Connect(e)
	return r, e
}

// follow answers what is asked for, of which all but names that begin with x are known, after a second.
func follow(ctx context.Context, r *ondemand.Room, looked *[]bgp.Service) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-r.Asked():
		}
		asked, _ := r.Next(2)
		*looked = append(*looked, asked...)
		time.Sleep(time.Second)
		for _, svc := range asked {
			if !strings.HasPrefix(string(svc), "x") {
				r.Grant(svc, false)
			}
		}
		r.Done(asked)
	}
}

func TestOneLookUpForAllWhoAsk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, _ := open(t, filepath.Join(t.TempDir(), "used.json"), 100)
		ctx, cancel := context.WithCancel(t.Context())
		var looked []bgp.Service
		var tasks, callers sync.WaitGroup
		tasks.Go(func() { follow(ctx, r, &looked) })
		for n := range 50 {
			callers.Go(func() {
				svc := bgp.Service(fmt.Sprintf("s%d.acme.example", n%5))
				if err := r.Use(ctx, svc); err != nil {
					t.Errorf("%s: %v", svc, err)
				}
			})
			callers.Go(func() {
				if err := r.Use(ctx, "x.acme.example"); !errors.Is(err, ads.ErrGone) {
					t.Errorf("a name that nobody announces: %v", err)
				}
			})
		}
		callers.Wait()
		cancel()
		tasks.Wait()
		slices.Sort(looked)
		if len(looked) != 6 || len(slices.Compact(looked)) != 6 {
			t.Errorf("looked up %v, want each of six once", looked)
		}
		if r.Len() != 5 || r.Waiting() != 0 {
			t.Errorf("%d in use and %d waiting, want 5 and 0", r.Len(), r.Waiting())
		}
	})
}

func TestWhatIsEvictedIsTaken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, e := open(t, filepath.Join(t.TempDir(), "used.json"), 2)
		ctx, cancel := context.WithCancel(t.Context())
		var looked []bgp.Service
		var tasks sync.WaitGroup
		tasks.Go(func() { follow(ctx, r, &looked) })
		for n := range 3 {
			must(t, r.Use(ctx, bgp.Service(fmt.Sprintf("s%d.acme.example", n))))
		}
		synctest.Wait()
		time.Sleep(2 * time.Second)
		cancel()
		tasks.Wait()
		if r.Len() != 2 || r.Used("s0.acme.example") {
			t.Errorf("%d in use, want 2 without the oldest", r.Len())
		}
		want := []string{" s0.acme.example", " s1.acme.example", " s2.acme.example", " s0.acme.example"}
		if slices.Sort(want); !slices.Equal(slices.Sorted(slices.Values(e.told)), want) {
			t.Errorf("Envoy was told of %v, want %v", e.told, want)
		}
	})
}

func TestARefusedServiceIsSaid(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, e := open(t, filepath.Join(t.TempDir(), "used.json"), 2)
		e.refused["s.acme.example"] = true
		ctx, cancel := context.WithCancel(t.Context())
		var looked []bgp.Service
		var tasks sync.WaitGroup
		tasks.Go(func() { follow(ctx, r, &looked) })
		if err := r.Use(ctx, "s.acme.example"); !errors.Is(err, ads.ErrRefused) {
			t.Errorf("got %v, want that Envoy refuses it", err)
		}
		cancel()
		tasks.Wait()
	})
}

// What is in use is in the file when the node ends, with when it was called; a file that cannot be read means that all
// that Envoy had is in use, and none that nothing is.
func TestTheFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "used.json")
	synctest.Test(t, func(t *testing.T) {
		r, _ := open(t, path, 100)
		ctx, cancel := context.WithCancel(t.Context())
		var looked []bgp.Service
		var tasks sync.WaitGroup
		tasks.Go(func() { follow(ctx, r, &looked) })
		tasks.Go(func() { must(t, r.Run(ctx)) })
		must(t, r.Use(ctx, "books.acme.example"))
		cancel()
		tasks.Wait()
		if r, _ := open(t, path, 100); !r.Uses("", "books.acme.example") || r.Len() != 1 {
			t.Errorf("after a restart %v is in use, want books", r.Seats())
		}
	})
	for text, used := range map[string]int{
		`{`: 1, `{"version":2}`: 1, `{"version":1,"seats":{"":[{"service":"no name","last":1}]}}`: 1,
		`{"version":1,"seats":{}}`: 0,
	} {
		must(t, os.WriteFile(path, []byte(text), 0o600))
		if r, _ := open(t, path, 100); r.Len() != used {
			t.Errorf("%s: %d in use, want %d", text, r.Len(), used)
		}
	}
}
