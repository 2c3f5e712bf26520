// Package names follows the addresses of the hosts that workloads are given by: each DNS name is looked up again and
// again, in both families, and whoever uses it is told when its addresses change. So the node's checks, its traces
// and its Envoy all have the same addresses. A name is looked up again when the time to live of its records is over
// (RFC 1035 §3.2.1).
//
//	s := names.New(names.Config{Changed: func(ctx context.Context, owner string) { … }})
//	go s.Run(ctx)
//	s.Follow("books.acme.example", []string{"web.internal"})
//	state := s.State("web.internal") // Addresses, or why there are none
//
// A name that cannot be looked up any more, or has no records any more, keeps the addresses that it had for a stated
// time: a resolver that is away must not take away what works.
package names

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"maps"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/catalyst-router/catalyst/cmd/internal/offer/rounds"
)

// Defaults and bounds.
const (
	DefaultInterval = 5 * time.Second
	DefaultKeep     = 10 * time.Minute
	timeout         = 5 * time.Second // of one lookup
	minTTL          = time.Second     // sooner no name is looked up again, whatever its records say
	maxTTL          = 5 * time.Minute // after that every name is
	maxAddresses    = 64              // of a name; further ones are not used
	maxAtOnce       = 16              // lookups under way at a moment
)

// Config is what a set needs.
type Config struct {
	Log *slog.Logger // required
	// Changed is told of each owner of a name whose addresses, or whose trouble, changed. It is called from the name's
	// own goroutine and may block.
	Changed func(ctx context.Context, owner string) // required
	// Lookup finds the addresses of a host; nil for the system's resolver, see Server.
	Lookup Lookup
	// Interval is from one lookup to the next of a name that failed, or whose time to live is not known; zero means
	// DefaultInterval. Keep is how long addresses outlive their records; negative for not at all, zero means
	// DefaultKeep.
	Interval, Keep time.Duration
}

// Found are the addresses of a host.
type Found struct {
	Addresses []netip.Addr
	// TTL is how long the records may be used; negative if that is not known, as of a host in /etc/hosts.
	TTL time.Duration
}

// Lookup finds the addresses of a host.
type Lookup func(ctx context.Context, host string) (Found, error)

// State is what is known of a name.
type State struct {
	// Addresses are those in use, IPv4 before IPv6, each family in order; nil if there are none.
	Addresses []netip.Addr
	// Error is what the last lookup complained of; "" if it gave addresses.
	Error string
	// Lost is since when lookups give none; zero while they do, and before the first. Until is when the last addresses
	// are given up; zero if nothing is kept.
	Lost, Until time.Time
}

// Set follows names. It is safe for concurrent use.
type Set struct {
	cfg    Config
	rounds *rounds.Set

	mu     sync.Mutex
	hosts  map[string]*watch
	owners map[string][]string // hosts by owner; guarded by mu
}

// watch is one name.
type watch struct {
	host   string
	task   *rounds.Task
	owners map[string]bool // guarded by the set's mu
	state  State           // guarded by the set's mu
}

// New returns a set that follows nothing yet.
func New(cfg Config) *Set {
	if cfg.Lookup == nil {
		cfg.Lookup = Server("")
	}
	if cfg.Keep == 0 {
		cfg.Keep = DefaultKeep
	}
	cfg.Interval = cmp.Or(cfg.Interval, DefaultInterval)
	return &Set{cfg: cfg, rounds: rounds.New(maxAtOnce), hosts: map[string]*watch{}, owners: map[string][]string{}}
}

// Run looks names up until ctx ends, and waits for the lookups that are under way.
func (s *Set) Run(ctx context.Context) error { return s.rounds.Run(ctx) }

// Follow has an owner use these hosts from now on, in the place of those that it used before; none to use nothing any
// more.
func (s *Set) Follow(owner string, hosts []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, h := range s.owners[owner] {
		if w := s.hosts[h]; w != nil && !slices.Contains(hosts, h) {
			if delete(w.owners, owner); len(w.owners) == 0 {
				delete(s.hosts, h)
				w.task.End()
			}
		}
	}
	if len(hosts) == 0 {
		delete(s.owners, owner)
		return
	}
	s.owners[owner] = slices.Clone(hosts)
	for _, h := range hosts {
		w := s.hosts[h]
		if w == nil {
			w = &watch{host: h, owners: map[string]bool{}}
			w.task = s.rounds.Add(func(ctx context.Context) rounds.Result { return s.look(ctx, w) })
			s.hosts[h] = w
		}
		w.owners[owner] = true
	}
}

// State returns what is known of a host; nothing for one that nobody follows.
func (s *Set) State(host string) State {
	s.mu.Lock()
	defer s.mu.Unlock()
	if w := s.hosts[host]; w != nil {
		return w.state
	}
	return State{}
}

// First waits until each of an owner's hosts was looked up once, or ctx ends.
func (s *Set) First(ctx context.Context, owner string) {
	s.mu.Lock()
	var wait []*rounds.Task
	for _, h := range s.owners[owner] {
		wait = append(wait, s.hosts[h].task)
	}
	s.mu.Unlock()
	for _, task := range wait {
		task.First(ctx)
	}
}

// look looks one name up.
func (s *Set) look(ctx context.Context, w *watch) rounds.Result {
	var found Found
	err := s.rounds.Turn(ctx, timeout, func(ctx context.Context) (err error) {
		found, err = s.cfg.Lookup(ctx, w.host)
		return err
	})
	if ctx.Err() != nil {
		return rounds.Result{}
	}
	s.mu.Lock()
	before := w.state
	w.state = next(before, found.Addresses, err, time.Now(), s.cfg.Keep)
	after, owners := w.state, slices.Sorted(maps.Keys(w.owners))
	s.mu.Unlock()
	result := rounds.Result{Next: time.Now().Add(s.after(found, err))}
	if s.report(w.host, before, after) {
		result.Tell = func(ctx context.Context) {
			for _, o := range owners {
				s.cfg.Changed(ctx, o)
			}
		}
	}
	return result
}

// after is how long what a lookup found is used.
func (s *Set) after(found Found, err error) time.Duration {
	if err != nil || len(found.Addresses) == 0 || found.TTL < 0 {
		return s.cfg.Interval
	}
	return min(max(found.TTL, minTTL), maxTTL)
}

// next is a name's state after a lookup. It reads no clock.
func next(was State, found []netip.Addr, err error, now time.Time, keep time.Duration) State {
	if len(found) > 0 && err == nil {
		return State{Addresses: inOrder(found)}
	}
	out := State{Error: "it has no address", Lost: was.Lost}
	if err != nil {
		out.Error = words(err)
	}
	if out.Lost.IsZero() {
		out.Lost = now
	}
	if len(was.Addresses) > 0 && now.Sub(out.Lost) < keep {
		out.Addresses, out.Until = was.Addresses, out.Lost.Add(keep)
	}
	return out
}

// inOrder sorts addresses, IPv4 first, so that the same records in another order are the same.
func inOrder(found []netip.Addr) []netip.Addr {
	out := make([]netip.Addr, 0, len(found))
	for _, a := range found {
		out = append(out, a.Unmap())
	}
	slices.SortFunc(out, netip.Addr.Compare) // of addresses of both families, the shorter is less
	out = slices.Compact(out)
	return out[:min(len(out), maxAddresses)]
}

// words says why a lookup failed, without what differs from try to try.
func words(err error) string {
	var dns *net.DNSError
	switch {
	case errors.As(err, &dns) && dns.IsNotFound:
		return "no such host"
	case errors.As(err, &dns) && dns.IsTimeout, errors.Is(err, context.DeadlineExceeded):
		return "no DNS server answers"
	case errors.As(err, &dns):
		return dns.Err
	}
	return err.Error()
}

// report logs what an operator wants to know, and tells whether anybody has to act on it.
func (s *Set) report(host string, before, after State) bool {
	same := slices.Equal(before.Addresses, after.Addresses)
	switch {
	case before.Error == "" && after.Error != "" && len(after.Addresses) > 0:
		s.cfg.Log.Warn("a host has lost its addresses, the last ones are used meanwhile", "host", host, "error",
			after.Error, "until", after.Until)
	case before.Error == "" && after.Error != "", after.Error != "" && !same:
		s.cfg.Log.Warn("a host has no address", "host", host, "error", after.Error)
	case !same:
		s.cfg.Log.Info("a host has new addresses", "host", host, "addresses", after.Addresses)
	}
	return !same || (before.Error == "") != (after.Error == "")
}
