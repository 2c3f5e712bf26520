package probe

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	grpchealth "google.golang.org/grpc/health"
	health "google.golang.org/grpc/health/grpc_health_v1"
	"pgregory.net/rapid"

	"github.com/catalyst-router/catalyst/bgp"
)

func TestParse(t *testing.T) {
	for _, tt := range []struct{ text, want, err string }{
		{"", "", ""}, {"none", "", ""}, {"/healthz", "http:/healthz", ""}, {"http:/a?b=c", "http:/a?b=c", ""},
		{"http:healthz", "http:/healthz", ""}, {"http", "http:/", ""},
		{"tcp", "tcp", ""}, {"grpc", "grpc", ""}, {"grpc:books.Books", "grpc:books.Books", ""},
		{"tcp:80", "", "want http:/PATH"}, {"ping", "", "want http:/PATH"}, {"http:/a b", "", "printable"},
		{"/a\r\nHost: x", "", "printable"},
		{"/" + strings.Repeat("x", 3000), "", "longer than 2048"},
	} {
		c, err := Parse(tt.text)
		if tt.err == "" && (err != nil || c.String() != tt.want) ||
			tt.err != "" && (err == nil || !strings.Contains(err.Error(), tt.err)) {
			t.Errorf("%q: got %q, %v; want %q, %q", tt.text, c, err, tt.want, tt.err)
		}
	}
}

func TestValidate(t *testing.T) {
	for _, tt := range []struct {
		check    Check
		protocol bgp.Protocol
		want     string
	}{
		{Check{}, bgp.TCP, ""},
		{Check{Kind: HTTP, Argument: "/", Interval: time.Second, Timeout: time.Second}, bgp.GraphQL, ""},
		{Check{Kind: HTTP}, bgp.TCP, "cannot be asked of a service of protocol tcp"},
		{Check{Kind: GRPC}, bgp.HTTP2, "cannot be asked of a service of protocol http2"},
		{Check{Kind: TCP, Interval: time.Millisecond}, bgp.TCP, "healthInterval: 1ms: want 100ms to 1h0m0s"},
		{Check{Kind: TCP, Timeout: 6 * time.Second}, bgp.TCP, "healthTimeout: 6s: want 10ms to the interval, 5s"},
		{Check{Kind: TCP, Rise: -1}, bgp.TCP, "healthRise"},
		{Check{Kind: TCP, Fall: 101}, bgp.TCP, "healthFall"},
		{Check{Rise: 2}, bgp.TCP, "health: want http:/PATH, grpc or tcp where"},
	} {
		got := errors.Join(tt.check.Validate(tt.protocol)...)
		if (got == nil) != (tt.want == "") || got != nil && !strings.Contains(got.Error(), tt.want) {
			t.Errorf("%+v of %s: got %v, want %q", tt.check, tt.protocol, got, tt.want)
		}
	}
}

// run feeds a machine one result a second: '+' for success, '-' for failure; the answer has u, d or ? after each.
func run(m *Machine, results string) string {
	var got strings.Builder
	now := time.Unix(1_700_000_000, 0)
	for _, r := range results {
		now = now.Add(time.Second)
		m.Result(now, map[rune]string{'+': "", '-': "refused"}[r])
		got.WriteByte("?ud"[m.Status().Health])
	}
	return got.String()
}

func TestThresholds(t *testing.T) {
	for _, tt := range []struct {
		rise, fall    int
		results, want string
	}{
		{0, 0, "++-+--+", "uuuuudu"},        // one success, two failures in a row
		{3, 1, "+-++-+++", "udddddd" + "u"}, // a success that is interrupted does not count
		{1, 3, "-+--+---", "duuuuuud"},      // the first result decides alone
	} {
		m := NewMachine(Check{Kind: TCP, Rise: tt.rise, Fall: tt.fall}, rand.New(rand.NewPCG(1, 1)))
		if got := run(m, tt.results); got != tt.want {
			t.Errorf("rise %d, fall %d, %s: got %s, want %s", tt.rise, tt.fall, tt.results, got, tt.want)
		}
	}
}

// A service that goes up and down all the time stays down until it has been calm: the mesh does not follow each flap.
func TestFlappingIsHeldDown(t *testing.T) {
	m := NewMachine(Check{Kind: TCP, Fall: 1}, rand.New(rand.NewPCG(1, 1)))
	got := run(m, strings.Repeat("+-", 10))
	if want := "ududududdddddddddddd"; got != want {
		t.Fatalf("got  %s\nwant %s", got, want)
	}
	now := time.Unix(1_700_000_000, 0).Add(20 * time.Second)
	m.Result(now.Add(time.Second), "")
	s := m.Status()
	if s.Health != bgp.HealthDown || s.HeldUntil.IsZero() {
		t.Fatalf("got %+v, want held down", s)
	}
	if m.Result(s.HeldUntil.Add(-time.Second), ""); m.Status().Health != bgp.HealthDown {
		t.Error("up before the hold-down is over")
	}
	if m.Result(s.HeldUntil.Add(time.Second), ""); m.Status().Health != bgp.HealthUp || m.Status().Error != "" {
		t.Errorf("not up after the hold-down: %+v", m.Status())
	}
}

// Whatever the results: health changes only with enough of them in a row, never to up while held, a hold-down ends
// within a minute and a half of success, and waits stay within a tenth of the interval.
func TestMachineAgainstATwin(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := Check{
			Kind:     TCP,
			Interval: time.Second,
			Rise:     rapid.IntRange(1, 4).Draw(t, "rise"),
			Fall:     rapid.IntRange(1, 4).Draw(t, "fall"),
		}
		m := NewMachine(c, rand.New(rand.NewPCG(1, 1)))
		now := time.Unix(1_700_000_000, 0)
		var history []bool
		calm := time.Time{}
		for _, ok := range rapid.SliceOfN(rapid.Bool(), 1, 200).Draw(t, "results") {
			wait := m.Next()
			if wait < 900*time.Millisecond || wait > 1100*time.Millisecond {
				t.Fatalf("waits %s", wait)
			}
			now = now.Add(wait)
			before := m.Status()
			changed := m.Result(now, map[bool]string{true: "", false: "no"}[ok])
			after := m.Status()
			history = append(history, ok)
			if changed != (before.Health != after.Health) {
				t.Fatalf("changed is %v from %s to %s", changed, before.Health, after.Health)
			}
			need := map[bgp.Health]int{bgp.HealthUp: c.Rise, bgp.HealthDown: c.Fall}[after.Health]
			if changed && before.Health != bgp.HealthUnknown {
				if len(history) < need {
					t.Fatalf("%s after %d results", after.Health, len(history))
				}
				for _, h := range history[len(history)-need:] {
					if h != (after.Health == bgp.HealthUp) {
						t.Fatalf("%s against the last %d results", after.Health, need)
					}
				}
			}
			if !ok {
				calm = now
			}
		}
		for range 120 {
			now = now.Add(time.Second)
			m.Result(now, "")
		}
		if m.Status().Health != bgp.HealthUp {
			t.Fatalf("still %+v two minutes after the last failure at %s", m.Status(), calm)
		}
	})
}

// fake is a workload whose answers the test sets.
type fake struct {
	mu    sync.Mutex
	err   error         // guarded by mu
	takes time.Duration // guarded by mu
	asked int           // guarded by mu
}

func (f *fake) ask(ctx context.Context, _ Target) (Answer, error) {
	f.mu.Lock()
	err, takes := f.err, f.takes
	f.asked++
	f.mu.Unlock()
	select {
	case <-time.After(takes):
		return Answer{}, err
	case <-ctx.Done():
		return Answer{}, ctx.Err()
	}
}

func (f *fake) count() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.asked
}

func (f *fake) set(err error, takes time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.err, f.takes = err, takes
}

func TestSet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{}
		var mu sync.Mutex
		var told []string // guarded by mu
		var set *Set
		set = NewSet(Config{
			Log: slog.New(slog.DiscardHandler),
			Ask: f.ask,
			Changed: func(_ context.Context, svc bgp.Service) {
				s, _ := set.Status(svc)
				mu.Lock()
				defer mu.Unlock()
				told = append(told, s.Health.String())
			},
		})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		target := Target{
			Service:  "books.acme.example",
			Protocol: bgp.HTTP,
			Address:  "127.0.0.1:1",
			Check:    Check{Kind: TCP, Interval: time.Second, Timeout: 100 * time.Millisecond},
		}
		set.Put(target.Service, target) // before Run as well
		go func() { done <- set.Run(ctx) }()
		set.First(t.Context(), target.Service)
		synctest.Wait()
		want := func(what string, states ...string) {
			t.Helper()
			synctest.Wait()
			mu.Lock()
			defer mu.Unlock()
			if fmt.Sprint(told) != fmt.Sprint(states) {
				t.Errorf("%s: told of %v, want %v", what, told, states)
			}
		}
		want("at once", "up")
		f.set(errors.New("refused"), 0)
		time.Sleep(3 * time.Second)
		want("two failures", "up", "down")
		if s, _ := set.Status(target.Service); s.Error != "refused" || s.Since.IsZero() {
			t.Errorf("status is %+v", s)
		}
		f.set(nil, time.Minute) // it hangs: the time-out counts as a failure
		time.Sleep(3 * time.Second)
		if s, _ := set.Status(target.Service); s.Error != "no answer within 100ms" {
			t.Errorf("status is %+v", s)
		}
		f.set(nil, 0)
		time.Sleep(2 * time.Second)
		want("it is back", "up", "down", "up")
		// The same target again changes nothing; another one begins anew.
		before := f.count()
		set.Put(target.Service, target)
		synctest.Wait()
		if f.count() != before {
			t.Error("the same target is asked at once again")
		}
		target.Address = "127.0.0.1:2"
		set.Put(target.Service, target)
		synctest.Wait()
		want("another address", "up", "down", "up", "up")
		set.Remove(target.Service)
		f.set(errors.New("refused"), 0)
		time.Sleep(10 * time.Second)
		want("not checked any more", "up", "down", "up", "up")
		if _, ok := set.Status(target.Service); ok {
			t.Error("still has a status")
		}
		set.Put(target.Service, target)
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		// after the end nothing starts
		set.Put("late.acme.example", Target{Service: "late.acme.example", Check: Check{Kind: TCP}})
	})
}

// Checks do not come at once: of a thousand services no more than the limit are asked at a moment, and all get their
// turn.
func TestManyServices(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		now, most, asked := 0, 0, map[bgp.Service]bool{}
		set := NewSet(Config{Log: slog.New(slog.DiscardHandler), Ask: func(_ context.Context, t Target) (Answer, error) {
			mu.Lock()
			now++
			most = max(most, now)
			asked[t.Service] = true
			mu.Unlock()
			time.Sleep(10 * time.Millisecond)
			mu.Lock()
			now--
			mu.Unlock()
			return Answer{}, nil
		}})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- set.Run(ctx) }()
		for i := range 200 {
			svc := bgp.Service(fmt.Sprintf("s%d.acme.example", i))
			set.Put(svc, Target{Service: svc, Check: Check{Kind: TCP}})
		}
		time.Sleep(time.Second)
		mu.Lock()
		if most != maxAtOnce || len(asked) != 200 {
			t.Errorf("%d at once, %d asked; want %d and 200", most, len(asked), maxAtOnce)
		}
		mu.Unlock()
		cancel()
		<-done
	})
}

func listen(t *testing.T) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}

// The real questions, to real workloads.
func TestAsk(t *testing.T) {
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.Host != "books.acme.example":
			w.WriteHeader(http.StatusMisdirectedRequest)
		case r.URL.Path == "/bad":
			w.WriteHeader(http.StatusInternalServerError)
		case r.URL.Path == "/moved":
			http.Redirect(w, r, "/elsewhere", http.StatusFound)
		case r.URL.Path == "/slow":
			<-r.Context().Done()
		case r.URL.RawQuery == "two" && r.ProtoMajor != 2:
			w.WriteHeader(http.StatusHTTPVersionNotSupported)
		}
	})
	one := httptest.NewServer(handler)
	t.Cleanup(one.Close)
	two := &http.Server{Handler: handler, Protocols: new(http.Protocols), ReadHeaderTimeout: time.Second}
	two.Protocols.SetUnencryptedHTTP2(true)
	l := listen(t)
	go func() { _ = two.Serve(l) }()
	t.Cleanup(func() { _ = two.Close() })
	rpc, states, lis := grpc.NewServer(), grpchealth.NewServer(), listen(t)
	health.RegisterHealthServer(rpc, states)
	states.SetServingStatus("books.Sick", health.HealthCheckResponse_NOT_SERVING)
	go func() { _ = rpc.Serve(lis) }()
	t.Cleanup(rpc.Stop)
	plain := grpc.NewServer() // without the health service
	other := listen(t)
	go func() { _ = plain.Serve(other) }()
	t.Cleanup(plain.Stop)
	dead := listen(t)
	_ = dead.Close()
	web, web2, grpcAt, bare, nobody := one.Listener.Addr().String(), l.Addr().String(), lis.Addr().String(),
		other.Addr().String(), dead.Addr().String()
	for _, tt := range []struct {
		protocol       bgp.Protocol
		address, check string
		want           string // of the error; "" for success
	}{
		{bgp.HTTP, web, "/good", ""}, {bgp.HTTP, web, "/moved", ""}, {bgp.GraphQL, web, "/good?x=1", ""},
		{bgp.HTTP, web, "/bad", "GET /bad: 500 Internal Server Error"},
		{bgp.HTTP, nobody, "/good", "GET /good: connection refused"}, {bgp.HTTP, web, "/slow", "no answer within"},
		{bgp.HTTP2, web2, "/good?two", ""}, {bgp.HTTP, web, "/good?two", "505"},
		{bgp.TCP, web, "tcp", ""}, {bgp.TCP, nobody, "tcp", "connection refused"},
		{bgp.GRPC, grpcAt, "grpc", ""}, {bgp.GRPC, grpcAt, "grpc:books.Sick", "grpc.health.v1: NOT_SERVING"},
		{bgp.GRPC, grpcAt, "grpc:books.None", "NotFound"},
		{bgp.GRPC, bare, "grpc", "Unimplemented"}, {bgp.GRPC, nobody, "grpc", "connection refused"},
	} {
		c, err := Parse(tt.check)
		if err != nil {
			t.Fatal(err)
		}
		set := NewSet(Config{Log: slog.New(slog.DiscardHandler)})
		timeout := 20 * time.Second
		if tt.check == "/slow" {
			timeout = 50 * time.Millisecond
		}
		_, failure := set.ask(t.Context(),
			Target{Service: "books.acme.example", Protocol: tt.protocol, Address: tt.address, Check: c}, timeout)
		if (failure == "") != (tt.want == "") || !strings.Contains(failure, tt.want) {
			t.Errorf("%s %s: got %q, want %q", tt.protocol, tt.check, failure, tt.want)
		}
	}
}

// A workload says how long it keeps connections, in the words of common servers and of odd ones.
func TestKeepAliveIsRead(t *testing.T) {
	for said, want := range map[string]time.Duration{
		"timeout=5": 5 * time.Second, "timeout=20, max=1000": 20 * time.Second, "max=7,Timeout=1": time.Second,
		"": 0, "timeout=0": 0, "timeout=-3": 0, "timeout=1.5": 0, "timeout": 0, "max=100": 0, "timeout=99999999999": 0,
		"timeout=x, timeout=2": 2 * time.Second,
	} {
		web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			if said != "" {
				w.Header().Set("Keep-Alive", said)
			}
		}))
		answer, err := Asker{}.Ask(t.Context(), Target{
			Service: "books.acme.example", Protocol: bgp.HTTP,
			Address: web.Listener.Addr().String(), Check: Check{Kind: HTTP, Argument: "/"},
		})
		web.Close()
		if err != nil || answer.KeepAlive != want {
			t.Errorf("%q: got %s, %v, want %s", said, answer.KeepAlive, err, want)
		}
	}
}

// Several servers may answer at one address: the shortest time counts, until the workload was down.
func TestTheShortestKeepAliveCounts(t *testing.T) {
	m := NewMachine(Check{Kind: HTTP, Fall: 1}, rand.New(rand.NewPCG(1, 1)))
	now := time.Now()
	for _, step := range []struct {
		failure    string
		said, want time.Duration
		told       bool
	}{
		{"", 5, 5, true}, {"", 10, 5, false}, {"", 0, 5, false}, {"", 2, 2, true}, {"", 2, 2, false},
		{"gone", 0, 0, false}, {"", 9, 9, true},
	} {
		now = now.Add(time.Second)
		m.Result(now, step.failure)
		if told := m.Keeps(step.said); told != step.told || m.Status().KeepAlive != step.want {
			t.Errorf("%+v: got %d, %t", step, m.Status().KeepAlive, told)
		}
	}
}
