package discover

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"go.opentelemetry.io/otel/metric"
	"golang.org/x/sync/errgroup"

	"github.com/catalyst-router/catalyst/bgp"
	"github.com/catalyst-router/catalyst/bgp/journal"
	"github.com/catalyst-router/catalyst/graphql/operator"
)

// Again is how long after a failure, and after everything went well, all is compared once more: what was refused, such
// as the name of a CA that was not known, may be all right by then. Sooner than soonest nothing is due.
const (
	againAfterFailure = 2 * time.Second
	again             = 30 * time.Second
	soonest           = 10 * time.Millisecond
)

// Item is one service that a source finds.
type Item struct {
	In    string // where: the names of containers, or that of a file
	Order operator.ServiceInput
	// At says where a field stands ("3:5"), for errors; nil for nowhere.
	At map[string]string
}

// Set is all that a source finds.
type Set struct {
	Items []Item
	// Problems are what cannot be offered, and why.
	Problems []Problem
	// Unclear are the places (Item.In) that cannot be read at the moment: what was found there before stays.
	Unclear []string
}

// Problem is something that a source has found and that cannot be offered.
type Problem struct {
	In  string // where: a file or a container
	Why string
}

// Source finds services.
type Source interface {
	// Name is what stands in the configuration, such as dir=/etc/catalyst/services.d. It is kept with what is found.
	Name() string
	// Follow tells the whole set each time that it changes, and an error while it cannot be known, until ctx ends. tell
	// does not block for long. An error that Follow itself returns ends the node.
	Follow(ctx context.Context, tell func(Set, error)) error
}

// Offers are the node's services. api.API is one.
type Offers interface {
	// Order checks what is wanted of a service as an operator's order is checked.
	Order(in operator.ServiceInput) (journal.Service, error)
	// Reconcile calls plan with every service of the node, and carries out what it returns. No operator's order comes in
	// between. What fails is in the error, and the rest is done.
	Reconcile(ctx context.Context, plan func(offered []journal.Service) (put, remove []journal.Service)) error
}

// Config is what a Room needs; all of it is required.
type Config struct {
	Sources []Source
	Hold    time.Duration // for which a source may be away before its services are withdrawn
	Log     *slog.Logger
	Meter   metric.Meter
}

// Room offers what its sources find.
type Room struct {
	cfg     Config
	wake    chan struct{}
	changes metric.Int64Counter

	mu        sync.Mutex
	heard     []heard    // by source, as in cfg; guarded by mu
	conflicts []Conflict // guarded by mu
	counts    []int      // services that are offered, by source; guarded by mu
}

// heard is what a source said last.
type heard struct {
	set   Set
	any   bool
	since time.Time // when it came or went
	err   error     // why it is away; nil while it is there, and before its first word

	problems []Problem // those of the set, and what was refused of it
}

// New returns a room that offers nothing yet.
func New(cfg Config) (*Room, error) {
	r := &Room{
		cfg:    cfg,
		wake:   make(chan struct{}, 1),
		heard:  make([]heard, len(cfg.Sources)),
		counts: make([]int, len(cfg.Sources)),
	}
	for i := range r.heard {
		r.heard[i].since = time.Now()
	}
	return r, r.measure(cfg.Meter)
}

// Run offers what the sources find until ctx ends. What was found before a restart has to be offered again already.
func (r *Room) Run(ctx context.Context, offers Offers) error {
	tasks, ctx := errgroup.WithContext(ctx)
	for i, s := range r.cfg.Sources {
		tasks.Go(func() error {
			if err := s.Follow(ctx, func(set Set, err error) { r.tell(i, set, err) }); err != nil && ctx.Err() == nil {
				return fmt.Errorf("discover %s: %w", s.Name(), err)
			}
			return nil
		})
	}
	tasks.Go(func() error { return r.follow(ctx, offers) })
	return tasks.Wait()
}

// Wake has everything compared again: an operator's order has changed. It does not block.
func (r *Room) Wake() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// tell takes what a source says.
func (r *Room) tell(i int, set Set, err error) {
	name := r.cfg.Sources[i].Name()
	r.mu.Lock()
	h := &r.heard[i]
	was := *h
	switch {
	case err != nil:
		if h.err == nil {
			h.since = time.Now()
			if !was.any {
				h.since = was.since // away since the start
			}
		}
		h.err = err
	default:
		if was.err != nil || !was.any {
			h.since = time.Now()
		}
		h.set, h.any, h.err = set, true, nil
	}
	now := *h
	r.mu.Unlock()
	switch {
	case err != nil && (was.err == nil || was.err.Error() != err.Error()):
		r.cfg.Log.Warn("services are not found at the moment; what is offered stays for a while", "source", name, "error",
			err, "until", now.since.Add(r.cfg.Hold))
	case err == nil && (was.err != nil || !was.any):
		r.cfg.Log.Info("services are found", "source", name, "services", len(set.Items))
	}
	r.Wake()
}

// follow compares and offers, whenever something changed.
func (r *Room) follow(ctx context.Context, offers Offers) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	var said report
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-timer.C:
		case <-r.wake:
		}
		next, err := r.compare(ctx, offers, &said)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			r.cfg.Log.Error("offer what is found: it is tried again", "error", err)
			next = min(next, againAfterFailure)
		}
		timer.Reset(next)
	}
}

// compare has the node offer what the sources find, and returns when to look again at the latest.
func (r *Room) compare(ctx context.Context, offers Offers, said *report) (time.Duration, error) {
	told, problems := r.told(offers)
	var change Change
	counts := make([]int, len(told))
	now := time.Now()
	err := offers.Reconcile(ctx, func(offered []journal.Service) (put, remove []journal.Service) {
		change = Plan(now, r.cfg.Hold, told, offered)
		for i := range told {
			counts[i] = change.count(told[i].Source, offered)
		}
		return change.Put, change.Remove
	})
	if err == nil {
		r.logChange(ctx, &change)
	}
	r.mu.Lock()
	r.conflicts, r.counts = change.Conflicts, counts
	for i := range r.heard {
		r.heard[i].problems = problems[i]
	}
	r.mu.Unlock()
	said.log(r.cfg.Log, told, problems, change.Conflicts)
	next := again
	if !change.Until.IsZero() {
		next = min(next, max(soonest, change.Until.Sub(now)))
	}
	return next, err
}

// count is how many services of a source are offered after a change.
func (c *Change) count(source string, offered []journal.Service) int {
	names := map[bgp.Service]bool{}
	for _, s := range offered {
		if s.Found != nil && s.Found.By == source {
			names[s.Name] = true
		}
	}
	for _, s := range c.Remove {
		delete(names, s.Name)
	}
	for _, s := range c.Put {
		if delete(names, s.Name); s.Found.By == source {
			names[s.Name] = true
		}
	}
	return len(names)
}

// told is what the sources said, as services, and what each of them cannot offer.
func (r *Room) told(offers Offers) ([]Told, [][]Problem) {
	r.mu.Lock()
	all := slices.Clone(r.heard)
	r.mu.Unlock()
	out, problems := make([]Told, len(all)), make([][]Problem, len(all))
	for i := range all {
		h := &all[i]
		t := Told{Source: r.cfg.Sources[i].Name(), Heard: h.any, Unclear: slices.Clone(h.set.Unclear)}
		if h.err != nil || !h.any {
			t.Away = h.since
		}
		problems[i] = slices.Clone(h.set.Problems)
		for j := range h.set.Items {
			item := &h.set.Items[j]
			s, err := offers.Order(item.Order)
			if err != nil {
				problems[i] = append(problems[i], Problem{In: item.In, Why: located(err, item.At)})
				t.Unclear = append(t.Unclear, item.In)
				continue
			}
			s.Found = &journal.Found{By: t.Source, In: item.In}
			t.Services = append(t.Services, s)
		}
		out[i] = t
	}
	return out, problems
}

// located puts before each complaint where the field that it names stands.
func located(err error, at map[string]string) string {
	lines := strings.Split(err.Error(), "\n")
	for i, line := range lines {
		if field, _, ok := strings.Cut(line, ":"); ok && at[field] != "" {
			lines[i] = at[field] + ": " + line
		}
	}
	return strings.Join(lines, "; ")
}

func (r *Room) logChange(ctx context.Context, c *Change) {
	for i := range c.Put {
		s := &c.Put[i]
		r.changed(ctx, s.Found.By, "put")
		r.cfg.Log.Info("service is offered as it was found", "service", string(s.Name), "source", s.Found.By, "in",
			s.Found.In, "workloads", 1+len(s.Others))
	}
	for i := range c.Remove {
		s := &c.Remove[i]
		r.changed(ctx, s.Found.By, "removed")
		r.cfg.Log.Info("service is found no longer, and not offered any more", "service", string(s.Name), "source",
			s.Found.By)
	}
}
