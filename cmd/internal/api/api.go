// Package api answers the operator API (graphql/operator) from what the other rooms of a node know: router, offer,
// forwarding, trace and gateway. What it is given is checked here, once; what it gives is translated here, once.
package api

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/catalyst-router/catalyst/auth/identity"
	"github.com/catalyst-router/catalyst/auth/member"
	"github.com/catalyst-router/catalyst/bgp"
	"github.com/catalyst-router/catalyst/bgp/attr"
	"github.com/catalyst-router/catalyst/bgp/filter"
	"github.com/catalyst-router/catalyst/bgp/journal"
	"github.com/catalyst-router/catalyst/bgp/peering"
	"github.com/catalyst-router/catalyst/bgp/rib"
	"github.com/catalyst-router/catalyst/bgp/speaker"
	"github.com/catalyst-router/catalyst/cmd/internal/attested"
	"github.com/catalyst-router/catalyst/cmd/internal/audit"
	"github.com/catalyst-router/catalyst/cmd/internal/config"
	"github.com/catalyst-router/catalyst/cmd/internal/discover"
	"github.com/catalyst-router/catalyst/cmd/internal/forwarding"
	"github.com/catalyst-router/catalyst/cmd/internal/gateway"
	"github.com/catalyst-router/catalyst/cmd/internal/imported"
	"github.com/catalyst-router/catalyst/cmd/internal/judge"
	"github.com/catalyst-router/catalyst/cmd/internal/ledger"
	"github.com/catalyst-router/catalyst/cmd/internal/localports"
	"github.com/catalyst-router/catalyst/cmd/internal/nameserver"
	"github.com/catalyst-router/catalyst/cmd/internal/offer"
	"github.com/catalyst-router/catalyst/cmd/internal/ondemand"
	"github.com/catalyst-router/catalyst/cmd/internal/seen"
	"github.com/catalyst-router/catalyst/cmd/internal/tap"
	"github.com/catalyst-router/catalyst/cmd/internal/tokens"
	"github.com/catalyst-router/catalyst/cmd/internal/trace"
	"github.com/catalyst-router/catalyst/cmd/internal/trust"
	"github.com/catalyst-router/catalyst/envoy"
	"github.com/catalyst-router/catalyst/graphql/operator"
)

// Config is what the API answers from; all of it is required but for what says otherwise.
type Config struct {
	Node      bgp.NodeID
	Version   string
	Log       *slog.Logger
	BootID    uint64
	Started   time.Time
	Config    *config.Config
	Identity  Identity
	Router    *peering.Router
	Journal   *journal.Journal
	Attested  *attested.Keeper
	Offer     *offer.Offer
	Forwarder *forwarding.Forwarder
	Tracer    *trace.Tracer
	Ports     *localports.Book
	Demand    *ondemand.Room    // nil where Envoy has all services
	Envoy     *envoy.Supervisor // nil without an Envoy of this node's own
	Graph     *gateway.Routes   // nil without a gateway
	Judge     *judge.Judge
	Trust     *trust.Room
	Ledger    *ledger.Ledger
	Tokens    *tokens.Tokens     // nil if none are looked at
	Names     *nameserver.Server // nil if no names are answered
	Tap       *tap.Tap           // nil if calls are not told
	Discover  *discover.Room     // nil if nothing is found
	Audit     *audit.Log
	Imported  *imported.Room // nil unless services are brought into a cluster
	// Member tells how it stands with the membership; nil where certificates are issued by hand.
	Member func() member.Status
	// Missing says what is missing before the node serves.
	Missing func(ctx context.Context) []string
	// Warnings are what an operator has to look after; nil for those of Identity.
	Warnings func() []string
	// Renew asks for the node's next certificate, and has it in use when it returns; nil if certificates are issued by
	// hand.
	Renew func(ctx context.Context) error
}

// Identity is what is shown of the node's certificate. identity.Source is one.
type Identity interface {
	Material() *identity.Material
	Validities() []identity.Validity
	Warnings() []string
	Err() error
}

// API does what the operator API is asked for.
type API struct {
	*seen.Room
	cfg Config

	mu       sync.Mutex
	draining bool // guarded by mu

	applying sync.Mutex // held while the operator's orders are changed, so that a difference holds until it is carried out
}

var _ operator.Backend = (*API)(nil)

// warnings are what an operator has to look after, of a node that serves.
func (a *API) warnings() []string {
	if a.cfg.Warnings != nil {
		return a.cfg.Warnings()
	}
	return a.cfg.Identity.Warnings()
}

// New returns the answers of a node.
func New(cfg Config) *API {
	a := &API{cfg: cfg}
	a.Room = seen.New(seen.Config{
		Audit: cfg.Audit, Identity: cfg.Identity, Member: cfg.Member, Tokens: cfg.Tokens, Tracer: cfg.Tracer,
		Service: a.service,
	})
	return a
}

// Handler serves everything to whoever can open the Unix socket, who owns the node.
func (a *API) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/graphql", operator.Handler(a, owner{}, operator.LargestOwn))
	return mux
}

// Node implements operator.Backend.
func (a *API) Node(ctx context.Context) (*operator.Node, error) {
	c := &a.cfg
	m := c.Identity.Material()
	n := &operator.Node{
		ID:                   c.Node.URI(),
		Organisation:         string(c.Node.Org),
		Version:              c.Version,
		BootID:               fmt.Sprintf("%016x", c.BootID),
		StartedAt:            stamp(c.Started),
		PeeringAddress:       c.Config.Peering.Listen,
		IngressAddress:       c.Config.Envoy.Advertise,
		EgressAddress:        c.Config.Envoy.Egress,
		CertificateExpiresAt: stamp(m.Expires), Missing: append([]string{}, c.Missing(ctx)...),
		Warnings: append([]string{}, a.warnings()...),
	}
	if err := c.Identity.Err(); err != nil {
		n.IdentityError = err.Error()
	}
	if c.Envoy != nil {
		n.EnvoyPid, n.EnvoyReady = c.Envoy.Running(), c.Envoy.Admin().Ready(ctx)
	}
	a.mu.Lock()
	n.Draining = a.draining
	a.mu.Unlock()
	err := c.Router.Query(ctx, func(s *speaker.Speaker) {
		counts := s.Table().Counts()
		n.Routes, n.Paths, n.AttributeSets, n.TableBytes = counts.Services, counts.Paths, counts.Sets, counts.Bytes
		n.Published, n.ContestedNames = s.Publishing(), s.Table().Contested()
	})
	return n, err
}

// Peers implements operator.Backend.
func (a *API) Peers(ctx context.Context) ([]operator.Peer, error) {
	labels, err := a.labels(ctx)
	if err != nil {
		return nil, err
	}
	all := []operator.Peer{}
	err = a.cfg.Router.Query(ctx, func(s *speaker.Speaker) {
		for _, v := range s.Peers() {
			view := viewOf(v, time.Now())
			view.Ingress = a.reached(v.Config.Node, v.Ingress)
			view.Config.Label = labels[v.Config.Node]
			all = append(all, view)
		}
	})
	return all, err
}

// Peer implements operator.Backend.
func (a *API) Peer(ctx context.Context, node string) (*operator.Peer, error) {
	id, err := a.node(node)
	if err != nil {
		return nil, err
	}
	labels, err := a.labels(ctx)
	if err != nil {
		return nil, err
	}
	var p *operator.Peer
	err = a.cfg.Router.Query(ctx, func(s *speaker.Speaker) {
		if v, ok := s.Peer(id); ok {
			view := viewOf(v, time.Now())
			view.Ingress = a.reached(v.Config.Node, v.Ingress)
			view.Config.Label = labels[id]
			p = &view
		}
	})
	return p, err
}

// node reads a node's name; one without an organisation is of ours.
func (a *API) node(name string) (bgp.NodeID, error) {
	var n bgp.NodeID
	var err error
	if strings.Contains(name, "/") {
		n, err = bgp.ParseNodeID(name)
	} else {
		n, err = bgp.NewNodeID(string(a.cfg.Node.Org), name)
	}
	return n, operator.Input(err)
}

func (a *API) service(name string) (bgp.Service, error) {
	org := a.cfg.Node.Org
	if strings.Contains(name, ".") {
		org = ""
	}
	svc, err := bgp.ParseService(name, org)
	return svc, operator.Input(err)
}

// Routes implements operator.Backend.
func (a *API) Routes(ctx context.Context, after, first int) (*operator.RoutePage, error) {
	if after < 0 || first < 1 || first > 1000 {
		return nil, errors.New("routes: want after of at least 0 and first of 1 to 1000")
	}
	page := &operator.RoutePage{Routes: []operator.Route{}}
	var selected []rib.Selected
	var offers []rib.Offers
	var peers []speaker.PeerView
	err := a.cfg.Router.Query(ctx, func(s *speaker.Speaker) {
		page.Next = int(s.Table().Scan(uint32(after), first, func(sel rib.Selected) { selected = append(selected, sel) }))
		for i := range selected {
			offers = append(offers, s.Table().Offers(selected[i].Service))
		}
		peers = s.Peers()
	})
	for i := range selected {
		r := a.route(&selected[i])
		showStale(r, peers)
		showOfferers(r, &offers[i])
		page.Routes = append(page.Routes, *r)
	}
	return page, err
}

// route shows a route as it is in the Loc-RIB.
func (a *API) route(sel *rib.Selected) *operator.Route {
	r := a.newRoute(sel.Service)
	r.Revision = int(sel.Revision)
	for tier, paths := range sel.Tiers {
		for i := range paths {
			r.Paths = append(r.Paths, pathOf(&rib.Candidate{Path: paths[i], Tier: tier}))
		}
	}
	a.complete(r, sel.Service, sel.Tiers)
	return r
}

// showStale says of stale paths since when they are, and until when they are kept.
func showStale(r *operator.Route, peers []speaker.PeerView) {
	for i := range r.Paths {
		p := &r.Paths[i]
		if !p.Stale {
			continue
		}
		for j := range peers {
			if v := &peers[j]; v.Config.Node.String() == p.Peer {
				until := v.StaleUntil
				if until.IsZero() {
					until = v.LastResortUntil
				}
				p.StaleSince, p.StaleUntil = stamp(v.StaleSince), stamp(until)
			}
		}
	}
}

// newRoute is a route with what this node has against it, and without paths.
func (a *API) newRoute(svc bgp.Service) *operator.Route {
	return &operator.Route{
		Service: string(svc),
		Paths:   []operator.Path{},
		Envoys:  []operator.EnvoyRoute{},
		Reports: []operator.Report{}, Offerers: []operator.Offerer{},
		Problem: a.cfg.Forwarder.Problem(svc),
		Used:    a.used(svc), Called: a.called(svc),
	}
}

func (a *API) complete(r *operator.Route, svc bgp.Service, tiers [][]rib.Path) {
	if len(tiers) > 0 && len(tiers[0]) > 0 {
		best := &tiers[0][0].Attrs
		r.Protocol, r.Health = best.Protocol.String(), best.Health.String()
	}
	if r.Problem == "" {
		r.Problem = a.cfg.Offer.Stale(svc)
	}
	if s, ok := a.cfg.Offer.Get(svc); ok && s.Found != nil {
		r.FoundBy, r.FoundIn = s.Found.By, s.Found.In
	}
	if st, ok := a.cfg.Offer.Health(svc); ok {
		r.HealthSince, r.HealthError = stamp(st.Since), st.Error
	}
	if r.Protocol == bgp.TCP.String() {
		r.Port = int(a.cfg.Ports.Of(svc))
	}
}

// Route implements operator.Backend.
func (a *API) Route(ctx context.Context, service string) (*operator.Route, error) {
	svc, err := a.service(service)
	if err != nil {
		return nil, err
	}
	var all []rib.Candidate
	var complaints []speaker.Complaint
	var offers rib.Offers
	var peers []speaker.PeerView
	err = a.cfg.Router.Query(ctx, func(s *speaker.Speaker) {
		all, complaints, peers = s.Table().Explain(svc), s.Complaints(svc), s.Peers()
		offers = s.Table().Offers(svc)
	})
	if err != nil || all == nil {
		return nil, err
	}
	r := a.newRoute(svc)
	for _, c := range complaints {
		r.Reports = append(r.Reports, operator.Report{
			Node:  c.Node.String(),
			Kind:  c.Kind.String(),
			Text:  c.Text,
			Since: stamp(c.Since),
			Via:   c.Peer.String(),
		})
	}
	for i := range all {
		p := pathOf(&all[i])
		if p.DecidedBy = all[i].Lost.String(); all[i].Reject != rib.Accepted {
			p.DecidedBy = ""
		}
		r.Paths = append(r.Paths, p)
	}
	showStale(r, peers)
	showOfferers(r, &offers)
	a.complete(r, svc, [][]rib.Path{{all[0].Path}})
	for _, s := range a.cfg.Forwarder.ADS().Service(svc) {
		r.Envoys = append(r.Envoys, operator.EnvoyRoute{
			Node:           s.Node,
			Resource:       s.Resource.Name,
			Version:        s.Current,
			Sent:           s.Sent,
			Acknowledged:   s.Acked,
			AcknowledgedAt: stamp(s.AckedAt),
			Error:          s.Error, Refused: s.Refused, RefusedAt: stamp(s.RefusedAt),
		})
	}
	return r, nil
}

// Services implements operator.Backend.
func (a *API) Services(ctx context.Context) ([]operator.Service, error) {
	services, err := a.cfg.Offer.Kept(ctx)
	all := make([]operator.Service, 0, len(services))
	for _, s := range services {
		out := serviceOf(s)
		a.showHealth(&out)
		all = append(all, out)
	}
	return all, err
}

// Service implements operator.Backend.
func (a *API) Service(_ context.Context, service string) (*operator.Service, error) {
	name, err := a.service(service)
	if err != nil {
		return nil, err
	}
	s, ok := a.cfg.Offer.Get(name)
	if !ok {
		return nil, nil //nolint:nilnil // null tells that this node does not offer it
	}
	out := serviceOf(s)
	a.showHealth(&out)
	return &out, nil
}

// Envoys implements operator.Backend.
func (a *API) Envoys(context.Context) ([]operator.Envoy, error) {
	all := []operator.Envoy{}
	for _, n := range a.cfg.Forwarder.ADS().Status() {
		e := operator.Envoy{
			Node:        n.Node,
			Since:       stamp(n.Since),
			Outstanding: n.Outstanding,
			Bytes:       n.Bytes,
			Types:       []operator.EnvoyType{},
			Refused:     []operator.Refused{},
		}
		for _, t := range n.Types {
			e.Types = append(e.Types, operator.EnvoyType{
				Type:         t.Type[strings.LastIndexByte(t.Type, '.')+1:],
				Sent:         t.Sent,
				Acknowledged: t.Acked,
			})
		}
		for _, r := range n.Nacks {
			e.Refused = append(e.Refused, operator.Refused{
				Resource: r.Resource.Name,
				Service:  string(r.Service),
				Version:  r.Version,
				Error:    r.Error,
				At:       stamp(r.At),
			})
		}
		all = append(all, e)
	}
	for _, c := range a.cfg.Forwarder.ADS().CutOffs() {
		all = append(all, operator.Envoy{
			Node:    c.Envoy,
			Since:   stamp(c.Since),
			CutOff:  c.Why,
			Types:   []operator.EnvoyType{},
			Refused: []operator.Refused{},
		})
	}
	return all, nil
}

// SetService implements operator.Backend.
func (a *API) SetService(ctx context.Context, in operator.ServiceInput, create bool) (*operator.Service, error) {
	s, err := a.checkService(in)
	if err != nil {
		return nil, operator.Input(err)
	}
	a.applying.Lock()
	defer a.applying.Unlock()
	if err := a.existing(s.Name, create); err != nil {
		return nil, err
	}
	if was, ok := a.cfg.Offer.Get(s.Name); ok {
		s.Label = was.Label
	}
	defer a.ordersChanged()
	if err := a.putService(ctx, s); err != nil {
		return nil, err
	}
	out := serviceOf(s)
	a.showHealth(&out)
	return &out, nil
}

// putService keeps a service of this node and announces it, at the local port that the operator chose, if so.
func (a *API) putService(ctx context.Context, s journal.Service) error {
	if s.Port > 0 {
		if err := a.cfg.Ports.Pin(ctx, s.Name, s.Port); err != nil {
			return err
		}
	}
	return a.cfg.Offer.Set(ctx, s)
}

func (a *API) existing(name bgp.Service, create bool) error {
	was, exists := a.cfg.Offer.Get(name)
	switch {
	case create && was.Found != nil: // it becomes the operator's
		return nil
	case exists && was.Found != nil:
		return foundElsewhere(&was)
	case create && exists:
		return fmt.Errorf("service %s exists already: change it with catalyst route update", name)
	case !create && !exists:
		return fmt.Errorf("service %s is not offered by this node: add it with catalyst route add", name)
	}
	return nil
}

func (a *API) checkService(in operator.ServiceInput) (journal.Service, error) {
	name, err := bgp.ParseService(in.Service, a.cfg.Node.Org)
	if err != nil {
		return journal.Service{}, err
	}
	if name.IsWildcard() {
		return journal.Service{}, fmt.Errorf("service %s: the data plane serves exact names only; offer each name", name)
	}
	addresses := in.Addresses
	if in.Address != "" && !slices.Contains(addresses, in.Address) {
		addresses = append([]string{in.Address}, addresses...)
	}
	s := journal.Service{Name: name, Region: in.Region, Tags: slices.Compact(slices.Sorted(slices.Values(in.Tags)))}
	errs := []error{checkAddresses(&s, addresses)}
	overTLS(&in)
	if s.Protocol, err = bgp.ParseProtocol(in.Protocol); err != nil {
		errs = append(errs, fmt.Errorf("%w; https and grpcs are http and grpc with TLS to the workload", err))
	} else {
		errs = append(errs, healthInput(&s, &in)...)
		errs = append(errs, a.connectionInput(&s, &in)...)
	}
	for _, text := range in.Communities {
		c, err := bgp.ParseCommunity(text)
		errs = append(errs, err)
		s.Communities = filter.AddCommunity(s.Communities, c)
	}
	switch {
	case in.Port < 0 || in.Port > math.MaxUint16:
		errs = append(errs, fmt.Errorf("port: %d: want 1 to %d, or 0 for the one that the service has or gets", in.Port,
			math.MaxUint16))
	case in.Port > 0 && s.Protocol != bgp.TCP:
		errs = append(errs, fmt.Errorf("port: a service of protocol %s has none: it is reached by its name at the "+
			"HTTP egress", s.Protocol))
	}
	if in.Weight < 0 || in.Weight > attr.MaxWeight {
		errs = append(errs, fmt.Errorf("weight: %d: want 1 to %d, or 0 for %d", in.Weight, attr.MaxWeight,
			attr.DefaultWeight))
	}
	if in.Med < 0 || in.Med > 1<<31 {
		errs = append(errs, fmt.Errorf("med: %d: want 0 to %d", in.Med, 1<<31))
	}
	if len(in.Tags) > bgp.MaxTags {
		errs = append(errs, fmt.Errorf("tags: %d: the limit is %d", len(in.Tags), bgp.MaxTags))
	}
	s.Yields = in.Yields
	errs = append(errs, checkServicePort(&s))
	s.Port = uint16(min(max(0, in.Port), math.MaxUint16))
	s.Weight, s.MED = uint32(max(0, in.Weight)), uint32(max(0, in.Med))
	if err := errors.Join(errs...); err != nil {
		return s, err
	}
	attributes := offer.Attributes(s)
	if _, ok := attr.Check(attr.Append(nil, &attributes)); !ok {
		return s, fmt.Errorf("region and tags: want printable characters, at most %d each, without spaces at the ends",
			bgp.MaxTagLength)
	}
	return s, nil
}

// checkServicePort checks the tag that says at which port a TCP service is dialled by its name.
func checkServicePort(s *journal.Service) error {
	i := slices.IndexFunc(s.Tags, bgp.IsServicePortTag)
	a := bgp.Attributes{Tags: s.Tags}
	switch {
	case i < 0:
		return nil
	case s.Protocol != bgp.TCP:
		return fmt.Errorf("tags: %s: a service of protocol %s is reached at the HTTP egress", s.Tags[i], s.Protocol)
	case a.ServicePort() == 0:
		return fmt.Errorf("tags: %s: want a port of 1 to 65535", s.Tags[i])
	case i+1 < len(s.Tags) && bgp.IsServicePortTag(s.Tags[i+1]):
		return fmt.Errorf("tags: %s and %s: want one port at which the service is dialled", s.Tags[i], s.Tags[i+1])
	}
	return nil
}

// maxWorkloads is how many workloads a service may have at a node.
const maxWorkloads = 64

// checkAddresses takes where the workloads of a service are.
func checkAddresses(s *journal.Service, addresses []string) error {
	switch {
	case len(addresses) == 0:
		return errors.New("address: want HOST:PORT, where the workload listens")
	case len(addresses) > maxWorkloads:
		return fmt.Errorf("addresses: %d: want %d at the most", len(addresses), maxWorkloads)
	}
	s.Address, s.Others = addresses[0], slices.Clone(addresses[1:])
	var errs []error
	for i, a := range addresses {
		errs = append(errs, checkAddress("address", a))
		if slices.Contains(addresses[:i], a) {
			errs = append(errs, fmt.Errorf("addresses: %s stands there twice", a))
		}
	}
	return errors.Join(errs...)
}

func checkAddress(field, address string) error {
	if _, err := bgp.ParseEndpoint(address); err != nil {
		return fmt.Errorf("%s: %w", field, err)
	}
	return nil
}

// RemoveService implements operator.Backend.
func (a *API) RemoveService(ctx context.Context, service string) (bool, error) {
	name, err := a.service(service)
	if err != nil {
		return false, err
	}
	a.applying.Lock()
	defer a.applying.Unlock()
	if s, ok := a.cfg.Offer.Get(name); ok {
		if err := foundElsewhere(&s); err != nil {
			return false, err
		}
	}
	defer a.ordersChanged()
	return a.cfg.Offer.Remove(ctx, name)
}

// Drain implements operator.Backend.
func (a *API) Drain(ctx context.Context, on bool) (bool, error) {
	a.mu.Lock()
	a.draining = on
	a.mu.Unlock()
	return on, a.cfg.Router.Do(ctx, speaker.Drain{On: on})
}

// RenewCertificate implements operator.Backend.
func (a *API) RenewCertificate(ctx context.Context) (string, error) {
	if a.cfg.Renew == nil {
		return "", errors.New("this node's certificate was issued by hand, and its organisation's identity service does " +
			"not know it: issue the next with catalyst org issue-node, or let the node join (catalyst org join-token)")
	}
	if err := a.cfg.Renew(ctx); err != nil {
		return "", err
	}
	return stamp(a.cfg.Identity.Material().Expires), nil
}
