package discover

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
)

// notYet is why a source is away that has said nothing since the node started.
const notYet = "nothing was heard of it yet"

// Status is what is known of a source.
type Status struct {
	Source string
	// Away is why nothing is found at the moment; "" while the source is there. Since is when it came or went; Until is
	// when what it found is withdrawn, zero while it is there.
	Away         string
	Since, Until time.Time
	Services     int // that are offered because it found them
	Problems     []Problem
	Conflicts    []Conflict
}

// Status returns what is known of each source, in the order of the configuration.
func (r *Room) Status() []Status {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := make([]Status, len(r.heard))
	for i := range r.heard {
		h := &r.heard[i]
		st := Status{
			Source: r.cfg.Sources[i].Name(), Since: h.since, Services: r.counts[i], Problems: slices.Clone(h.problems),
		}
		switch {
		case h.err != nil:
			st.Away = h.err.Error()
		case !h.any:
			st.Away = notYet
		}
		if st.Away != "" {
			st.Until = h.since.Add(r.cfg.Hold)
		}
		for _, c := range r.conflicts {
			if c.Source == st.Source {
				st.Conflicts = append(st.Conflicts, c)
			}
		}
		all[i] = st
	}
	return all
}

// Warnings are what an operator has to look after, one a source and kind.
func (r *Room) Warnings() []string {
	var all []string
	for _, st := range r.Status() {
		if st.Away != "" && st.Away != notYet {
			all = append(all, fmt.Sprintf("discover %s: away since %s: %s; what it found is offered until %s", st.Source,
				st.Since.UTC().Format(time.RFC3339), st.Away, st.Until.UTC().Format(time.RFC3339)))
		}
		if n := len(st.Problems); n > 0 {
			all = append(all, fmt.Sprintf("discover %s: %s: %s%s", st.Source, st.Problems[0].In, st.Problems[0].Why, more(n)))
		}
		if n := len(st.Conflicts); n > 0 {
			all = append(all, fmt.Sprintf("discover %s: %s%s", st.Source, st.Conflicts[0].Why(), more(n)))
		}
	}
	return all
}

func more(n int) string {
	if n == 1 {
		return ""
	}
	return fmt.Sprintf(" (and %d more: catalyst discover status)", n-1)
}

// Why says what the conflict is, and what ends it.
func (c *Conflict) Why() string {
	if c.With == "" {
		return fmt.Sprintf("%s, found in %s, is offered as an operator ordered it: catalyst route remove %s lets what is "+
			"found take its place", c.Service, c.In, c.Service)
	}
	return fmt.Sprintf("%s, found in %s, is offered already as %s has it: give one of them another name", c.Service, c.In,
		c.With)
}

// report is what was logged last, so that each thing is logged once.
type report struct {
	problems  map[Problem]bool
	conflicts map[Conflict]bool
}

func (p *report) log(log *slog.Logger, told []Told, problems [][]Problem, conflicts []Conflict) {
	now, nowConflicts := map[Problem]bool{}, map[Conflict]bool{}
	for i := range told {
		for _, x := range problems[i] {
			if now[x] = true; !p.problems[x] {
				log.Warn("what is found cannot be offered", "source", told[i].Source, "in", x.In, "error", x.Why)
			}
		}
	}
	for _, c := range conflicts {
		if nowConflicts[c] = true; !p.conflicts[c] {
			log.Warn("what is found is not offered: the name is taken", "service", string(c.Service), "source", c.Source, "in",
				c.In, "why", c.Why())
		}
	}
	p.problems, p.conflicts = now, nowConflicts
}

// measure makes the instruments.
func (r *Room) measure(m metric.Meter) error {
	var err error
	r.changes, err = m.Int64Counter("catalyst.discover.changes",
		metric.WithDescription("services that were offered or withdrawn because of what a {source} found, by {change}: "+
			"put, removed"))
	if err != nil {
		return err
	}
	var failed error
	gauge := func(name, doc string) metric.Int64ObservableGauge {
		g, err := m.Int64ObservableGauge(name, metric.WithDescription(doc))
		failed = errors.Join(failed, err)
		return g
	}
	up := gauge("catalyst.discover.source.up", "1 for a {source} of discovery that is there, 0 for one that is away")
	services := gauge("catalyst.discover.services", "services that are offered because a {source} found them")
	problems := gauge("catalyst.discover.problems", "what a {source} has found and that cannot be offered")
	conflicts := gauge("catalyst.discover.conflicts",
		"services of a {source} whose name an operator, or another source, has")
	if failed != nil {
		return failed
	}
	_, err = m.RegisterCallback(func(_ context.Context, o metric.Observer) error {
		for _, st := range r.Status() {
			by := metric.WithAttributes(attribute.String("source", st.Source))
			there := int64(1)
			if st.Away != "" {
				there = 0
			}
			o.ObserveInt64(up, there, by)
			o.ObserveInt64(services, int64(st.Services), by)
			o.ObserveInt64(problems, int64(len(st.Problems)), by)
			o.ObserveInt64(conflicts, int64(len(st.Conflicts)), by)
		}
		return nil
	}, up, services, problems, conflicts)
	return err
}

func (r *Room) changed(ctx context.Context, source, change string) {
	r.changes.Add(ctx, 1, metric.WithAttributes(attribute.String("source", source), attribute.String("change", change)))
}
