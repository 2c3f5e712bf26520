package judge

import (
	"context"
	"encoding/json"
	"strings"
	"time"

	"github.com/catalyst-router/catalyst/bgp"
	"github.com/catalyst-router/catalyst/bgp/filter"
	"github.com/catalyst-router/catalyst/bgp/speaker"
	"github.com/catalyst-router/catalyst/policy"
)

// mostNames is how many names a guard remembers its decisions on.
const mostNames = 100_000

// guard decides on the routes of one peer, in one direction. It is the speaker's, which asks from one goroutine.
type guard struct {
	snap    *policy.Snapshot
	peer    bgp.NodeID
	export  bool
	at      time.Time // when the policies came into force
	decided map[bgp.Service]string
}

// Refuses implements filter.Guard. Policies that look at no more than the peer and the service are asked once for each.
func (g *guard) Refuses(svc bgp.Service, a *bgp.Attributes) string {
	if why, known := g.decided[svc]; known {
		return why
	}
	why := g.decide(svc, a)
	if g.snap.RoutesByName() {
		if len(g.decided) >= mostNames {
			clear(g.decided)
		}
		g.decided[bgp.Service(strings.Clone(string(svc)))] = why
	}
	return why
}

func (g *guard) decide(svc bgp.Service, a *bgp.Attributes) string {
	_, org, _ := strings.Cut(string(svc), ".")
	question := policy.Announcement{
		Peer: g.peer.URI(), Service: string(svc), Organisation: org, Export: g.export, Origin: a.Origin().String(),
		PathLength: len(a.NodePath), Tags: a.Tags, Time: g.at,
	}
	for _, c := range a.Communities {
		question.Communities = append(question.Communities, c.String())
	}
	d := g.snap.Decide(question.Request())
	switch {
	case d.Allow:
		return ""
	case len(d.Errors) > 0:
		return "policy: " + d.Errors[0]
	case len(d.Policies) == 0:
		return "policy: none permits it"
	}
	return "policy " + strings.Join(d.Policies, ", ")
}

func guards(snap *policy.Snapshot, at time.Time) speaker.Guards {
	return func(peer bgp.NodeID) (imports, exports filter.Guard) {
		return &guard{snap, peer, false, at, map[bgp.Service]string{}},
			&guard{snap, peer, true, at, map[bgp.Service]string{}}
	}
}

// guarding is what a Guarded is made of.
type guarding struct {
	At     time.Time     `json:"at"`
	Source policy.Source `json:"source"`
}

// Guards is speaker.Config.Guards: by the policies in force.
func (j *Judge) Guards(ev speaker.Guarded) speaker.Guards {
	var of guarding
	if snap := j.engine.Snapshot(); snap != nil && snap.Hash() == ev.Set && json.Unmarshal(ev.Source, &of) == nil {
		return guards(snap, of.At)
	}
	return Replayed(ev) // others have come into force since, and follow
}

// Replayed makes the guards of a recorded event again. What cannot be made again refuses all.
func Replayed(ev speaker.Guarded) speaker.Guards {
	var of guarding
	snap := &policy.Snapshot{}
	if err := json.Unmarshal(ev.Source, &of); err == nil {
		if made, err := policy.Compile(of.Source); err == nil {
			snap = made
		}
	}
	return guards(snap, of.At)
}

// Doer takes a speaker's events. peering.Router is one.
type Doer interface {
	Do(ctx context.Context, ev speaker.Event) error
}

// GuardRoutes has the router's routes decided by the policies in force now.
func (j *Judge) GuardRoutes(ctx context.Context, router Doer) error {
	snap := j.engine.Snapshot()
	judged := j.cfg.Routes && (snap == nil || snap.JudgesRoutes())
	if was := j.guarding.Swap(judged); !judged {
		if !was {
			return nil
		}
		return router.Do(ctx, speaker.Guarded{})
	}
	if snap == nil { // nothing is in force, and nothing is permitted
		return router.Do(ctx, speaker.Guarded{Set: "none"})
	}
	source, err := json.Marshal(guarding{time.Now().UTC().Truncate(time.Millisecond), snap.Source()})
	if err != nil {
		return err
	}
	return router.Do(ctx, speaker.Guarded{Set: snap.Hash(), Source: source})
}

// FollowRoutes does so now, and again whenever others are in force, until ctx ends.
func (j *Judge) FollowRoutes(ctx context.Context, router Doer) error {
	for {
		changed := j.engine.Changed()
		if err := j.GuardRoutes(ctx, router); err != nil && ctx.Err() == nil {
			return err
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil
		}
	}
}
