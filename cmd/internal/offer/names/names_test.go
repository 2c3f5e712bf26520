package names

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func addrs(text ...string) []netip.Addr {
	var out []netip.Addr
	for _, t := range text {
		out = append(out, netip.MustParseAddr(t))
	}
	return out
}

// zone is a DNS whose records a test changes.
type zone struct {
	mu      sync.Mutex
	records map[string][]netip.Addr
	err     error
	asked   int
	ttl     time.Duration
}

func (z *zone) set(host string, found ...string) {
	z.mu.Lock()
	defer z.mu.Unlock()
	z.records[host] = addrs(found...)
}

func (z *zone) lookup(_ context.Context, host string) (Found, error) {
	z.mu.Lock()
	defer z.mu.Unlock()
	z.asked++
	if z.err != nil {
		return Found{}, z.err
	}
	if len(z.records[host]) == 0 {
		return Found{}, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
	}
	return Found{z.records[host], z.ttl}, nil
}

func TestNext(t *testing.T) {
	at := func(s int) time.Time { return time.Unix(int64(s), 0) }
	had := State{Addresses: addrs("10.0.0.1", "::1")}
	for name, tt := range map[string]struct {
		was   State
		found []netip.Addr
		err   error
		now   int
		want  State
	}{
		"both families, in order": {State{}, addrs("::1", "10.0.0.2", "10.0.0.1", "::ffff:10.0.0.1"), nil, 0,
			State{Addresses: addrs("10.0.0.1", "10.0.0.2", "::1")}},
		"no records: kept": {had, nil, nil, 5,
			State{Addresses: had.Addresses, Error: "it has no address", Lost: at(5), Until: at(15)}},
		"no server: kept": {had, nil, context.DeadlineExceeded, 5,
			State{Addresses: had.Addresses, Error: "no DNS server answers", Lost: at(5), Until: at(15)}},
		"still kept": {State{Addresses: had.Addresses, Error: "x", Lost: at(5), Until: at(15)}, nil, errors.New("odd"), 14,
			State{Addresses: had.Addresses, Error: "odd", Lost: at(5), Until: at(15)}},
		"given up": {State{Addresses: had.Addresses, Error: "x", Lost: at(5), Until: at(15)}, nil, nil, 15,
			State{Error: "it has no address", Lost: at(5)}},
		"back":          {State{Error: "x", Lost: at(5)}, addrs("10.0.0.3"), nil, 20, State{Addresses: addrs("10.0.0.3")}},
		"never had any": {State{}, nil, nil, 3, State{Error: "it has no address", Lost: at(3)}},
	} {
		got := next(tt.was, tt.found, tt.err, at(tt.now), 10*time.Second)
		if !slices.Equal(got.Addresses, tt.want.Addresses) || got.Error != tt.want.Error ||
			!got.Lost.Equal(tt.want.Lost) || !got.Until.Equal(tt.want.Until) {
			t.Errorf("%s: got %+v, want %+v", name, got, tt.want)
		}
	}
}

// A name is followed every interval, its owners are told of changes alone, and one that nobody uses any more is asked
// no longer.
func TestNamesAreFollowed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		z := &zone{ttl: -1, records: map[string][]netip.Addr{"web.internal": addrs("10.0.0.1")}}
		var mu sync.Mutex
		var told []string // guarded by mu
		s := New(Config{Log: slog.New(slog.DiscardHandler), Lookup: z.lookup, Interval: time.Second, Keep: time.Minute,
			Changed: func(_ context.Context, owner string) {
				mu.Lock()
				defer mu.Unlock()
				told = append(told, owner)
			}})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		s.Follow("books", []string{"web.internal"})
		go func() { done <- s.Run(ctx) }()
		s.First(t.Context(), "books")
		s.Follow("films", []string{"web.internal", "nowhere.internal"})
		s.First(t.Context(), "films")
		step := func(d time.Duration, want ...string) {
			t.Helper()
			time.Sleep(d) // in the bubble: no real time passes
			synctest.Wait()
			mu.Lock()
			defer mu.Unlock()
			slices.Sort(told)
			if !slices.Equal(told, want) {
				t.Errorf("told %v, want %v", told, want)
			}
			told = nil
		}
		step(10*time.Millisecond, "books", "films") // web.internal, and films that nowhere.internal has none
		if st := s.State("nowhere.internal"); st.Error != "no such host" || st.Addresses != nil {
			t.Errorf("got %+v", st)
		}
		step(5 * time.Second)
		z.set("web.internal", "10.0.0.2", "10.0.0.1")
		step(time.Second, "books", "films")
		z.set("web.internal", "10.0.0.1", "10.0.0.2") // the same in another order
		step(time.Second)
		z.set("web.internal")
		step(time.Second, "books", "films") // that they are kept
		if st := s.State("web.internal"); len(st.Addresses) != 2 || st.Until.IsZero() {
			t.Errorf("got %+v", st)
		}
		step(58 * time.Second)
		step(3*time.Second, "books", "films") // that they are given up
		s.Follow("books", nil)
		s.Follow("films", nil)
		asked := z.asked
		step(time.Minute)
		if z.asked != asked || s.State("web.internal").Error != "" {
			t.Errorf("a name that nobody uses is asked %d times more", z.asked-asked)
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// A name is looked up again when its records' time to live is over, within bounds; one that fails, every interval.
func TestTimeToLive(t *testing.T) {
	for _, c := range []struct{ ttl, want time.Duration }{
		{-1, 5 * time.Second}, {0, minTTL}, {30 * time.Second, 30 * time.Second}, {24 * time.Hour, maxTTL},
	} {
		synctest.Test(t, func(t *testing.T) {
			z := &zone{ttl: c.ttl, records: map[string][]netip.Addr{"web.internal": addrs("10.0.0.1")}}
			s := New(Config{Log: slog.New(slog.DiscardHandler), Lookup: z.lookup, Interval: 5 * time.Second,
				Changed: func(context.Context, string) {}})
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			go func() { _ = s.Run(ctx) }()
			s.Follow("books", []string{"web.internal"})
			asked := func(after time.Duration, want int) {
				t.Helper()
				time.Sleep(after)
				synctest.Wait()
				z.mu.Lock()
				defer z.mu.Unlock()
				if z.asked != want {
					t.Errorf("TTL %s: asked %d times after %s, want %d", c.ttl, z.asked, after, want)
				}
			}
			asked(c.want-1, 1)
			asked(1, 2)
			z.mu.Lock()
			z.err = errors.New("refused")
			z.mu.Unlock()
			asked(c.want, 3)
			asked(5*time.Second, 4)
		})
	}
}
