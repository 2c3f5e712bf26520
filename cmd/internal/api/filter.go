package api

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/catalyst-router/catalyst/bgp"
	"github.com/catalyst-router/catalyst/bgp/attest"
	"github.com/catalyst-router/catalyst/bgp/filter"
	"github.com/catalyst-router/catalyst/bgp/rib"
	"github.com/catalyst-router/catalyst/bgp/speaker"
	"github.com/catalyst-router/catalyst/graphql/operator"
)

const (
	triedAtOnce = 1000 // services whose routes are tried between two steps of the speaker
	maxChanges  = 1000 // that a difference names; all are counted
)

// trial is a peer and rules to be tried in the place of its own.
type trial struct {
	node             bgp.NodeID
	imports, exports *filter.Chain
	keepIn, keepOut  bool // no other rules are given
}

func (a *API) trial(in operator.FilterInput) (trial, error) {
	var errs [3]error
	t := trial{keepIn: in.Import == nil, keepOut: in.Export == nil}
	t.node, errs[0] = a.node(in.Node)
	t.imports, errs[1] = a.chainOf("import", in.Import)
	t.exports, errs[2] = a.chainOf("export", in.Export)
	return t, operator.Input(errors.Join(errs[:]...))
}

// on finds the peer at the speaker, and fills in the rules that stay. It tells whether there is such a peer.
func (t *trial) on(s *speaker.Speaker) (rib.PeerID, bool) {
	id, ok := s.PeerID(t.node)
	if !ok {
		return 0, false
	}
	v, _ := s.Peer(t.node)
	if t.keepIn {
		t.imports = v.Config.Import
	}
	if t.keepOut {
		t.exports = v.Config.Export
	}
	return id, true
}

// FilterDiff implements operator.FilterBackend.
func (a *API) FilterDiff(ctx context.Context, in operator.FilterInput) (*operator.FilterDiff, error) {
	t, err := a.trial(in)
	if err != nil {
		return nil, err
	}
	out := &operator.FilterDiff{Node: t.node.String(), Counts: []operator.Count{}, Changes: []operator.FilterChange{}}
	counts := map[string]int{}
	known := false
	for from := uint32(0); ; {
		err := a.cfg.Router.Query(ctx, func(s *speaker.Speaker) {
			id, ok := t.on(s)
			if known = ok; !ok {
				from = 0
				return
			}
			from = s.Table().Try(id, t.imports, t.exports, from, triedAtOnce, func(x rib.Trial) {
				c := FilterChange(&x)
				if counts[c.Becomes]++; len(out.Changes) < maxChanges {
					out.Changes = append(out.Changes, c)
				}
			})
		})
		if err != nil {
			return nil, err
		}
		if from == 0 {
			break
		}
	}
	if !known {
		return nil, operator.Input(fmt.Errorf("%s is not a peer: see catalyst peer list", t.node))
	}
	for _, name := range []string{"accepted", "rejected", "told", "withheld", "changed"} {
		if n := counts[name]; n > 0 {
			out.Counts = append(out.Counts, operator.Count{Name: name, Count: n})
		}
	}
	slices.SortFunc(out.Changes, func(x, y operator.FilterChange) int {
		return strings.Compare(x.Service+x.Direction, y.Service+y.Direction)
	})
	return out, nil
}

// FilterChange says in words what other rules would make of a route.
func FilterChange(x *rib.Trial) operator.FilterChange {
	c := operator.FilterChange{
		Direction: "import", Service: string(x.Service), Was: fateWords(x.Was), Would: fateWords(x.Is),
	}
	in, out := "accepted", "rejected"
	if x.Export {
		c.Direction, in, out = "export", "told", "withheld"
	}
	switch {
	case x.Was.Why != "" && x.Is.Why == "":
		c.Becomes = in
	case x.Is.Why != "":
		c.Becomes = out
	default:
		c.Becomes = "changed"
		c.Would += ": " + strings.Join(differences(&x.Was.Attrs, &x.Is.Attrs), ", ")
	}
	return c
}

func fateWords(f rib.Fate) string {
	switch {
	case f.Why != "" && f.Term != "":
		return f.Why + ": term " + f.Term
	case f.Why != "":
		return f.Why
	case f.Term != "":
		return "by term " + f.Term
	}
	return "by default"
}

// FilterExplain implements operator.FilterBackend.
func (a *API) FilterExplain(ctx context.Context, in operator.FilterInput, service string) (
	[]operator.FilterTrace, error,
) {
	t, err := a.trial(in)
	if err != nil {
		return nil, err
	}
	svc, err := a.service(service)
	if err != nil {
		return nil, err
	}
	known := false
	var traced []rib.Traced
	err = a.cfg.Router.Query(ctx, func(s *speaker.Speaker) {
		var id rib.PeerID
		if id, known = t.on(s); known {
			traced = s.Table().Trace(id, svc, t.imports, t.exports)
		}
	})
	if err == nil && !known {
		err = operator.Input(fmt.Errorf("%s is not a peer: see catalyst peer list", t.node))
	}
	if err != nil {
		return nil, err
	}
	out := make([]operator.FilterTrace, 0, len(traced))
	for i := range traced {
		out = append(out, tracedOf(&traced[i]))
	}
	return out, nil
}

func tracedOf(x *rib.Traced) operator.FilterTrace {
	out := operator.FilterTrace{
		Direction: "import", Before: x.Before, Accepted: x.Verdict.Accepted && x.Before == "", Term: x.Verdict.Term,
		Steps: []operator.FilterStep{},
	}
	if x.Export {
		out.Direction = "export"
	}
	for _, s := range x.Steps {
		out.Steps = append(out.Steps, operator.FilterStep{
			Term: s.Term, Unmet: s.Unmet, Action: s.Action.String(), Set: s.Set,
		})
	}
	return out
}

// Attestations implements operator.FilterBackend.
func (a *API) Attestations(ctx context.Context) ([]operator.Attestation, error) {
	out := []operator.Attestation{}
	err := a.cfg.Router.Query(ctx, func(s *speaker.Speaker) {
		store := s.Table().Attested()
		for _, org := range store.Orgs() {
			out = append(out, attestationOf(store, org))
		}
	})
	return out, err
}

func attestationOf(store *attest.Store, org bgp.Org) operator.Attestation {
	h, _ := store.Held(org)
	out := operator.Attestation{
		Organisation: string(h.Org), Serial: int(h.Serial), NotBefore: stamp(h.NotBefore), NotAfter: stamp(h.NotAfter),
		Key: h.KeyID, Keys: []string{}, Entries: h.Entries, Active: h.Active,
		PathKeys: []string{}, Paths: []operator.SignedPath{},
	}
	for _, k := range h.Keys {
		if k.Path {
			out.PathKeys = append(out.PathKeys, k.ID)
		} else {
			out.Keys = append(out.Keys, k.ID)
		}
	}
	for _, p := range store.Paths(org) {
		_, current := store.PathSigned(attest.PathText(p.Orgs))
		path := operator.SignedPath{Until: stamp(p.Until), Current: current, Organisations: []string{}}
		for _, o := range p.Orgs {
			path.Organisations = append(path.Organisations, string(o))
		}
		out.Paths = append(out.Paths, path)
	}
	return out
}

// TrustOrigin implements operator.FilterBackend.
func (a *API) TrustOrigin(ctx context.Context, organisation, keys string) (bool, error) {
	org, err := bgp.ParseOrg(organisation)
	if err != nil {
		return false, operator.Input(err)
	}
	if err := a.cfg.Attested.Trust(ctx, org, []byte(keys)); err != nil {
		return false, operator.Input(err)
	}
	return true, nil
}

// Attest implements operator.FilterBackend.
func (a *API) Attest(ctx context.Context, set string) (*operator.Attestation, error) {
	org, err := a.cfg.Attested.Enter(ctx, []byte(set))
	if err != nil {
		return nil, operator.Input(err)
	}
	var out operator.Attestation
	err = a.cfg.Router.Query(ctx, func(s *speaker.Speaker) {
		out = attestationOf(s.Table().Attested(), org)
	})
	return &out, err
}
