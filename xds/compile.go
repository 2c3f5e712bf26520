package xds

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"net/netip"
	"slices"
	"strings"

	cluster "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	listener "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	route "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	aggregate "github.com/envoyproxy/go-control-plane/envoy/extensions/clusters/aggregate/v3"
	"google.golang.org/protobuf/proto"

	"github.com/catalyst-router/catalyst/bgp"
	"github.com/catalyst-router/catalyst/xds/shrink"
)

// The type URLs, in the order in which additions have to arrive: what is named before what names it.
const (
	TypeSecret   = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret"
	TypeCluster  = "type.googleapis.com/envoy.config.cluster.v3.Cluster"
	TypeRoute    = "type.googleapis.com/envoy.config.route.v3.RouteConfiguration"
	TypeScope    = "type.googleapis.com/envoy.config.route.v3.ScopedRouteConfiguration"
	TypeListener = "type.googleapis.com/envoy.config.listener.v3.Listener"
	// TypeExtension is what a listener leaves to be given apart.
	TypeExtension = "type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig"
)

// Types returns them in that order, which is make before break.
func Types() []string {
	return []string{TypeSecret, TypeCluster, TypeRoute, TypeScope, TypeExtension, TypeListener}
}

// Order returns the place of a type among them; -1 for any other.
func Order(typeURL string) int { return slices.Index(Types(), typeURL) }

// Names of the constant resources, and what the names of others begin with.
const (
	ingressName = "mesh-ingress"
	egressName  = "http-egress"
	tlsName     = "tls-egress" // TLS connections by their server name
	secretNode  = "node"
	secretTrust = "trust"
	pathHeader  = "x-catalyst-path"
	hopsPrefix  = "hops/"  // next hops, shared
	routePrefix = "route/" // the scope of a service, which has its routes or names them
	viaPrefix   = "via/"   // the routes of all services with the same next hops, behind the name of those
	scoutPrefix = "scout/" // a scope of nobody, which has Envoy ask for such routes before a service needs them
	// the workloads of an HTTP service, whatever its version, or one name for them and what backs them up
	httpPrefix   = "http/"
	tcpPrefix    = "tcp/"        // a TCP service, as it is reached by CONNECT
	workPrefix   = "workload/"   // the workload of a TCP service beside this node
	localPrefix  = "local/"      // the workloads of any other service beside this node, where it has backups
	tcpListeners = "tcp-egress/" // a TCP service's loopback port
	// A TCP service's own address and port. It is a listener apart: where another program has the port, that costs the
	// service this address and nothing else.
	dialListeners = "tcp-name/"
	workName      = "tcp-workloads"
)

// Compiler turns forwarding states into resources. It is not safe for concurrent use.
type Compiler struct {
	cfg      Config
	services map[bgp.Service]*compiled
	// owners counts, for each shared resource, the services that use it.
	owners map[Ref]int
	sent   map[Ref]string                       // versions
	most   struct{ services, owners, sent int } // that these maps have had
	roots  map[bgp.Org][]byte
	last   *lastHops // of this batch
	// peerOrgs are those whose nodes are next hops, or were: each has a secret of its own.
	peerOrgs map[bgp.Org]bool
	// wildcards are the patterns among the services, and absentees those that this node tells others of; see pattern.
	wildcards, absentees map[bgp.Service]bool
}

// compiled is what a service has in Envoy: resources of its own, and shared ones.
type compiled struct{ uses []Ref }

// NewCompiler returns a compiler that has compiled nothing.
func NewCompiler(cfg Config) *Compiler {
	if cfg.EgressIP == "" {
		cfg.EgressIP = "127.0.0.1"
	}
	cfg.Limits = cfg.Limits.withDefaults()
	cfg.Pings = cmp.Or(cfg.Pings, KeepaliveInterval)
	return &Compiler{cfg: cfg, services: map[bgp.Service]*compiled{}, owners: map[Ref]int{}, sent: map[Ref]string{},
		peerOrgs: map[bgp.Org]bool{cfg.Self.Org: true}, wildcards: map[bgp.Service]bool{}}
}

// Start returns the constant resources: secrets and listeners.
func (c *Compiler) Start(id Identity) (Delta, error) {
	d, err := c.Identity(id)
	if err != nil {
		return d, err
	}
	b := builder{c: c}
	listeners := []string{egressName}
	if c.cfg.Ingress != "" {
		listeners = append(listeners, ingressName)
		b.set(TypeExtension, guardName, extension(guardName, c.guard()))
		c.absent(&b)
	}
	if c.endsConnect() {
		b.set(TypeCluster, hopsPrefix+workName, c.workloadCluster())
		b.set(TypeListener, workName, c.workloadListener())
	}
	c.pattern(&b)
	if c.cfg.Policy != nil {
		b.set(TypeCluster, hopsPrefix+policyName, c.policyCluster())
	}
	if c.asksConnections() {
		b.set(TypeCluster, hopsPrefix+askedName, c.askedCluster())
		b.set(TypeListener, askedName, c.askedListener())
	}
	if c.cfg.Underway != "" && c.cfg.Ingress != "" {
		b.set(TypeCluster, hopsPrefix+underwayName, c.underwayCluster())
	}
	for _, name := range listeners {
		l, err := c.httpListener(name)
		if err != nil {
			return d, err
		}
		b.set(TypeListener, name, l)
	}
	if c.cfg.EgressTLS != "" {
		l, err := c.tlsListener()
		if err != nil {
			return d, err
		}
		b.set(TypeListener, tlsName, l)
	}
	c.relays(&b)
	if err := c.tunnels(&b); err != nil {
		return d, err
	}
	d.Set = append(d.Set, b.d.Set...)
	order(&d)
	return d, b.err
}

// endsConnect tells whether CONNECT streams end at workloads beside this node: those of other nodes, which come to the
// mesh ingress, or those of callers beside this node that are asked about.
func (c *Compiler) endsConnect() bool { return c.cfg.Ingress != "" || c.asksConnections() }

// Apply compiles the newest states of the changed services.
func (c *Compiler) Apply(change Change) (Delta, []Problem) {
	c.shrink()
	defer c.shrink()
	b := builder{c: c}
	var problems []Problem
	var dropped []Ref
	c.last = nil
	patterns := false
	for i := range change.Services {
		f := &change.Services[i]
		old := c.services[f.Service]
		next, err := c.service(&b, f)
		if err != nil {
			problems = append(problems, Problem{f.Service, err})
			continue
		}
		dropped = append(dropped, c.replace(f.Service, old, next)...)
		patterns = patterns || f.Service.IsWildcard()
	}
	if patterns {
		b.service, b.trace = "", bgp.Trace{}
		c.pattern(&b)
	}
	for _, ref := range dropped {
		if _, again := c.sent[ref]; again && c.owners[ref] == 0 {
			delete(c.sent, ref)
			b.d.Removed = append(b.d.Removed, ref)
		}
	}
	order(&b.d)
	return b.d, problems
}

// Has tells whether a service was compiled, and is not gone.
func (c *Compiler) Has(svc bgp.Service) bool { return c.services[svc] != nil }

// shrink gives back the room of services that are gone.
func (c *Compiler) shrink() {
	c.services = shrink.Map(c.services, &c.most.services)
	c.owners = shrink.Map(c.owners, &c.most.owners)
	c.sent = shrink.Map(c.sent, &c.most.sent)
}

// replace books what a service has now and returns what nobody uses any more.
func (c *Compiler) replace(svc bgp.Service, old, next *compiled) (dropped []Ref) {
	if svc.IsWildcard() {
		if c.wildcards[svc] = true; next == nil {
			delete(c.wildcards, svc)
		}
	}
	if next == nil {
		delete(c.services, svc)
		next = &compiled{}
	} else {
		c.services[svc] = next
	}
	for _, ref := range next.uses {
		c.owners[ref]++
	}
	if old == nil {
		return nil
	}
	for _, ref := range old.uses {
		if c.owners[ref]--; c.owners[ref] == 0 {
			delete(c.owners, ref)
			dropped = append(dropped, ref)
		}
	}
	return dropped
}

// service builds the resources of one service; nil if it is gone.
func (c *Compiler) service(b *builder, f *Forwarding) (*compiled, error) {
	if f.Gone() {
		return nil, nil
	}
	if f.Protocol == bgp.TCP && f.Service.IsWildcard() {
		return nil, errors.New("a TCP service is known by its own name, and not by a pattern")
	}
	if f.Protocol == bgp.TCP && f.Port == 0 {
		return nil, errors.New("a TCP service wants a local port")
	}
	b.service, b.trace = f.Service, f.Trace
	clusters, err := c.clusters(f)
	if err != nil {
		return nil, err
	}
	target := clusters[len(clusters)-1].GetName()
	var tcp []*listener.Listener
	if f.Protocol == bgp.TCP {
		tcp = c.tcpListeners(f)
	}
	out := &compiled{}
	c.trust(b, f)
	for _, cl := range clusters {
		if !c.last.again(cl) {
			b.set(TypeCluster, cl.GetName(), cl, needs(f, cl, clusters)...)
		}
		out.uses = append(out.uses, Ref{TypeCluster, cl.GetName()})
	}
	if f.Protocol != bgp.TCP || target == clusterName(f) {
		out.uses = append(out.uses, c.routes(b, f, target)...)
	}
	for _, l := range tcp {
		b.set(TypeListener, l.GetName(), l, c.tcpTarget(f))
		out.uses = append(out.uses, Ref{TypeListener, l.GetName()})
	}
	return out, b.err
}

// routes builds a service's scope, and what that names. A service with a workload beside the node has its routes in the
// scope. Those to next hops are shared, as those are: a scope is all that a service costs Envoy then, and naming other
// routes all that it takes to fail over.
func (c *Compiler) routes(b *builder, f *Forwarding, target string) []Ref {
	scope := scope(routePrefix+string(f.Service), string(f.Service))
	if own := c.ownRoutes(f, scope.GetName(), target); own != nil {
		c.aboutService(own, f.Service)
		scope.RouteConfiguration = c.warm(own, target, false)
		b.set(TypeScope, scope.GetName(), scope, target)
		return []Ref{{TypeScope, scope.GetName()}}
	}
	via := Ref{TypeRoute, viaPrefix + target}
	if f.Watched {
		via.Name = watchPrefix + target
	}
	ahead := Ref{TypeScope, scoutPrefix + via.Name}
	if c.sent[via] == "" { // its name says what is in it
		b.set(TypeScope, ahead.Name, scout(via.Name), target)
		routes := c.warm(c.serviceRoutes(f, via.Name, target), target, f.Watched)
		b.set(TypeRoute, via.Name, routes, target, ahead.Name)
	}
	scope.RouteConfigurationName = via.Name
	b.set(TypeScope, scope.GetName(), scope, target, ahead.Name, via.Name)
	return []Ref{ahead, via, {TypeScope, scope.GetName()}}
}

// ownRoutes are the routes of a service that shares them with no other: to its workload, or a cluster of its own. nil
// for any other.
func (c *Compiler) ownRoutes(f *Forwarding, name, target string) *route.RouteConfiguration {
	if at, ok := c.alone(f); ok {
		return c.besideRoutes(f, at)
	}
	if target != clusterName(f) {
		return nil
	}
	rc := c.serviceRoutes(f, name, target)
	if f.Protocol == bgp.TCP {
		services := rc.GetVirtualHosts()[0]
		services.Routes = append(services.Routes, c.notHTTP(f))
	}
	return rc
}

func (c *Compiler) serviceRoutes(f *Forwarding, name, target string) *route.RouteConfiguration {
	var runs []run // of a cluster of the service's own
	if target == clusterName(f) {
		runs = f.runs()
	}
	rc := c.routesTo(name, f.Protocol, target, runs)
	if c.anyTunnelled(f.Tiers) {
		return retryElsewhere(rc)
	}
	if parts := f.runs(); len(parts) > 1 || len(f.Tiers) > 1 {
		retryNextTier(rc, parts[0])
	} else if !several(f.Tiers) {
		retryOnce(rc)
		return rc
	}
	if len(runs) == 0 {
		return idempotentElsewhere(rc)
	}
	return rc
}

// Needed returns the resource that one needs by this name: routes, the scope that has Envoy ask for them, or a cluster.
func Needed(name string) Ref {
	switch {
	case strings.HasPrefix(name, viaPrefix):
		return Ref{TypeRoute, name}
	case strings.HasPrefix(name, scoutPrefix):
		return Ref{TypeScope, name}
	}
	return Ref{TypeCluster, name}
}

// Scouted returns the routes for which Envoy asks because of a scope of this name; false if it is a service's.
func Scouted(name string) (Ref, bool) {
	routes, ok := strings.CutPrefix(name, scoutPrefix)
	return Ref{TypeRoute, routes}, ok
}

// needs returns what a service's cluster needs: its name stands on all the others.
func needs(f *Forwarding, cl *cluster.Cluster, all []*cluster.Cluster) []string {
	if cl.GetName() != clusterName(f) {
		return nil
	}
	return slices.DeleteFunc(clusterNames(all), func(n string) bool { return n == cl.GetName() })
}

func clusterNames(all []*cluster.Cluster) []string {
	names := make([]string, 0, len(all))
	for _, cl := range all {
		names = append(names, cl.GetName())
	}
	return names
}

// clusterName is the cluster of a service's own, if it has one.
func clusterName(f *Forwarding) string {
	if f.Protocol == bgp.TCP {
		return tcpPrefix + string(f.Service)
	}
	return httpPrefix + string(f.Service)
}

// clusters returns what a service needs, last of them where its traffic goes: its workloads beside this node, its
// next hops, or, where there are both or a TCP listener has to keep its target, one name for them in order of
// preference. Next hops are shared by all services with the same ones and named by their content, so that they are
// never edited, and neither are their connections.
func (c *Compiler) clusters(f *Forwarding) ([]*cluster.Cluster, error) {
	if len(f.Tiers) == 0 {
		return []*cluster.Cluster{c.downCluster(f)}, nil
	}
	if _, ok := c.alone(f); ok {
		return []*cluster.Cluster{c.besideCluster(besideName(f.Protocol))}, nil
	}
	local, runs := f.local(), f.runs()
	tcp := f.Protocol == bgp.TCP
	var all []*cluster.Cluster
	switch {
	case len(local) == 0:
	case tcp: // a stream comes to it as a CONNECT, from applications here and from other nodes, and ends there
		work, err := c.localCluster(f, workPrefix+string(f.Service), local, false)
		if err != nil || !c.endsConnect() {
			return []*cluster.Cluster{work}, err
		}
		if all = append(all, work); len(runs) == 1 {
			return append(all, c.alias(clusterName(f), hopsPrefix+workName)), nil
		}
	case len(runs) == 1: // one cluster is enough
		cl, err := c.localCluster(f, clusterName(f), local, false)
		return []*cluster.Cluster{cl}, err
	}
	var names []string
	for n, r := range runs {
		build := func(tiers [][]Target) (*cluster.Cluster, error) { return c.hops(tiers, len(runs) > 1) }
		if r.local {
			name := localPrefix + string(f.Service)
			if slices.Contains(names, name) {
				continue // it has all workloads
			}
			backups := n < len(runs)-1
			build = func([][]Target) (*cluster.Cluster, error) {
				if tcp {
					return c.endingCluster(name, backups), nil
				}
				return c.localCluster(f, name, local, backups)
			}
		}
		cl, err := build(r.tiers)
		if err != nil {
			return nil, err
		}
		all, names = append(all, cl), append(names, cl.GetName())
	}
	if !tcp && len(all) == 1 {
		return all, nil
	}
	return append(all, c.alias(clusterName(f), names...)), nil
}

// lastHops are the next hops that were compiled last, and whether they are in the batch. Services that change together
// most often have the same, and to make and encode a cluster is most of what such a service costs.
type lastHops struct {
	tiers   [][]Target
	others  bool
	cluster *cluster.Cluster
	set     bool
}

// again tells whether a cluster is that of the last next hops, and is in the batch already. If it is theirs, it is in
// the batch from now on.
func (l *lastHops) again(cl *cluster.Cluster) bool {
	if l == nil || l.cluster != cl {
		return false
	}
	was := l.set
	l.set = true
	return was
}

// hops is hopCluster, for which it remembers the last answer in a batch.
func (c *Compiler) hops(tiers [][]Target, others bool) (*cluster.Cluster, error) {
	if c.last != nil && c.last.others == others && slices.EqualFunc(c.last.tiers, tiers, slices.Equal[[]Target]) {
		return c.last.cluster, nil
	}
	cl, err := c.hopCluster(tiers, others)
	if err == nil {
		c.last = &lastHops{tiers: tiers, others: others, cluster: cl}
	}
	return cl, err
}

// contentName names a message by what is in it.
func contentName(prefix string, m proto.Message) (string, error) {
	raw, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(raw)
	return prefix + hex.EncodeToString(sum[:10]), nil
}

type builder struct {
	c       *Compiler
	d       Delta
	err     error
	service bgp.Service
	trace   bgp.Trace
}

// set adds a resource unless Envoy has this very version.
func (b *builder) set(typeURL, name string, m proto.Message, needs ...string) {
	raw, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
	if err == nil {
		err = closed(typeURL, name, raw)
	}
	if err != nil {
		b.err = errors.Join(b.err, fmt.Errorf("encode %s: %w", name, err))
		return
	}
	sum := sha256.Sum256(raw)
	version := hex.EncodeToString(sum[:8])
	ref := Ref{typeURL, name}
	if b.c.sent[ref] == version {
		return
	}
	b.c.sent[ref] = version
	b.d.Set = append(b.d.Set, Resource{
		Type:    typeURL,
		Name:    name,
		Version: version,
		Body:    raw,
		Needs:   needs,
		Service: b.service,
		Trace:   b.trace,
	})
}

// order sorts a delta so that what is named comes before what names it, and goes after it.
func order(d *Delta) {
	slices.SortStableFunc(d.Set, func(a, b Resource) int {
		return cmp.Or(cmp.Compare(Order(a.Type), Order(b.Type)), naming(a.Name)-naming(b.Name))
	})
	slices.SortStableFunc(d.Removed, func(a, b Ref) int {
		return cmp.Or(cmp.Compare(Order(b.Type), Order(a.Type)), naming(b.Name)-naming(a.Name),
			strings.Compare(a.Name, b.Name))
	})
}

// CompareNames orders resources of one type so that what is named comes before what names it: Envoy adds them one by
// one, and a service's name that comes before its workloads would send to its backups meanwhile.
func CompareNames(a, b string) int {
	return cmp.Or(naming(a)-naming(b), strings.Compare(a, b))
}

// IsNamed tells whether other resources name one of this name.
func IsNamed(name string) bool { return naming(name) == 0 }

// IsShared tells whether a resource of this name belongs to no service alone.
func IsShared(name string) bool { return begins(name, hopsPrefix, viaPrefix, scoutPrefix) }

// naming is 0 for a cluster of next hops or workloads, which others name, or what has Envoy ask for routes, and 1 for
// the others.
func naming(name string) int {
	if begins(name, hopsPrefix, localPrefix, workPrefix, scoutPrefix) {
		return 0
	}
	return 1
}

func begins(name string, prefixes ...string) bool {
	return slices.ContainsFunc(prefixes, func(prefix string) bool { return strings.HasPrefix(name, prefix) })
}

// NamesOf returns the names that resources of a type have for a service, whether or not they exist.
func NamesOf(typeURL string, svc bgp.Service) []string {
	switch typeURL {
	case TypeListener:
		return []string{tcpListeners + string(svc), dialListeners + string(svc)}
	case TypeCluster:
		return []string{httpPrefix + string(svc), tcpPrefix + string(svc), workPrefix + string(svc),
			localPrefix + string(svc)}
	case TypeScope:
		return []string{routePrefix + string(svc)}
	}
	return nil
}

// LocalPort returns the TCP service that a listener is for, and its port; false for any other resource.
func LocalPort(r *Resource) (bgp.Service, uint16, bool) {
	name, ok := strings.CutPrefix(r.Name, tcpListeners)
	var l listener.Listener
	if !ok || r.Type != TypeListener || proto.Unmarshal(r.Body, &l) != nil {
		return "", 0, false
	}
	port := l.GetAddress().GetSocketAddress().GetPortValue()
	return bgp.Service(name), uint16(port), port > 0 && port <= math.MaxUint16
}

// DialName is the listener of a TCP service's own address.
func DialName(svc bgp.Service) Ref { return Ref{TypeListener, dialListeners + string(svc)} }

// Dialled returns the TCP service whose own address a listener is named for; false for any other resource.
func Dialled(ref Ref) (bgp.Service, bool) {
	name, ok := strings.CutPrefix(ref.Name, dialListeners)
	return bgp.Service(name), ok && ref.Type == TypeListener
}

// DialAddress returns the TCP service whose own address a listener is at, and which; false for any other resource.
func DialAddress(r *Resource) (bgp.Service, netip.AddrPort, bool) {
	svc, ok := Dialled(Ref{r.Type, r.Name})
	var l listener.Listener
	if !ok || proto.Unmarshal(r.Body, &l) != nil {
		return "", netip.AddrPort{}, false
	}
	at := l.GetAddress().GetSocketAddress()
	ip, err := netip.ParseAddr(at.GetAddress())
	if err != nil || at.GetPortValue() == 0 || at.GetPortValue() > math.MaxUint16 {
		return "", netip.AddrPort{}, false
	}
	return svc, netip.AddrPortFrom(ip, uint16(at.GetPortValue())), true
}

// Targets returns the clusters that a resource sends to, or stands for, and the routes that it names; nil for one
// that stands for itself.
func Targets(r *Resource) []Ref {
	var names []string
	switch r.Type {
	case TypeCluster:
		var cl cluster.Cluster
		var agg aggregate.ClusterConfig
		if proto.Unmarshal(r.Body, &cl) != nil || cl.GetClusterType() == nil ||
			cl.GetClusterType().GetTypedConfig().UnmarshalTo(&agg) != nil {
			return nil
		}
		names = agg.GetClusters()
	case TypeScope:
		names = r.Needs
	}
	var refs []Ref
	for _, n := range names {
		if ref := Needed(n); ref.Type != TypeScope { // a scout serves nobody
			refs = append(refs, ref)
		}
	}
	return refs
}
