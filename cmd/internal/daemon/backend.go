package daemon

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/catalyst-router/catalyst/bgp"
	"github.com/catalyst-router/catalyst/bgp/attr"
	"github.com/catalyst-router/catalyst/bgp/filter"
	"github.com/catalyst-router/catalyst/bgp/journal"
	"github.com/catalyst-router/catalyst/bgp/rib"
	"github.com/catalyst-router/catalyst/bgp/speaker"
	"github.com/catalyst-router/catalyst/graphql/operator"
)

// backend does what the operator API is asked for.
type backend struct{ d *Daemon }

var _ operator.Backend = (*backend)(nil)

// Node implements operator.Backend.
func (b *backend) Node(ctx context.Context) (*operator.Node, error) {
	d := b.d
	m := d.id.Material()
	n := &operator.Node{
		ID: d.self.URI(), Organisation: string(d.self.Org), Version: d.version, BootID: fmt.Sprintf("%016x", d.bootID), StartedAt: stamp(d.started),
		PeeringAddress: d.cfg.Peering.Listen, IngressAddress: d.cfg.Envoy.Advertise, EgressAddress: d.cfg.Envoy.Egress, CertificateExpiresAt: stamp(m.Expires),
	}
	if err := d.id.Err(); err != nil {
		n.IdentityError = err.Error()
	}
	if d.sup != nil {
		n.EnvoyPid, n.EnvoyReady = d.sup.Running(), d.sup.Admin().Ready(ctx)
	}
	d.mu.Lock()
	n.Draining = d.draining
	d.mu.Unlock()
	err := d.router.Query(ctx, func(s *speaker.Speaker) {
		c := s.Table().Counts()
		n.Routes, n.Paths, n.AttributeSets, n.TableBytes, n.Published = c.Services, c.Paths, c.Sets, c.Bytes, s.Publishing()
	})
	return n, err
}

// Peers implements operator.Backend.
func (b *backend) Peers(ctx context.Context) ([]operator.Peer, error) {
	all := []operator.Peer{}
	err := b.d.router.Query(ctx, func(s *speaker.Speaker) {
		for _, v := range s.Peers() {
			all = append(all, viewOf(v, time.Now()))
		}
	})
	return all, err
}

// Peer implements operator.Backend.
func (b *backend) Peer(ctx context.Context, node string) (*operator.Peer, error) {
	id, err := b.node(node)
	if err != nil {
		return nil, err
	}
	var p *operator.Peer
	err = b.d.router.Query(ctx, func(s *speaker.Speaker) {
		if v, ok := s.Peer(id); ok {
			view := viewOf(v, time.Now())
			p = &view
		}
	})
	return p, err
}

// node reads a node's name; one without an organisation is of ours.
func (b *backend) node(name string) (bgp.NodeID, error) {
	if !strings.Contains(name, "/") {
		return bgp.NewNodeID(string(b.d.self.Org), name)
	}
	return bgp.ParseNodeID(name)
}

func (b *backend) service(name string) (bgp.Service, error) {
	if strings.Contains(name, ".") {
		return bgp.ParseService(name, "")
	}
	return bgp.ParseService(name, b.d.self.Org)
}

// Routes implements operator.Backend.
func (b *backend) Routes(ctx context.Context, after, first int) (*operator.RoutePage, error) {
	if after < 0 || first < 1 || first > 1000 {
		return nil, errors.New("routes: want after of at least 0 and first of 1 to 1000")
	}
	page := &operator.RoutePage{Routes: []operator.Route{}}
	var selected []rib.Selected
	err := b.d.router.Query(ctx, func(s *speaker.Speaker) {
		page.Next = int(s.Table().Scan(uint32(after), first, func(sel rib.Selected) { selected = append(selected, sel) }))
	})
	for i := range selected {
		page.Routes = append(page.Routes, *b.route(&selected[i]))
	}
	return page, err
}

// route shows a route as it is in the Loc-RIB.
func (b *backend) route(sel *rib.Selected) *operator.Route {
	r := b.newRoute(sel.Service)
	r.Revision = int(sel.Revision)
	for tier, paths := range sel.Tiers {
		for i := range paths {
			r.Paths = append(r.Paths, pathOf(&rib.Candidate{Path: paths[i], Tier: tier}))
		}
	}
	b.complete(r, sel.Service, sel.Tiers)
	return r
}

// newRoute is a route with what this node has against it, and without paths.
func (b *backend) newRoute(svc bgp.Service) *operator.Route {
	return &operator.Route{Service: string(svc), Paths: []operator.Path{}, Envoys: []operator.EnvoyRoute{}, Reports: []operator.Report{}, Problem: b.d.quarantine.of(svc)}
}

func (b *backend) complete(r *operator.Route, svc bgp.Service, tiers [][]rib.Path) {
	if len(tiers) > 0 && len(tiers[0]) > 0 {
		best := &tiers[0][0].Attrs
		r.Protocol, r.Health = best.Protocol.String(), best.Health.String()
	}
	if st, ok := b.d.probes.Status(svc); ok {
		r.HealthSince, r.HealthError = stamp(st.Since), st.Error
	}
	r.Port = int(b.d.ports.Of(svc))
}

// Route implements operator.Backend.
func (b *backend) Route(ctx context.Context, service string) (*operator.Route, error) {
	svc, err := b.service(service)
	if err != nil {
		return nil, err
	}
	var all []rib.Candidate
	var complaints []speaker.Complaint
	err = b.d.router.Query(ctx, func(s *speaker.Speaker) { all, complaints = s.Table().Explain(svc), s.Complaints(svc) })
	if err != nil || all == nil {
		return nil, err
	}
	r := b.newRoute(svc)
	for _, c := range complaints {
		r.Reports = append(r.Reports, operator.Report{Node: c.Node.String(), Kind: c.Kind.String(), Text: c.Text, Since: stamp(c.Since), Via: c.Peer.String()})
	}
	for i := range all {
		p := pathOf(&all[i])
		if p.DecidedBy = all[i].Lost.String(); all[i].Reject != rib.Accepted {
			p.DecidedBy = ""
		}
		r.Paths = append(r.Paths, p)
	}
	b.complete(r, svc, [][]rib.Path{{all[0].Path}})
	for _, s := range b.d.ads.Service(svc) {
		r.Envoys = append(r.Envoys, operator.EnvoyRoute{
			Node: s.Node, Resource: s.Resource.Name, Version: s.Current, Sent: s.Sent, Acknowledged: s.Acked, AcknowledgedAt: stamp(s.AckedAt),
			Error: s.Error, Refused: s.Refused, RefusedAt: stamp(s.RefusedAt),
		})
	}
	return r, nil
}

// Services implements operator.Backend.
func (b *backend) Services(ctx context.Context) ([]operator.Service, error) {
	services, err := b.d.journal.Services(ctx)
	all := make([]operator.Service, 0, len(services))
	for _, s := range services {
		out := serviceOf(s)
		b.d.showHealth(&out)
		all = append(all, out)
	}
	return all, err
}

// Service implements operator.Backend.
func (b *backend) Service(_ context.Context, service string) (*operator.Service, error) {
	name, err := b.service(service)
	if err != nil {
		return nil, err
	}
	s, ok := b.d.fwd.backend(name)
	if !ok {
		return nil, nil //nolint:nilnil // null tells that this node does not offer it
	}
	out := serviceOf(s)
	b.d.showHealth(&out)
	return &out, nil
}

// Envoys implements operator.Backend.
func (b *backend) Envoys(context.Context) ([]operator.Envoy, error) {
	all := []operator.Envoy{}
	for _, n := range b.d.ads.Status() {
		e := operator.Envoy{Node: n.Node, Since: stamp(n.Since), Outstanding: n.Outstanding, Bytes: n.Bytes, Types: []operator.EnvoyType{}, Refused: []operator.Refused{}}
		for _, t := range n.Types {
			e.Types = append(e.Types, operator.EnvoyType{Type: t.Type[strings.LastIndexByte(t.Type, '.')+1:], Sent: t.Sent, Acknowledged: t.Acked})
		}
		for _, r := range n.Nacks {
			e.Refused = append(e.Refused, operator.Refused{Resource: r.Resource.Name, Service: string(r.Service), Version: r.Version, Error: r.Error, At: stamp(r.At)})
		}
		all = append(all, e)
	}
	return all, nil
}

// Ports implements operator.Backend.
func (b *backend) Ports(context.Context) (*operator.Ports, error) {
	taken, free := b.d.ports.Taken()
	p := &operator.Ports{Taken: []operator.Port{}, Free: free}
	for _, t := range taken {
		p.Taken = append(p.Taken, operator.Port{Service: string(t.Service), Port: int(t.Port)})
	}
	return p, nil
}

// SetService implements operator.Backend.
func (b *backend) SetService(ctx context.Context, in operator.ServiceInput, create bool) (*operator.Service, error) {
	s, err := b.checkService(in)
	if err != nil {
		return nil, err
	}
	if err := b.existing(s.Name, create); err != nil {
		return nil, err
	}
	if err := b.d.journal.PutService(ctx, s); err != nil {
		return nil, err
	}
	b.d.fwd.setBackend(s)
	b.d.check(&s)
	if err := b.d.announce(ctx, s.Name, b.d.declare(ctx, "route.declare", s.Name)); err != nil {
		return nil, err
	}
	b.d.fwd.moved(ctx, s.Name)
	out := serviceOf(s)
	b.d.showHealth(&out)
	return &out, nil
}

func (b *backend) existing(name bgp.Service, create bool) error {
	exists := b.d.fwd.offers(name)
	switch {
	case create && exists:
		return fmt.Errorf("service %s exists already: change it with catalyst route update", name)
	case !create && !exists:
		return fmt.Errorf("service %s is not offered by this node: add it with catalyst route add", name)
	}
	return nil
}

func (b *backend) checkService(in operator.ServiceInput) (journal.Service, error) {
	name, err := bgp.ParseService(in.Service, b.d.self.Org)
	if err != nil {
		return journal.Service{}, err
	}
	if name.IsWildcard() {
		return journal.Service{}, fmt.Errorf("service %s: the data plane serves exact names only; offer each name", name)
	}
	s := journal.Service{Name: name, Address: in.Address, Region: in.Region, Tags: slices.Compact(slices.Sorted(slices.Values(in.Tags)))}
	errs := []error{checkAddress("address", in.Address)}
	if s.Protocol, err = bgp.ParseProtocol(in.Protocol); err != nil {
		errs = append(errs, err)
	} else {
		errs = append(errs, healthInput(&s, &in)...)
	}
	for _, text := range in.Communities {
		c, err := bgp.ParseCommunity(text)
		errs = append(errs, err)
		s.Communities = filter.AddCommunity(s.Communities, c)
	}
	if in.Weight < 0 || in.Weight > attr.MaxWeight {
		errs = append(errs, fmt.Errorf("weight: %d: want 1 to %d, or 0 for %d", in.Weight, attr.MaxWeight, attr.DefaultWeight))
	}
	if in.Med < 0 || in.Med > 1<<31 {
		errs = append(errs, fmt.Errorf("med: %d: want 0 to %d", in.Med, 1<<31))
	}
	if len(in.Tags) > bgp.MaxTags {
		errs = append(errs, fmt.Errorf("tags: %d: the limit is %d", len(in.Tags), bgp.MaxTags))
	}
	s.Weight, s.MED = uint32(max(0, in.Weight)), uint32(max(0, in.Med))
	if err := errors.Join(errs...); err != nil {
		return s, err
	}
	a := attributesOf(s)
	if _, ok := attr.Check(attr.Append(nil, &a)); !ok {
		return s, fmt.Errorf("region and tags: want printable characters, at most %d each, without spaces at the ends", bgp.MaxTagLength)
	}
	return s, nil
}

func checkAddress(field, address string) error {
	host, port, err := net.SplitHostPort(address)
	if err != nil || host == "" {
		return fmt.Errorf("%s: %q: want HOST:PORT", field, address)
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return fmt.Errorf("%s: %q: want a port of 1 to 65535", field, address)
	}
	if len(address) > bgp.MaxEndpointLength {
		return fmt.Errorf("%s: longer than %d characters", field, bgp.MaxEndpointLength)
	}
	return nil
}

// RemoveService implements operator.Backend.
func (b *backend) RemoveService(ctx context.Context, service string) (bool, error) {
	name, err := b.service(service)
	if err != nil {
		return false, err
	}
	had, err := b.d.journal.RemoveService(ctx, name)
	if err != nil || !had {
		return false, err
	}
	b.d.probes.Remove(name)
	b.d.fwd.dropBackend(name)
	return true, b.d.announce(ctx, name, b.d.declare(ctx, "route.declare", name))
}

// Drain implements operator.Backend.
func (b *backend) Drain(ctx context.Context, on bool) (bool, error) {
	b.d.mu.Lock()
	b.d.draining = on
	b.d.mu.Unlock()
	return on, b.d.router.Do(ctx, speaker.Drain{On: on})
}
