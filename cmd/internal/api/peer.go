package api

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
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

// overLimits are what may happen beyond a peer's maximum of routes.
//
//nolint:gochecknoglobals // a constant table
var overLimits = map[string]speaker.OverLimit{"": speaker.OverLimitBlock, "block": speaker.OverLimitBlock,
	"warn": speaker.OverLimitWarn, "close": speaker.OverLimitClose}

// PeerOf is what the speaker is told of a peer; what is in the journal has been checked.
func PeerOf(p journal.Peer) speaker.Peer {
	out := speaker.Peer{
		Node:      p.Node,
		Addresses: p.Addresses,
		HoldTime:  time.Duration(p.HoldTimeSeconds) * time.Second,
		Import:    p.Import,
		Export:    p.Export,
		Client:    p.Client,
		Role:      p.Role,
		MaxRoutes: p.MaxRoutes,
		OverLimit: overLimits[p.OverLimit],
		Liveness:  p.Liveness,
		Subscribe: p.Subscribe,
		AddPath:   p.AddPath,
		Disabled:  p.Disabled,
	}
	out.MaxBytes, out.MaxRouteBytes, out.MaxLocalPref = p.MaxBytes, p.MaxRouteBytes, p.MaxLocalPref
	out.Namespaces, out.Attested, out.PathAttested, out.Pins = p.Namespaces, p.Attested, p.AttestedPath, p.Pins
	if p.LongLivedStale != "" {
		out.LongLivedStale = -1
		if d, err := time.ParseDuration(p.LongLivedStale); err == nil && d > 0 {
			out.LongLivedStale = d
		}
	}
	return out
}

// SetPeer implements operator.Backend.
func (a *API) SetPeer(ctx context.Context, in operator.PeerInput) (*operator.Peer, error) {
	p, err := a.checkPeer(in)
	if err != nil {
		return nil, operator.Input(err)
	}
	a.applying.Lock()
	defer a.applying.Unlock()
	labels, err := a.labels(ctx)
	if err != nil {
		return nil, err
	}
	p.Label = labels[p.Node]
	if err := a.putPeer(ctx, p); err != nil {
		return nil, err
	}
	return a.Peer(ctx, p.Node.String())
}

// labels are those of all peers that are kept; "" for one that no file manages.
func (a *API) labels(ctx context.Context) (map[bgp.NodeID]string, error) {
	peers, err := a.cfg.Journal.Peers(ctx)
	all := map[bgp.NodeID]string{}
	for i := range peers {
		all[peers[i].Node] = peers[i].Label
	}
	return all, err
}

func (a *API) checkPeer(in operator.PeerInput) (journal.Peer, error) {
	id, err := a.node(in.Node)
	if err != nil {
		return journal.Peer{}, err
	}
	p := journal.Peer{
		Node:            id,
		Addresses:       in.Addresses,
		HoldTimeSeconds: in.HoldTimeSeconds,
		Client:          in.Client,
		MaxRoutes:       in.MaxRoutes,
		OverLimit:       in.OverLimit,
		AddPath:         uint8(min(max(in.AddPath, 0), maxAddPath)), LongLivedStale: in.LongLivedStale, Disabled: in.Disabled,
	}
	if p.OverLimit == "block" { // the default has one spelling, so that the same configuration is the same record
		p.OverLimit = ""
	}
	var errs []error
	if id == a.cfg.Node {
		errs = append(errs, fmt.Errorf("node: %s is this node itself", id))
	}
	for _, a := range in.Addresses {
		errs = append(errs, checkAddress("addresses", a))
	}
	if h := in.HoldTimeSeconds; h != 0 && (h < 3 || h > 65535) {
		errs = append(errs, fmt.Errorf("holdTimeSeconds: %d: want 3 to 65535, or 0 for 90", h))
	}
	if in.MaxRoutes < 0 {
		errs = append(errs, fmt.Errorf("maxRoutes: %d: want at least 0", in.MaxRoutes))
	}
	errs = append(errs, limitsInto(&p, in))
	if _, ok := overLimits[in.OverLimit]; !ok {
		errs = append(errs, fmt.Errorf("overLimit: %q: want block, warn or close", in.OverLimit))
	}
	if in.AddPath < 0 || in.AddPath > maxAddPath {
		errs = append(errs, fmt.Errorf("addPath: %d: want 0 to %d", in.AddPath, maxAddPath))
	}
	if p.Client && id.Org != a.cfg.Node.Org {
		errs = append(errs, errors.New("client: routes are reflected inside an organisation only (RFC 4456)"))
	}
	if in.LongLivedStale != "" {
		_, err := within("longLivedStale", in.LongLivedStale, 0, maxLastResort)
		errs = append(errs, err)
	}
	if in.Liveness != "" {
		p.Liveness, err = within("liveness", in.Liveness, bgp.MinLiveness, maxLiveness)
		errs = append(errs, err)
	}
	p.Subscribe, err = a.subscription(in.Subscribe)
	errs = append(errs, err, a.relationInto(&p, in))
	p.Import, err = a.chainOf("import", in.Import)
	errs = append(errs, err)
	p.Export, err = a.chainOf("export", in.Export)
	return p, errors.Join(append(errs, err)...)
}

// maxNamespaces is the most patterns of names that a peer may announce.
const maxNamespaces = 1000

// relationInto checks what another organisation is to this one.
func (a *API) relationInto(p *journal.Peer, in operator.PeerInput) error {
	role, err := bgp.ParseRole(in.Role)
	errs := []error{err}
	inside := p.Node.Org == a.cfg.Node.Org
	if inside && role != bgp.RoleNone {
		errs = append(errs, errors.New("role: nodes of one organisation have none to each other (RFC 9234)"))
	}
	if inside && len(in.Namespaces) > 0 {
		errs = append(errs, errors.New("namespaces: they limit what another organisation announces"))
	}
	if inside && (in.Attested || in.AttestedPath) {
		errs = append(errs, errors.New("attested, attestedPath: they are about what another organisation announces"))
	}
	if inside && len(in.Pins) > 0 {
		errs = append(errs, errors.New("pins: they are about names that arrive through another organisation"))
	}
	p.Role, p.Attested, p.AttestedPath = role, in.Attested, in.AttestedPath
	p.Namespaces, err = patternsOf("namespaces", in.Namespaces)
	errs = append(errs, err)
	p.Pins, err = patternsOf("pins", in.Pins)
	return errors.Join(append(errs, err)...)
}

// patternsOf checks patterns of names, and sorts them.
func patternsOf(field string, names []string) ([]string, error) {
	if len(names) > maxNamespaces {
		return nil, fmt.Errorf("%s: %d: the limit is %d", field, len(names), maxNamespaces)
	}
	var out []string
	var errs []error
	for _, n := range names {
		n = strings.ToLower(n)
		if err := filter.CheckPattern(n); err != nil {
			errs = append(errs, fmt.Errorf("%s: %q %w", field, n, err))
		}
		out = append(out, n)
	}
	slices.Sort(out)
	return slices.Compact(out), errors.Join(errs...)
}

// limitsInto checks the limits of a peer that are bytes or preferences.
func limitsInto(p *journal.Peer, in operator.PeerInput) error {
	var errs []error
	if in.MaxBytes < 0 {
		errs = append(errs, fmt.Errorf("maxBytes: %d: want at least 0", in.MaxBytes))
	}
	if in.MaxRouteBytes < 0 || in.MaxRouteBytes > attr.MaxSize {
		errs = append(errs, fmt.Errorf("maxRouteBytes: %d: want 1 to %d, or 0 for the default", in.MaxRouteBytes,
			attr.MaxSize))
	}
	if in.MaxLocalPref < 0 || in.MaxLocalPref > math.MaxUint32 {
		errs = append(errs, fmt.Errorf("maxLocalPref: %d: want 1 to %d, or 0 for %d", in.MaxLocalPref,
			uint32(math.MaxUint32), bgp.DefaultLocalPref))
	}
	p.MaxBytes, p.MaxRouteBytes = in.MaxBytes, in.MaxRouteBytes
	p.MaxLocalPref = uint32(min(max(in.MaxLocalPref, 0), math.MaxUint32))
	return errors.Join(errs...)
}

// The bounds of a peer's configuration.
const (
	maxAddPath    = 64
	maxLiveness   = 10 * time.Second
	maxLastResort = 168 * time.Hour
)

// within reads a duration of lo to hi.
func within(field, text string, lo, hi time.Duration) (time.Duration, error) {
	d, err := time.ParseDuration(text)
	if err != nil || d < lo || d > hi {
		return 0, fmt.Errorf("%s: %q: want %s to %s", field, text, lo, hi)
	}
	return d, nil
}

// subscription reads the names to ask a peer for; nil stays nil, which is everything.
func (a *API) subscription(names []string) ([]bgp.Service, error) {
	if names == nil {
		return nil, nil
	}
	out := make([]bgp.Service, 0, len(names))
	for _, n := range names {
		svc, err := a.service(strings.ToLower(n))
		if err != nil {
			return nil, fmt.Errorf("subscribe: %w", err)
		}
		out = append(out, svc)
	}
	slices.Sort(out)
	out = slices.Compact(out)
	if err := filter.CheckNames(out); err != nil {
		return nil, fmt.Errorf("subscribe: %w", err)
	}
	return out, nil
}

// chainOf reads a filter chain; nil for none.
func (a *API) chainOf(field string, text *string) (*filter.Chain, error) {
	if text == nil || *text == "" {
		return nil, nil //nolint:nilnil // no rule
	}
	c, err := filter.Parse([]byte(*text))
	if err == nil {
		err = c.CheckOwnership(a.cfg.Node.Org)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", field, err)
	}
	if field == "import" && len(c.Aggregates) > 0 {
		return nil, errors.New("import: aggregates: they say what a peer is told of in one, and stand in its export rules")
	}
	return c, nil
}

// RemovePeer implements operator.Backend.
func (a *API) RemovePeer(ctx context.Context, node, text string) (bool, error) {
	id, err := a.node(node)
	if err != nil {
		return false, err
	}
	had, err := a.cfg.Journal.RemovePeer(ctx, id)
	if err != nil {
		return false, err
	}
	if err := a.cfg.Router.Do(ctx, speaker.PeerRemoved{Node: id, Text: text}); err != nil {
		return had, err
	}
	return had, a.cfg.Forwarder.PeersChanged(ctx)
}

// ResetPeer implements operator.Backend.
func (a *API) ResetPeer(ctx context.Context, node, text string) (bool, error) {
	id, err := a.node(node)
	if err != nil {
		return false, err
	}
	known := false
	if err := a.cfg.Router.Query(ctx, func(s *speaker.Speaker) { _, known = s.Peer(id) }); err != nil || !known {
		return false, err
	}
	return true, a.cfg.Router.Do(ctx, speaker.PeerReset{Node: id, Text: text})
}

// reached says how a peer is reached, and how it reaches this node, where that is by tunnels.
func (a *API) reached(n bgp.NodeID, ingress string) string {
	to, from, _ := a.cfg.Config.Envoy.Tunnels() // checked when the configuration was read
	switch {
	case slices.Contains(from, n):
		return "by its tunnels to the mesh ingress here"
	case slices.ContainsFunc(to, func(hub bgp.NextHop) bool { return hub.Node == n }):
		return ingress + "; it reaches this node by tunnels"
	}
	return ingress
}

// viewOf shows a peer as it is now.
func viewOf(v speaker.PeerView, now time.Time) operator.Peer {
	p := operator.Peer{
		Node:            v.Config.Node.String(),
		External:        v.External,
		State:           v.State.String(),
		Addresses:       append([]string{}, v.Config.Addresses...),
		Since:           stamp(v.Since),
		NextDial:        stamp(v.NextDial),
		HoldTimeSeconds: int(v.HoldTime.Seconds()),
		Ingress:         v.Ingress,
		Received:        v.Routes.Received,
		Rejected:        v.Routes.Rejected,
		Stale:           v.Routes.Stale,
		Advertised:      v.Routes.Advertised,
		Pending:         v.Pending,
		Blocked:         v.Routes.Blocked,
		UpdatesIn:       int(v.Counters.UpdatesIn),
		UpdatesOut:      int(v.Counters.UpdatesOut),
		Sessions:        int(v.Counters.Sessions),
		Malformed:       int(v.Counters.Malformed),
		EndOfRib:        v.EndOfRIB,
		StaleUntil:      stamp(v.StaleUntil),
		LastError:       v.LastError,
		LastErrorByPeer: v.Remote,
		Notice:          v.Notice,
		Client:          v.Config.Client,
		Disabled:        v.Config.Disabled,
		MaxRoutes:       v.Config.MaxRoutes,
		Rejections:      []operator.Count{},
		Liveness:        period(v.Liveness),
		LastResortUntil: stamp(v.LastResortUntil),
		FaultCounts:     []operator.Count{},
		Faults:          []operator.Fault{},
		Config:          configOf(v.Config),
	}
	for reason := range 255 {
		if n := v.Counters.Rejected[reason]; n > 0 {
			p.Rejections = append(p.Rejections, operator.Count{Name: rib.Reject(reason).String(), Count: int(n)})
		}
	}
	if v.HeldUntil.After(now) {
		p.HeldUntil, p.HeldFor = stamp(v.HeldUntil), v.HeldFor
	}
	if v.Role != bgp.RoleNone {
		p.Role = v.Role.String()
	}
	if v.Selective {
		p.Wants = namesOf(v.Wants)
	}
	faultsOf(&p, v)
	return p
}

// faultsOf shows what was malformed.
func faultsOf(p *operator.Peer, v speaker.PeerView) {
	for kind, n := range v.Counters.Faults {
		what := kind.Attribute
		if what == "" {
			what = "message"
		}
		p.FaultCounts = append(p.FaultCounts, operator.Count{Name: kind.Degree.String() + ": " + what, Count: int(n)})
	}
	slices.SortFunc(p.FaultCounts, func(x, y operator.Count) int { return strings.Compare(x.Name, y.Name) })
	for _, f := range v.Faults {
		p.Faults = append(p.Faults, operator.Fault{
			At:        stamp(f.At),
			Degree:    f.Degree.String(),
			Service:   string(f.Service),
			Attribute: f.Attribute,
			Reason:    f.Reason,
			Routes:    f.Routes,
			Bytes:     hex.EncodeToString(f.Bytes),
		})
	}
}

// configOf shows a peer's configuration as operator.PeerInput takes it.
func configOf(c speaker.Peer) operator.PeerConfig {
	out := operator.PeerConfig{
		Addresses:       append([]string{}, c.Addresses...),
		HoldTimeSeconds: int(c.HoldTime / time.Second),
		Client:          c.Client,
		MaxRoutes:       c.MaxRoutes,
		AddPath:         int(c.AddPath),
		Liveness:        period(c.Liveness),
		LongLivedStale:  period(max(0, c.LongLivedStale)),
		Disabled:        c.Disabled,
		Import:          chainText(c.Import),
		Export:          chainText(c.Export),
	}
	out.MaxBytes, out.MaxRouteBytes, out.MaxLocalPref = c.MaxBytes, c.MaxRouteBytes, int(c.MaxLocalPref)
	out.Namespaces, out.Attested = append([]string{}, c.Namespaces...), c.Attested
	out.AttestedPath, out.Pins = c.PathAttested, append([]string{}, c.Pins...)
	if c.Role != bgp.RoleNone {
		out.Role = c.Role.String()
	}
	for word, l := range overLimits {
		if word != "" && l == c.OverLimit {
			out.OverLimit = word
		}
	}
	if c.LongLivedStale < 0 {
		out.LongLivedStale = time.Duration(0).String()
	}
	if c.Subscribe != nil {
		out.Subscribe = namesOf(c.Subscribe)
	}
	return out
}

func namesOf(list []bgp.Service) []string {
	out := make([]string, 0, len(list))
	for _, s := range list {
		out = append(out, string(s))
	}
	return out
}

// chainText is a filter chain in JSON; nil for no rule.
func chainText(c *filter.Chain) *string {
	if c == nil {
		return nil
	}
	b, err := json.Marshal(c)
	if err != nil {
		panic(fmt.Sprintf("marshal filter chain: %v", err)) // it was read from JSON
	}
	text := string(b)
	return &text
}
