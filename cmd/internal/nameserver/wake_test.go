package nameserver

import (
	"context"
	"errors"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/miekg/dns"

	"github.com/catalyst-router/catalyst/bgp"
	"github.com/catalyst-router/catalyst/bgp/peering"
)

// sleeper is a Demand of which one service is used once somebody asks, as long as its Envoy takes it.
type sleeper struct {
	refuses error

	mu    sync.Mutex
	used  bool
	asked int
}

func (d *sleeper) Used(bgp.Service) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.used
}

func (d *sleeper) Use(ctx context.Context, _ bgp.Service) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.asked++
	if d.refuses != nil {
		return d.refuses
	}
	d.used = true
	return ctx.Err()
}

func question(name string, qtype uint16) *dns.Msg {
	return new(dns.Msg).SetQuestion(dns.Fqdn(name), qtype)
}

// Where Envoys have what is asked for, a TCP service listens once its name is asked for, and the question that asked
// first is answered; questions of other kinds wake nothing; one that Envoy refuses is a failure.
func TestANameIsWokenByItsQuestion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const db = bgp.Service("db.acme.example")
		w := &world{at: netip.MustParseAddrPort("127.83.0.20:5432"), has: true, change: make(chan struct{})}
		s, d := w.server(t), &sleeper{}
		s.cfg.Demand, s.cfg.Router = d, nothing{}
		s.changed(route(db, bgp.TCP, bgp.HealthUp), map[bgp.Service]bool{})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { defer close(done); s.follow(ctx, make(chan peering.Batch)) }()
		defer func() { cancel(); <-done }()

		if n, _ := s.zones.Get(db); n.State != Waiting || n.Why == "" {
			t.Fatalf("before it is asked for: %+v", n)
		}
		for _, req := range []*dns.Msg{question("db.acme.example", dns.TypeTXT), question("other.acme.example", dns.TypeA),
			question("_tcp.db.acme.example", dns.TypeA)} {
			if s.wake(ctx, req) || d.asked > 0 {
				t.Errorf("%s wakes it", req.Question[0].String())
			}
		}
		d.refuses = errors.New("Envoy refuses it")
		if s.wake(ctx, question("db.acme.example", dns.TypeA)) || d.asked != 1 {
			t.Errorf("asked %d times, and answered although Envoy refuses it", d.asked)
		}
		d.refuses = nil
		if !s.wake(ctx, question("_postgresql._tcp.db.acme.example", dns.TypeSRV)) {
			t.Error("the question that wakes it is not answered")
		}
		if n, _ := s.zones.Get(db); n.State != Answered || n.At != w.at {
			t.Errorf("once it was asked for: %+v", n)
		}
		if s.wake(ctx, question("db.acme.example", dns.TypeA)) || d.asked != 2 || len(s.awaited) > 0 || len(s.waking) > 0 {
			t.Errorf("asked %d times, %d wait, %d wake", d.asked, len(s.awaited), len(s.waking))
		}
		d.mu.Lock()
		d.used = false // forgotten
		d.mu.Unlock()
		s.Dialled(db)
		time.Sleep(time.Second)
		if n, _ := s.zones.Get(db); n.State != Waiting {
			t.Errorf("when it is forgotten: %+v", n)
		}
	})
}

// As many questions as are bounded wait at a time, and none for longer than its patience.
func TestWakingIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const db = bgp.Service("db.acme.example")
		s := (&world{change: make(chan struct{})}).server(t)
		s.cfg.Demand = &sleeper{} // nobody follows: what is woken is never known
		s.changed(route(db, bgp.TCP, bgp.HealthUp), map[bgp.Service]bool{})
		s.cfg.Demand = stuck{}
		var all sync.WaitGroup
		began := time.Now()
		for range maxWaking {
			all.Go(func() {
				if s.wake(t.Context(), question("db.acme.example", dns.TypeA)) {
					t.Error("answered")
				}
			})
		}
		synctest.Wait()
		if s.wake(t.Context(), question("db.acme.example", dns.TypeA)) || time.Since(began) > 0 {
			t.Errorf("one more waited for %s", time.Since(began))
		}
		if all.Wait(); time.Since(began) != wakePatience || len(s.waking) > 0 || len(s.awaited) > 0 {
			t.Errorf("they waited for %s, %d are left", time.Since(began), len(s.waking))
		}
	})
}

// stuck is a Demand that never has anything taken.
type stuck struct{}

func (stuck) Used(bgp.Service) bool { return false }

func (stuck) Use(ctx context.Context, _ bgp.Service) error { <-ctx.Done(); return ctx.Err() }

// nothing is a router without routes.
type nothing struct{}

func (nothing) Subscribe(context.Context) (*peering.Feed, error) { return nil, errors.New("none") }
func (nothing) Published() <-chan struct{}                       { return nil }
