package discover

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/catalyst-router/catalyst/bgp"
	"github.com/catalyst-router/catalyst/bgp/journal"
)

func found(name, by, in, address string) journal.Service {
	return journal.Service{
		Name: bgp.Service(name), Protocol: bgp.HTTP, Address: address, Found: &journal.Found{By: by, In: in},
	}
}

func ordered(name string) journal.Service {
	return journal.Service{Name: bgp.Service(name), Protocol: bgp.HTTP, Address: "127.0.0.1:1"}
}

func names(all []journal.Service) []string {
	out := []string{}
	for _, s := range all {
		text := string(s.Name)
		if s.Found != nil {
			text += " " + s.Found.By + " " + s.Address
		}
		out = append(out, text)
	}
	return out
}

func TestPlan(t *testing.T) {
	start := time.Unix(1_000_000, 0)
	const hold = time.Minute
	there := func(source string, all ...journal.Service) Told {
		return Told{Source: source, Heard: true, Services: all}
	}
	away := func(source string, since time.Time, all ...journal.Service) Told {
		return Told{Source: source, Heard: len(all) > 0, Away: since, Services: all}
	}
	for _, c := range []struct {
		name         string
		told         []Told
		offered      []journal.Service
		put, removed []string
		conflicts    int
	}{
		{name: "what is new is offered",
			told: []Told{there("docker", found("a", "docker", "x", "1"))}, put: []string{"a docker 1"}},
		{name: "what is so already is left alone", told: []Told{there("docker", found("a", "docker", "x", "1"))},
			offered: []journal.Service{found("a", "docker", "x", "1")}},
		{name: "what changed is offered anew", told: []Told{there("docker", found("a", "docker", "x", "2"))},
			offered: []journal.Service{found("a", "docker", "x", "1")}, put: []string{"a docker 2"}},
		{name: "what has gone is withdrawn", told: []Told{there("docker")},
			offered: []journal.Service{found("a", "docker", "x", "1"), ordered("b")}, removed: []string{"a docker 1"}},
		{name: "an operator's order stays", told: []Told{there("docker", found("a", "docker", "x", "1"))},
			offered: []journal.Service{ordered("a")}, conflicts: 1},
		{name: "a source that is away takes nothing", told: []Told{away("docker", start.Add(-hold+1))},
			offered: []journal.Service{found("a", "docker", "x", "1")}},
		{name: "nor does one that said something before",
			told:    []Told{away("docker", start.Add(-hold+1), found("a", "docker", "x", "1"))},
			offered: []journal.Service{found("a", "docker", "x", "1")}},
		{name: "until it was away for too long",
			told:    []Told{away("docker", start.Add(-hold), found("a", "docker", "x", "1"))},
			offered: []journal.Service{found("a", "docker", "x", "1")}, removed: []string{"a docker 1"}},
		{name: "a source that is not configured any more has nothing", told: []Told{there("dir=/x")},
			offered: []journal.Service{found("a", "docker", "x", "1")}, removed: []string{"a docker 1"}},
		{name: "what cannot be read stays", told: []Told{{Source: "dir=/x", Heard: true, Unclear: []string{"a.yaml"}}},
			offered: []journal.Service{found("a", "dir=/x", "a.yaml", "1"), found("b", "dir=/x", "b.yaml", "1")},
			removed: []string{"b dir=/x 1"}},
		{name: "of two sources the first has a new name",
			told: []Told{there("docker", found("a", "docker", "x", "1")), there("dir=/x", found("a", "dir=/x", "y", "2"))},
			put:  []string{"a docker 1"}, conflicts: 1},
		{name: "and who has it keeps it",
			told:    []Told{there("docker", found("a", "docker", "x", "1")), there("dir=/x", found("a", "dir=/x", "y", "2"))},
			offered: []journal.Service{found("a", "dir=/x", "y", "2")}, conflicts: 1},
		{name: "and the other gets it without a gap",
			told:    []Told{there("docker", found("a", "docker", "x", "1")), there("dir=/x")},
			offered: []journal.Service{found("a", "dir=/x", "y", "2")}, put: []string{"a docker 1"}},
		{name: "of two files, who has it keeps it",
			told:    []Told{there("dir=/x", found("a", "dir=/x", "1.yaml", "1"), found("a", "dir=/x", "2.yaml", "2"))},
			offered: []journal.Service{found("a", "dir=/x", "2.yaml", "2")}, conflicts: 1},
		{name: "a file with a new name", told: []Told{there("dir=/x", found("a", "dir=/x", "2.yaml", "2"))},
			offered: []journal.Service{found("a", "dir=/x", "1.yaml", "2")}, put: []string{"a dir=/x 2"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := Plan(start, hold, c.told, c.offered)
			if put := names(got.Put); !slices.Equal(put, append([]string{}, c.put...)) {
				t.Errorf("put %q, want %q", put, c.put)
			}
			if gone := names(got.Remove); !slices.Equal(gone, append([]string{}, c.removed...)) {
				t.Errorf("removed %q, want %q", gone, c.removed)
			}
			if len(got.Conflicts) != c.conflicts {
				t.Errorf("conflicts %+v, want %d", got.Conflicts, c.conflicts)
			}
		})
	}
}

// Whatever sources say, in whatever state the node is: an operator's order is not touched, nothing is done twice, every
// service that is offered is of somebody who says so or may still say so, and every name that somebody finds is
// offered.
func TestPlanProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		now := time.Unix(1_000_000, 0)
		const hold = time.Minute
		sources := []string{"docker", "dir=/a", "dir=/b"}
		service := rapid.Custom(func(t *rapid.T) journal.Service {
			return found(rapid.SampledFrom([]string{"a", "b", "c", "d"}).Draw(t, "name"), "",
				rapid.SampledFrom([]string{"1", "2"}).Draw(t, "in"), rapid.SampledFrom([]string{"x", "y"}).Draw(t, "address"))
		})
		by := func(s journal.Service, source string) journal.Service {
			s.Found = &journal.Found{By: source, In: s.Found.In}
			return s
		}
		var told []Told
		for _, source := range sources {
			x := Told{Source: source, Heard: rapid.Bool().Draw(t, "heard")}
			if !x.Heard || rapid.Bool().Draw(t, "away") {
				x.Away = now.Add(-time.Duration(rapid.IntRange(0, 2).Draw(t, "for")) * hold)
			}
			if x.Heard {
				for _, s := range rapid.SliceOfN(service, 0, 3).Draw(t, "services") {
					x.Services = append(x.Services, by(s, source))
				}
				x.Unclear = rapid.SliceOfN(rapid.SampledFrom([]string{"1", "2"}), 0, 1).Draw(t, "unclear")
			}
			told = append(told, x)
		}
		state := map[bgp.Service]journal.Service{}
		for _, s := range rapid.SliceOfN(service, 0, 4).Draw(t, "offered") {
			s = by(s, rapid.SampledFrom(append(sources, "gone")).Draw(t, "by"))
			if rapid.IntRange(0, 3).Draw(t, "ordered") == 0 {
				s.Found = nil
			}
			state[s.Name] = s
		}
		before := map[bgp.Service]journal.Service{}
		for name, s := range state {
			before[name] = s
		}
		c := Plan(now, hold, told, list(state))
		for _, s := range c.Remove {
			delete(state, s.Name)
		}
		for _, s := range c.Put {
			state[s.Name] = s
		}
		for name, s := range before {
			if s.Found == nil && !same(&s, new(state[name])) {
				t.Fatalf("an operator's %s was changed", name)
			}
		}
		for name, s := range state {
			if s.Found != nil && !mayBe(&s, before, told, now, hold) {
				t.Fatalf("%s is offered, and nobody finds it: %+v", name, s.Found)
			}
		}
		for _, x := range told {
			held := now.Before(x.Away.Add(hold))
			for _, s := range x.Services {
				if _, ok := state[s.Name]; !ok && (x.there() || held) {
					t.Fatalf("%s is found by %s and not offered", s.Name, x.Source)
				}
			}
		}
		if again := Plan(now, hold, told, list(state)); len(again.Put)+len(again.Remove) > 0 {
			t.Fatalf("a second time it does %v and %v", names(again.Put), names(again.Remove))
		}
	})
}

// mayBe tells whether somebody says that a service is there, or cannot say at the moment that it is not.
func mayBe(
	s *journal.Service,
	before map[bgp.Service]journal.Service,
	told []Told,
	now time.Time,
	hold time.Duration,
) bool {
	for _, x := range told {
		if x.Source != s.Found.By {
			continue
		}
		held := !x.there() && now.Before(x.Away.Add(hold))
		if (x.there() || held) && slices.ContainsFunc(x.Services, func(o journal.Service) bool { return same(&o, s) }) {
			return true
		}
		was, ok := before[s.Name]
		return ok && same(&was, s) && (held || slices.Contains(x.Unclear, s.Found.In))
	}
	return false
}

func list(state map[bgp.Service]journal.Service) []journal.Service {
	var all []journal.Service
	for _, name := range []bgp.Service{"a", "b", "c", "d"} {
		if s, ok := state[name]; ok {
			all = append(all, s)
		}
	}
	return all
}
