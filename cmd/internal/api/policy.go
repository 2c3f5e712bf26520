package api

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/vektah/gqlparser/v2/gqlerror"

	"github.com/catalyst-router/catalyst/cmd/internal/judge"
	"github.com/catalyst-router/catalyst/cmd/internal/seen"
	"github.com/catalyst-router/catalyst/graphql/operator"
	"github.com/catalyst-router/catalyst/policy"
	"github.com/catalyst-router/catalyst/policy/store"
)

// most is how many of a list are given at a time.
const most = 1000

func clamp(first int) (int, error) {
	if first < 1 || first > most {
		return 0, fmt.Errorf("first: %d: want 1 to %d", first, most)
	}
	return first, nil
}

func sourceOf(in operator.PolicyInput) policy.Source {
	documents := func(all []operator.PolicyDocumentInput) (out []policy.Document) {
		for _, d := range all {
			out = append(out, policy.Document{Name: d.Name, Text: d.Text})
		}
		return out
	}
	return policy.Source{Policies: documents(in.Policies), Entities: documents(in.Entities)}
}

func documentsOf(all []policy.Document) []operator.PolicyDocument {
	out := []operator.PolicyDocument{}
	for _, d := range all {
		out = append(out, operator.PolicyDocument{Name: d.Name, Text: d.Text})
	}
	return out
}

func versionOf(v store.Version) operator.PolicyVersion {
	return operator.PolicyVersion{Number: v.Number, At: stamp(v.At), By: v.By, Note: v.Note, Hash: v.Hash,
		Policies: documentsOf(v.Source.Policies), Entities: documentsOf(v.Source.Entities)}
}

// refused gives every problem of a source as an error of its own.
func refused(err error) error {
	var problems policy.Problems
	if !errors.As(err, &problems) {
		return err
	}
	var list gqlerror.List
	for line := range strings.SplitSeq(problems.Error(), "\n") {
		list = append(list, gqlerror.Errorf("%s", line))
	}
	return list
}

func (a *API) judge() *judge.Judge { return a.cfg.Judge }

// Policy implements operator.Backend.
func (a *API) Policy(context.Context) (*operator.PolicySet, error) {
	out := &operator.PolicySet{Version: -1, Enforce: a.cfg.Config.Policy.Enforce, Policies: []string{}}
	if snap, version := a.judge().Current(); snap != nil {
		out.Version, out.Hash, out.Policies, out.Entities = version, snap.Hash(), snap.Policies(), snap.Entities()
	}
	return out, nil
}

// PolicyVersions implements operator.Backend.
func (a *API) PolicyVersions(ctx context.Context, first int) ([]operator.PolicyVersion, error) {
	n, err := clamp(first)
	if err != nil {
		return nil, err
	}
	all, err := a.judge().Versions(ctx, n)
	out := []operator.PolicyVersion{}
	for _, v := range all {
		out = append(out, versionOf(v))
	}
	return out, err
}

// PolicyVersion implements operator.Backend.
func (a *API) PolicyVersion(ctx context.Context, number int) (*operator.PolicyVersion, error) {
	if number == 0 {
		if _, number = a.judge().Current(); number == 0 {
			out := versionOf(store.Version{
				At:     a.cfg.Started,
				By:     "catalyst",
				Note:   "the defaults",
				Source: policy.Source{Policies: []policy.Document{policy.Open()}},
			})
			return &out, nil
		}
	}
	v, err := a.judge().Version(ctx, number)
	out := versionOf(v)
	return &out, err
}

// CheckPolicy implements operator.Backend.
func (a *API) CheckPolicy(_ context.Context, in operator.PolicyInput) ([]operator.PolicyProblem, error) {
	out := []operator.PolicyProblem{}
	_, err := policy.Compile(sourceOf(in))
	var problems policy.Problems
	if err != nil && !errors.As(err, &problems) {
		return nil, err
	}
	for _, p := range problems[:min(len(problems), most)] {
		out = append(out, operator.PolicyProblem{
			Document: p.Document,
			Line:     p.Line,
			Column:   p.Column,
			Policy:   p.Policy,
			Text:     p.Text,
		})
	}
	return out, nil
}

// Decisions implements operator.Backend.
func (a *API) Decisions(ctx context.Context, first int, denied bool) ([]operator.PolicyDecision, error) {
	n, err := clamp(first)
	if err != nil {
		return nil, err
	}
	all, err := a.judge().Decisions(ctx, n, denied)
	out := []operator.PolicyDecision{}
	for _, r := range all {
		out = append(out, decisionOf(r))
	}
	return out, err
}

func decisionOf(r policy.Record) operator.PolicyDecision {
	return operator.PolicyDecision{
		ID:        r.ID,
		At:        stamp(r.At),
		Allow:     r.Decision.Allow,
		Shadow:    r.Shadow,
		Principal: r.Principal(),
		Peer:      r.Call.Peer,
		Service:   r.Resource(),
		Action:    r.Action(),
		Method:    r.Call.Method,
		Path:      r.Call.Path,
		Policies:  append([]string{}, r.Decision.Policies...),
		Errors:    append([]string{}, r.Decision.Errors...),
		Set:       r.Decision.Snapshot,
	}
}

// Why implements operator.Backend.
func (a *API) Why(ctx context.Context, decision string) (*operator.PolicyWhy, error) {
	r, why, err := a.judge().Why(ctx, decision)
	if err != nil {
		return nil, err
	}
	out := &operator.PolicyWhy{Decision: decisionOf(r), Texts: []operator.PolicyDocument{}}
	for _, id := range slices.Sorted(maps.Keys(why.Texts)) {
		out.Texts = append(out.Texts, operator.PolicyDocument{Name: id, Text: why.Texts[id]})
	}
	if n := why.Nearest; n != nil {
		out.Nearest = &operator.PolicyMiss{Policy: n.Policy, Text: n.Text, Failed: n.Failed, Fact: n.Fact, Others: n.Others}
	}
	return out, nil
}

// SimulatePolicy implements operator.Backend.
func (a *API) SimulatePolicy(ctx context.Context, in operator.PolicyInput,
	seconds int) (*operator.PolicySimulation, error) {
	if seconds < 1 {
		return nil, fmt.Errorf("seconds: %d: want at least 1", seconds)
	}
	sim, err := a.judge().Simulate(ctx, sourceOf(in), time.Now().Add(-time.Duration(seconds)*time.Second))
	if err != nil {
		return nil, refused(err)
	}
	out := &operator.PolicySimulation{
		Replayed:      sim.Replayed,
		NotReplayable: sim.NotReplayable,
		Changes:       []operator.PolicyChange{},
	}
	for _, c := range sim.Changes[:min(len(sim.Changes), most)] {
		out.Changes = append(out.Changes, operator.PolicyChange{
			Principal: c.Principal,
			Service:   c.Service,
			Loses:     c.Loses,
			Calls:     c.Calls,
			Example:   c.Example,
		})
	}
	return out, nil
}

// ApplyPolicy implements operator.Backend.
func (a *API) ApplyPolicy(ctx context.Context, in operator.PolicyInput, note string,
	anyway bool) (*operator.PolicyVersion, error) {
	v, err := a.judge().Apply(ctx, sourceOf(in), seen.Who(ctx), note, anyway)
	if err != nil {
		return nil, refused(err)
	}
	out := versionOf(v)
	return &out, nil
}

// RollbackPolicy implements operator.Backend.
func (a *API) RollbackPolicy(ctx context.Context, number int, note string) (*operator.PolicyVersion, error) {
	v, err := a.judge().Rollback(ctx, number, seen.Who(ctx), note)
	if err != nil {
		return nil, refused(err)
	}
	out := versionOf(v)
	return &out, nil
}

// PolicyNodes implements operator.Backend.
func (a *API) PolicyNodes(context.Context) ([]operator.PolicyNode, error) {
	_, holders := a.judge().Shared()
	out := []operator.PolicyNode{}
	for i, h := range holders {
		n := operator.PolicyNode{Node: h.Node.String(), Serial: int(h.Serial), Hash: h.Set, //nolint:gosec // fewer than 2^63
			Current: h.Set == holders[0].Set, Heard: max(0, int(time.Since(h.At).Seconds())), Error: h.Error}
		if i == 0 {
			n.Heard, n.Age = 0, int(a.judge().Age().Seconds())
		}
		out = append(out, n)
	}
	return out, nil
}
