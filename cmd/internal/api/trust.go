package api

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/catalyst-router/catalyst/auth/bundle"
	"github.com/catalyst-router/catalyst/auth/federation"
	"github.com/catalyst-router/catalyst/bgp"
	"github.com/catalyst-router/catalyst/bgp/filter"
	"github.com/catalyst-router/catalyst/bgp/journal"
	"github.com/catalyst-router/catalyst/bgp/speaker"
	"github.com/catalyst-router/catalyst/graphql/operator"
)

// SetNeighbour implements trust.Peers. Rules that an operator wrote by hand stay as long as the terms do.
func (a *API) SetNeighbour(ctx context.Context, n federation.Neighbour, terms *federation.Terms, label string) error {
	a.applying.Lock()
	defer a.applying.Unlock()
	peers, err := a.cfg.Journal.Peers(ctx)
	if err != nil {
		return err
	}
	p := journal.Peer{Node: n.Node}
	for i := range peers {
		if peers[i].Node == n.Node {
			p = peers[i]
		}
	}
	p.Addresses, p.Label = n.Addresses, label
	p.Import, p.Export = chainOfNames(terms.Take), exportOf(a.cfg.Node.Org, terms.Offer, terms.Aggregate)
	p.Namespaces = namespacesOf(n.Node.Org, terms.Take)
	p.MaxRoutes = terms.MaxRoutes
	if p.Role, err = bgp.ParseRole(terms.Role); err != nil {
		return fmt.Errorf("role: %w", err)
	}
	return a.putPeer(ctx, p)
}

// chainOfNames takes names and nothing else.
func chainOfNames(names []string) *filter.Chain {
	c := &filter.Chain{Default: filter.Reject}
	if len(names) > 0 {
		c.Terms = []filter.Term{{Name: "peering", Match: filter.Match{Services: names}, Action: filter.Accept}}
	}
	return c
}

// exportOf makes export rules for these names: one term for those below this organisation, and one with transit: true
// for those of others. To name another organisation's service is the order to carry its traffic.
func exportOf(own bgp.Org, names, aggregates []string) *filter.Chain {
	var mine, carried []string
	for _, n := range names {
		if below(own, n) {
			mine = append(mine, n)
		} else {
			carried = append(carried, n)
		}
	}
	c := chainOfNames(mine)
	c.Aggregates = aggregates
	if len(carried) > 0 {
		yes := true
		c.Terms = append(c.Terms, filter.Term{
			Name: "peering-transit", Match: filter.Match{Services: carried, Transit: &yes}, Action: filter.Accept,
		})
	}
	return c
}

// namespacesOf are the names that a node of an organisation may announce where these are taken of it; nil for those of
// its own organisation alone.
func namespacesOf(org bgp.Org, take []string) []string {
	if !slices.ContainsFunc(take, func(n string) bool { return !below(org, n) }) {
		return nil
	}
	all := append([]string{"*." + string(org)}, take...)
	slices.Sort(all)
	return slices.Compact(all)
}

// below tells whether a name, or all that a pattern stands for, lies below an organisation.
func below(org bgp.Org, name string) bool { return strings.HasSuffix(name, "."+string(org)) }

// RemoveNeighbour implements trust.Peers.
func (a *API) RemoveNeighbour(ctx context.Context, node bgp.NodeID, text string) error {
	_, err := a.RemovePeer(ctx, node.String(), text)
	return err
}

func (a *API) org(name string) (bgp.Org, error) {
	org, err := bgp.ParseOrg(name)
	if err != nil {
		err = fmt.Errorf("organisation: %w", err)
	}
	return org, operator.Input(err)
}

// Peerings implements operator.Backend.
func (a *API) Peerings(ctx context.Context) ([]operator.Peering, error) {
	all := []operator.Peering{}
	for _, p := range a.cfg.Trust.Book().Peerings() {
		view, err := a.peeringOf(ctx, p)
		if err != nil {
			return nil, err
		}
		all = append(all, *view)
	}
	return all, nil
}

// Peering implements operator.Backend.
func (a *API) Peering(ctx context.Context, organisation string) (*operator.Peering, error) {
	org, err := a.org(organisation)
	if err != nil {
		return nil, err
	}
	p := a.cfg.Trust.Book().Peering(org)
	if p == nil {
		return nil, nil //nolint:nilnil // null tells that there is none
	}
	return a.peeringOf(ctx, p)
}

func (a *API) peeringOf(ctx context.Context, p *federation.Peering) (*operator.Peering, error) {
	out := &operator.Peering{
		Organisation: string(p.Org), Since: stamp(p.Since), Terms: p.Terms, Theirs: p.Theirs,
		Invitation: p.Invitation, Label: p.Label, Nodes: []operator.PeeringNode{}, Faults: []operator.TrustFault{},
	}
	if p.Source.URL != "" {
		out.BundleEndpoint = &operator.BundleEndpoint{URL: p.Source.URL, Profile: p.Source.Profile, Server: p.Source.Server}
	}
	held, err := p.Trust.Bundle(p.Org)
	if err != nil {
		return nil, err
	}
	out.Trust = trustView(&p.Trust, held)
	standing := a.cfg.Trust.Standing(p)
	out.Trust.CheckedAt = stamp(standing.Checked)
	out.Trust.Refused, out.Trust.RefusedAt = standing.Refused, stamp(standing.RefusedAt)
	out.Handshakes = handshakesOf(standing.Handshakes)
	for i, f := range standing.Faults {
		view := operator.TrustFault{
			Kind:     f.Kind,
			Severity: "warning",
			Text:     f.Text,
			Advice:   f.Advice,
			Since:    stamp(standing.Since[i]),
			SeenBy:   "this side",
		}
		if f.Error {
			view.Severity = "error"
		}
		if f.Other {
			view.SeenBy = "the other"
		}
		out.Faults = append(out.Faults, view)
	}
	err = a.cfg.Router.Query(ctx, func(s *speaker.Speaker) {
		for _, n := range p.Nodes {
			view := operator.PeeringNode{Node: n.Node.String(), Addresses: append([]string{}, n.Addresses...)}
			if v, ok := s.Peer(n.Node); ok {
				view.State, view.LastError = v.State.String(), v.LastError
				view.Received, view.Advertised = v.Routes.Received, v.Routes.Advertised
			}
			out.Nodes = append(out.Nodes, view)
		}
	})
	return out, err
}

func handshakesOf(all []federation.Handshake) []operator.RefusedHandshake {
	out := []operator.RefusedHandshake{}
	for _, h := range all {
		out = append(out, operator.RefusedHandshake{
			By: h.By.String(), Of: h.Of.String(), Name: h.Name, Serial: h.Serial, Sha256: h.SHA256, From: stamp(h.From),
			Until: stamp(h.Until), Sequence: strconv.FormatUint(h.Tried.Sequence, 10),
			Roots: append([]string{}, h.Tried.Pins...), Kind: h.Kind, Text: h.Text, First: stamp(h.First),
			Last: stamp(h.Last), Times: h.Times,
		})
	}
	return out
}

func trustView(t *federation.Trust, held *bundle.Bundle) operator.BundleView {
	out := operator.BundleView{State: "none", Pins: []string{}}
	if held == nil {
		return out
	}
	if out.State = "held"; len(held.Roots) == 0 {
		out.State = "withdrawn"
	}
	out.Sequence, out.Pins, out.TokenKeys = strconv.FormatUint(t.Sequence, 10), held.Pins(), len(held.TokenKeys)
	out.By, out.Since, out.Until = t.By, stamp(t.Since), stamp(held.Until())
	return out
}

// termsGiven are terms in which a short name is one of this organisation's services.
func (a *API) termsGiven(in federation.Terms) federation.Terms {
	return in.Map(func(name string) string {
		if svc, err := a.service(name); err == nil {
			return string(svc)
		}
		return name
	})
}

// Invitations implements operator.Backend.
func (a *API) Invitations(context.Context) ([]operator.Invitation, error) {
	all := []operator.Invitation{}
	for _, o := range a.cfg.Trust.Book().Offers() {
		all = append(all, operator.Invitation{
			ID: o.ID, Node: a.cfg.Node.String(), With: string(o.With), Pins: []string{}, Terms: o.Terms,
			Expires: stamp(o.Expires), State: o.State(time.Now()), UsedBy: o.UsedBy, UsedAt: stamp(o.UsedAt),
		})
	}
	return all, nil
}

func invitationOf(inv *federation.Invitation) *operator.Invitation {
	out := &operator.Invitation{
		ID: inv.ID(), Node: inv.Node.String(), Address: inv.Address, With: string(inv.With), Pins: inv.Bundle.Pins(),
		Terms: inv.Terms, Expires: stamp(inv.Expires), RootsUntil: stamp(inv.Bundle.Until()), State: "open",
	}
	if !time.Now().Before(inv.Expires) {
		out.State = "expired"
	}
	return out
}

// ReadInvitation implements operator.Backend.
func (a *API) ReadInvitation(_ context.Context, invitation string) (*operator.Invitation, error) {
	inv, err := federation.ParseInvitation(invitation)
	if err != nil {
		return nil, operator.Input(err)
	}
	return invitationOf(inv), nil
}

// ProposedPeering implements operator.Backend.
func (a *API) ProposedPeering(ctx context.Context, organisation, at string) (*operator.PeeringProposal, error) {
	org, err := a.org(organisation)
	if err == nil && at != "" {
		err = operator.Input(checkAddress("at", at))
	}
	if err != nil {
		return nil, err
	}
	p, err := a.cfg.Trust.Discover(ctx, org, at)
	if err != nil {
		return nil, operator.Input(err)
	}
	out := &operator.PeeringProposal{
		Organisation: organisation, Pins: []string{},
		BundleEndpoint: operator.BundleEndpoint{URL: p.Source.URL, Profile: p.Source.Profile},
	}
	if b := p.Bundle; b != nil {
		doc, err := b.Marshal()
		if err != nil {
			return nil, err
		}
		out.Bundle, out.Sequence, out.Pins = string(doc), strconv.FormatUint(b.Sequence, 10), b.Pins()
		out.TokenKeys, out.RootsUntil = len(b.TokenKeys), stamp(b.Until())
	} else {
		out.Unread = p.Unread.Error()
	}
	out.Peering, err = a.Peering(ctx, organisation)
	return out, err
}

// PeeringTokens implements operator.Backend.
func (a *API) PeeringTokens(ctx context.Context, organisation string) ([]operator.TokenUse, error) {
	org, err := a.org(organisation)
	if err != nil {
		return nil, err
	}
	p := a.cfg.Trust.Book().Peering(org)
	if p == nil {
		return nil, operator.Input(fmt.Errorf("there is no peering with %s: see catalyst peering list", org))
	}
	all := []operator.TokenUse{}
	if a.cfg.Tokens == nil {
		for _, name := range p.Terms.Offer {
			all = append(all, operator.TokenUse{
				Service: name, How: "refused", Why: "this node looks at no tokens (policy.tokens, policy.issuers)",
			})
		}
		return all, nil
	}
	for _, u := range a.cfg.Tokens.Uses(ctx, org, p.Terms.Offer) {
		all = append(all, operator.TokenUse{Service: u.Service, How: u.How, Why: u.Why})
	}
	return all, nil
}

// OwnBundle implements operator.Backend.
func (a *API) OwnBundle(context.Context) (string, error) {
	b, err := a.cfg.Trust.Bundle()
	if err != nil {
		return "", err
	}
	doc, err := b.Marshal()
	return string(doc), err
}

// OfferPeering implements operator.Backend.
func (a *API) OfferPeering(ctx context.Context, in operator.OfferInput) (*operator.Invitation, error) {
	with, err := bgp.ParseOrg(in.With)
	if err != nil {
		return nil, operator.Input(fmt.Errorf("with: %w", err))
	}
	life, err := time.ParseDuration(in.Life)
	if err != nil {
		return nil, operator.Input(fmt.Errorf("life: %q: want a duration such as 24h", in.Life))
	}
	inv, err := a.cfg.Trust.Offer(ctx, with, in.Address, a.termsGiven(in.Terms), life)
	if err != nil {
		return nil, operator.Input(err)
	}
	out := invitationOf(inv)
	out.Text, err = inv.Text()
	return out, err
}

// AcceptPeering implements operator.Backend.
func (a *API) AcceptPeering(ctx context.Context, in operator.AcceptInput) (*operator.Peering, error) {
	inv, err := federation.ParseInvitation(in.Invitation)
	if err != nil {
		return nil, operator.Input(err)
	}
	p, err := a.cfg.Trust.Accept(ctx, inv, a.termsGiven(in.Terms), in.Address)
	if err != nil {
		return nil, err
	}
	return a.peeringOf(ctx, p)
}

// SetPeering implements operator.Backend.
func (a *API) SetPeering(ctx context.Context, in operator.PeeringInput) (*operator.Peering, error) {
	p, by, err := a.peeringGiven(&in)
	if err != nil {
		return nil, operator.Input(err)
	}
	if old := a.cfg.Trust.Book().Peering(p.Org); old != nil {
		p.Label = old.Label
	}
	if err := a.cfg.Trust.Set(ctx, p, by); err != nil {
		return nil, operator.Input(err)
	}
	return a.Peering(ctx, in.Organisation)
}

// peeringGiven checks a peering as an operator gives it.
func (a *API) peeringGiven(in *operator.PeeringInput) (federation.Peering, *bundle.Bundle, error) {
	org, err := a.org(in.Organisation)
	if err != nil {
		return federation.Peering{}, nil, err
	}
	p := federation.Peering{Org: org, Terms: a.termsGiven(in.Terms).Clean()}
	errs := []error{p.Terms.Check()}
	for _, n := range in.Nodes {
		id, err := bgp.ParseNodeID(n.Node)
		errs = append(errs, err)
		for _, at := range n.Addresses {
			errs = append(errs, checkAddress("nodes: addresses", at))
		}
		p.Nodes = append(p.Nodes, federation.Neighbour{Node: id, Addresses: n.Addresses})
	}
	if e := in.BundleEndpoint; e != nil {
		p.Source = federation.Source{URL: e.URL, Profile: e.Profile, Server: e.Server}
		errs = append(errs, federation.CheckSource(org, p.Source))
	}
	var by *bundle.Bundle
	if in.Bundle != "" {
		by, err = bundle.Read(org, []byte(in.Bundle))
		errs = append(errs, err)
	}
	return p, by, errors.Join(errs...)
}

// EndPeering implements operator.Backend.
func (a *API) EndPeering(ctx context.Context, organisation, text string) (bool, error) {
	org, err := a.org(organisation)
	if err != nil {
		return false, err
	}
	return a.cfg.Trust.End(ctx, org, text)
}

// WithdrawInvitation implements operator.Backend.
func (a *API) WithdrawInvitation(ctx context.Context, id string) (bool, error) {
	return a.cfg.Trust.Book().Withdraw(ctx, id)
}
