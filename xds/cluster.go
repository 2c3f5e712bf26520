package xds

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	cluster "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpoint "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	aggregate "github.com/envoyproxy/go-control-plane/envoy/extensions/clusters/aggregate/v3"
	tls "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	upstreams "github.com/envoyproxy/go-control-plane/envoy/extensions/upstreams/http/v3"
	matcher "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/catalyst-router/catalyst/bgp"
)

const (
	connectTimeout = 2 * time.Second
	// sniMesh is what a node says that it wants of another's ingress: TLS wants a name, and the certificate is told
	// apart by its URI.
	sniMesh = "mesh.catalyst.internal"
	// matchKey is where Envoy looks for the transport socket of an endpoint.
	matchKey = "envoy.transport_socket_match"
	// metadataKey is where this compiler's own metadata are.
	metadataKey = "catalyst"
	maxNamed    = 5 // nodes of an answer
	// ejectionInterval is how often Envoy looks whether a target was reached, ejectionTime how long it leaves one that was
	// not; that time grows when it happens again.
	ejectionInterval = 500 * time.Millisecond
	ejectionTime     = time.Second
)

// localCluster holds the workloads of a service beside this node. Where there are backups, one that takes no
// connections is left for them at once; their node's own checks take it out of the routes a little later.
func (c *Compiler) localCluster(f *Forwarding, name string, targets []Target, backups bool) (*cluster.Cluster, error) {
	cl := &cluster.Cluster{
		Name:                          name,
		ConnectTimeout:                c.patience(len(f.runs()) > 1 || len(targets) > 1),
		ClusterDiscoveryType:          &cluster.Cluster_Type{Type: cluster.Cluster_STATIC},
		CircuitBreakers:               c.workloadBreakers(),
		CommonLbConfig:                balance(),
		PerConnectionBufferLimitBytes: wrapperspb.UInt32(localBuffer),
	}
	group := &endpoint.LocalityLbEndpoints{}
	for _, t := range targets {
		ep, named, err := c.endpoint(t.Backend.Address, t)
		if err != nil {
			return nil, err
		}
		if named {
			byName(cl)
		}
		if err := alternative(ep, t.Backend.Other); err != nil {
			return nil, err
		}
		group.LbEndpoints = append(group.LbEndpoints, ep)
	}
	if backups || len(targets) > 1 {
		cl.OutlierDetection = outliers()
	}
	if f.TLS != nil {
		cl.TransportSocket = workloadTLS(f)
	}
	cl.LoadAssignment = &endpoint.ClusterLoadAssignment{
		ClusterName: name,
		Endpoints:   []*endpoint.LocalityLbEndpoints{group},
	}
	switch f.Protocol {
	case bgp.HTTP2, bgp.GRPC:
		// No pings: a gRPC workload ends the connection of a client that pings more than once in 5 minutes (grpc-go's
		// default), calls included.
		options := c.http2Options(hopStreams, nil)
		if f.Idle > 0 {
			options.CommonHttpProtocolOptions.IdleTimeout = durationpb.New(f.Idle)
		}
		cl.TypedExtensionProtocolOptions = map[string]*anypb.Any{httpOptions: toAny(options)}
	case bgp.HTTP, bgp.GraphQL:
		cl.TypedExtensionProtocolOptions = c.http1Upstream(cmp.Or(f.Idle, c.before(f.Kept)))
	case bgp.TCP:
	}
	return cl, nil
}

// downCluster is the name of a service that is announced and has no target. It has no endpoints, and its metadata say
// whose workload is down (see localReplies).
func (c *Compiler) downCluster(f *Forwarding) *cluster.Cluster {
	nodes := make([]string, 0, len(f.Down))
	for _, n := range f.Down[:min(len(f.Down), maxNamed)] {
		nodes = append(nodes, n.String())
	}
	if more := len(f.Down) - maxNamed; more > 0 {
		nodes = append(nodes, fmt.Sprintf("and %d more", more))
	}
	name := clusterName(f)
	return &cluster.Cluster{
		Name:                          name,
		ConnectTimeout:                durationpb.New(connectTimeout),
		ClusterDiscoveryType:          &cluster.Cluster_Type{Type: cluster.Cluster_STATIC},
		TypedExtensionProtocolOptions: c.meshUpstream(),
		CommonLbConfig:                balance(),
		LoadAssignment:                &endpoint.ClusterLoadAssignment{ClusterName: name},
		Metadata: &core.Metadata{FilterMetadata: map[string]*structpb.Struct{metadataKey: {Fields: map[string]*structpb.Value{
			"down": structpb.NewStringValue(" Its workload is down, says " + strings.Join(nodes, ", ") + ".")}}}},
	}
}

// before is how long Envoy keeps an idle connection to an HTTP/1 workload that says how long it keeps it itself (0 if
// it does not say): a fifth less, as 4 s are of the 5 s of common servers, and never longer than to others.
func (c *Compiler) before(kept time.Duration) time.Duration {
	if kept == 0 {
		return c.cfg.Limits.WorkloadIdle
	}
	return min(kept*4/5, c.cfg.Limits.WorkloadIdle)
}

// patience is how long a try to connect lasts, TLS included. A request is tried twice at its only target and four
// times where there are others (see forward), so that it waits for as long in all, whatever is dead.
func (c *Compiler) patience(others bool) *durationpb.Duration {
	if others {
		return durationpb.New(c.cfg.Limits.Connect / 2)
	}
	return durationpb.New(c.cfg.Limits.Connect)
}

// hopCluster holds the mesh ingresses of the next hops, by priority; others tells whether the service has other
// targets besides. Each endpoint's certificate has to be that of its node.
func (c *Compiler) hopCluster(tiers [][]Target, others bool) (*cluster.Cluster, error) {
	cl := &cluster.Cluster{
		ConnectTimeout:                c.patience(others || several(tiers)),
		ClusterDiscoveryType:          &cluster.Cluster_Type{Type: cluster.Cluster_STATIC},
		TypedExtensionProtocolOptions: c.hopOptions(tiers),
		CircuitBreakers:               c.hopBreakers(),
		CommonLbConfig:                balance(),
		PerConnectionBufferLimitBytes: wrapperspb.UInt32(meshBuffer),
		LoadAssignment:                &endpoint.ClusterLoadAssignment{},
	}
	if several(tiers) {
		cl.OutlierDetection = outliers()
	}
	var nodes []bgp.NodeID
	var site bgp.NodeID // one of those that are reached by tunnels
	for priority, tier := range tiers {
		group := &endpoint.LocalityLbEndpoints{Priority: uint32(priority)}
		for _, t := range tier {
			if c.tunnelled(&t) {
				group.LbEndpoints = append(group.LbEndpoints, c.tunnelEndpoint(t))
				site = t.NextHop.Node
				continue
			}
			if t.NextHop.Address == "" {
				return nil, fmt.Errorf("next hop %s has no ingress address: set ingress in its configuration", t.NextHop.Node)
			}
			ep, named, err := c.endpoint(t.NextHop.Address, t)
			if err != nil {
				return nil, fmt.Errorf("next hop %s: %w", t.NextHop.Node, err)
			}
			if named {
				byName(cl)
			}
			ep.Metadata = &core.Metadata{FilterMetadata: map[string]*structpb.Struct{matchKey: nodeMatch(t.NextHop.Node)}}
			if c.anyTunnelled(tiers) {
				ep.GetEndpoint().HealthCheckConfig = &endpoint.Endpoint_HealthCheckConfig{DisableActiveHealthCheck: true}
			}
			group.LbEndpoints = append(group.LbEndpoints, ep)
			if !slices.Contains(nodes, t.NextHop.Node) {
				nodes = append(nodes, t.NextHop.Node)
			}
		}
		cl.LoadAssignment.Endpoints = append(cl.LoadAssignment.Endpoints, group)
	}
	for _, n := range nodes {
		cl.TransportSocketMatches = append(cl.TransportSocketMatches, &cluster.Cluster_TransportSocketMatch{
			Name: n.String(), Match: nodeMatch(n), TransportSocket: upstreamTLS(n),
		})
	}
	switch {
	case site == bgp.NodeID{}:
	case cl.GetType() == cluster.Cluster_STRICT_DNS: // in which Envoy takes no Unix socket
		return nil, fmt.Errorf("next hop %s is reached by its tunnels, another by a DNS name: one service cannot have both. "+
			"Let the other advertise its ingress by IP address", site)
	default:
		cl.TransportSocketMatches = append(cl.TransportSocketMatches, relayTransport())
		cl.HealthChecks = relayChecks()
	}
	// An endpoint that matches none must not be spoken to in clear.
	cl.TransportSocket = c.nobody()
	name, err := contentName(hopsPrefix, cl)
	if err != nil {
		return nil, err
	}
	cl.Name, cl.LoadAssignment.ClusterName = name, name
	return cl, nil
}

// several tells whether there is more than one target: the only one is not left, since that helps nobody.
func several(tiers [][]Target) bool {
	return len(tiers) > 1 || len(tiers) == 1 && len(tiers[0]) > 1
}

// workloadCluster leads to the listener of this Envoy that ends CONNECT streams, for all TCP services that have no
// other way.
func (c *Compiler) workloadCluster() *cluster.Cluster {
	return c.endingCluster(hopsPrefix+workName, false)
}

// endingCluster leads to the listener of this Envoy that ends CONNECT streams. Where a service has backups it has one
// of its own: a workload that takes no connections is a CONNECT that is answered 503, and after two of them the
// stream goes to the backups.
func (c *Compiler) endingCluster(name string, backups bool) *cluster.Cluster {
	cl := c.toItself(name, c.cfg.Socket)
	if backups {
		cl.CommonLbConfig, cl.OutlierDetection = balance(), outliers()
		cl.OutlierDetection.ConsecutiveGatewayFailure, cl.OutlierDetection.EnforcingConsecutiveGatewayFailure = wrapperspb.UInt32(2), wrapperspb.UInt32(100)
	}
	return cl
}

func pipe(path string) *core.Address {
	return &core.Address{Address: &core.Address_Pipe{Pipe: &core.Pipe{Path: path, Mode: 0o600}}}
}

// toItself leads to a listener of this Envoy (see fromItself).
func (c *Compiler) toItself(name, socket string) *cluster.Cluster {
	return &cluster.Cluster{
		Name:                          name,
		ConnectTimeout:                durationpb.New(connectTimeout),
		ClusterDiscoveryType:          &cluster.Cluster_Type{Type: cluster.Cluster_STATIC},
		TypedExtensionProtocolOptions: c.http2Upstream(c.pings()), CircuitBreakers: c.endingBreakers(),
		PerConnectionBufferLimitBytes: wrapperspb.UInt32(localBuffer),
		LoadAssignment: &endpoint.ClusterLoadAssignment{
			ClusterName: name,
			Endpoints: []*endpoint.LocalityLbEndpoints{{LbEndpoints: []*endpoint.LbEndpoint{{
				HostIdentifier: &endpoint.LbEndpoint_Endpoint{Endpoint: &endpoint.Endpoint{Address: pipe(socket)}},
			}}}},
		},
	}
}

// alias is a service's name for clusters in order of preference: an aggregate, for a TCP service most often of one
// (Envoy's docs, "Aggregate cluster"). It has no endpoints and no TLS of its own; hosts, their health and the
// connections to them are those of the clusters that it names. Envoy tells each of them of every cluster that comes
// or goes, so that only those services have one that need it.
func (c *Compiler) alias(name string, targets ...string) *cluster.Cluster {
	return &cluster.Cluster{
		Name: name, ConnectTimeout: durationpb.New(connectTimeout), LbPolicy: cluster.Cluster_CLUSTER_PROVIDED,
		ClusterDiscoveryType: &cluster.Cluster_ClusterType{ClusterType: &cluster.Cluster_CustomClusterType{
			Name: "envoy.clusters.aggregate", TypedConfig: toAny(&aggregate.ClusterConfig{Clusters: targets})}},
		TypedExtensionProtocolOptions: c.http2Upstream(c.pings()), CircuitBreakers: c.hopBreakers(), CommonLbConfig: balance(),
	}
}

// endpoint returns an endpoint and whether its host is a name to be resolved.
func (c *Compiler) endpoint(address string, t Target) (*endpoint.LbEndpoint, bool, error) {
	at, err := bgp.ParseEndpoint(address)
	if err != nil {
		return nil, false, fmt.Errorf("address: %w", err)
	}
	_, isIP := at.IP()
	return endpointOf(socketAddress(at.Host, at.Port), t), !isIP, nil
}

// endpointOf is a target at an address.
func endpointOf(at *core.Address, t Target) *endpoint.LbEndpoint {
	weight := t.Weight
	if weight == 0 {
		weight = 100
	}
	status := core.HealthStatus_UNKNOWN
	if t.Draining {
		status = core.HealthStatus_DRAINING
	}
	return &endpoint.LbEndpoint{
		HostIdentifier: &endpoint.LbEndpoint_Endpoint{Endpoint: &endpoint.Endpoint{Address: at}},
		HealthStatus:   status, LoadBalancingWeight: wrapperspb.UInt32(weight),
	}
}

// nobody is a node of this organisation that no certificate names: a node's name has no underscore.
func (c *Compiler) nobody() *core.TransportSocket {
	return upstreamTLS(bgp.NodeID{Org: c.cfg.Self.Org, Name: "_nobody"})
}

// byName has Envoy look the hosts of a cluster up, in both families: by default it takes IPv6 where there is any, and
// a host that listens on IPv4 alone is never reached. An address that does not answer is left for the others by
// retries and by outlier detection.
func byName(cl *cluster.Cluster) {
	cl.ClusterDiscoveryType = &cluster.Cluster_Type{Type: cluster.Cluster_STRICT_DNS}
	cl.DnsLookupFamily = cluster.Cluster_ALL
}

// alternative gives an endpoint a second address, which Envoy tries when the first does not answer (RFC 8305).
func alternative(ep *endpoint.LbEndpoint, address string) error {
	if address == "" {
		return nil
	}
	at, err := bgp.ParseEndpoint(address)
	if err != nil {
		return fmt.Errorf("other address: %w", err)
	}
	ep.GetEndpoint().AdditionalAddresses = []*endpoint.Endpoint_AdditionalAddress{{Address: socketAddress(at.Host,
		at.Port)}}
	return nil
}

func nodeMatch(n bgp.NodeID) *structpb.Struct {
	return &structpb.Struct{Fields: map[string]*structpb.Value{"node": structpb.NewStringValue(n.String())}}
}

// upstreamTLS accepts the certificate of one node, or of its Envoys, and nothing else.
func upstreamTLS(n bgp.NodeID) *core.TransportSocket {
	return transportSocket(&tls.UpstreamTlsContext{
		Sni: sniMesh,
		CommonTlsContext: &tls.CommonTlsContext{
			AlpnProtocols:                  []string{"h2"},
			TlsParams:                      tls13(),
			TlsCertificateSdsSecretConfigs: []*tls.SdsSecretConfig{sds(secretNode)},
			ValidationContextType: &tls.CommonTlsContext_CombinedValidationContext{CombinedValidationContext: &tls.CommonTlsContext_CombinedCertificateValidationContext{
				DefaultValidationContext:         &tls.CertificateValidationContext{MatchTypedSubjectAltNames: dataPlaneOf(n)},
				ValidationContextSdsSecretConfig: sds(trustOf(n.Org)),
			}},
		},
	})
}

// tls13 sets both bounds: as a client Envoy stops at 1.2 unless told otherwise.
func tls13() *tls.TlsParameters {
	return &tls.TlsParameters{
		TlsMinimumProtocolVersion: tls.TlsParameters_TLSv1_3, TlsMaximumProtocolVersion: tls.TlsParameters_TLSv1_3,
		EcdhCurves: []string{"X25519MLKEM768", "X25519"},
	}
}

// outliers leaves a target to which not one connection or stream was begun in half a second, where at least one was
// tried: one that takes no connections, or does not answer. Envoy counts a stream that the other side resets as a
// failure to reach it, as it counts a CONNECT that is answered 503 (findings/envoy-resets-are-local-failures.sh), and
// so counts in a row eject a next hop for what lies behind it. A stream that begins is a success: a next hop that is
// reached never fails wholly, unless its streams are reset in a half second in which nobody asks it for anything else.
func outliers() *cluster.OutlierDetection {
	never := wrapperspb.UInt32(0)
	return &cluster.OutlierDetection{
		SplitExternalLocalOriginErrors: true,
		FailurePercentageThreshold:     wrapperspb.UInt32(100), EnforcingFailurePercentageLocalOrigin: wrapperspb.UInt32(100),
		FailurePercentageMinimumHosts: wrapperspb.UInt32(1), FailurePercentageRequestVolume: wrapperspb.UInt32(1),
		EnforcingConsecutiveLocalOriginFailure: never, EnforcingConsecutive_5Xx: never,
		EnforcingConsecutiveGatewayFailure: never, EnforcingSuccessRate: never, EnforcingLocalOriginSuccessRate: never,
		Interval: durationpb.New(ejectionInterval), BaseEjectionTime: durationpb.New(ejectionTime),
		MaxEjectionTime: durationpb.New(30 * time.Second), MaxEjectionPercent: wrapperspb.UInt32(100),
	}
}

// balance leaves a tier whose targets are all dead at once for the next, instead of spreading traffic over the dead;
// where every target of every tier is left, all are tried: a call to nobody is lost for certain. (Envoy calls that
// panic; at 1 % it begins when none is left.) Workers are told of each change of a target's health when it happens: by
// default Envoy collects changes for a second, in which a target that is back gets nothing although the others have
// just died (decision 0020).
func balance() *cluster.Cluster_CommonLbConfig {
	return &cluster.Cluster_CommonLbConfig{
		HealthyPanicThreshold: &typev3.Percent{Value: 1}, UpdateMergeWindow: durationpb.New(0),
	}
}

const httpOptions = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"

// http2Upstream has Envoy speak HTTP/2 with the targets of a cluster.
func (c *Compiler) http2Upstream(keepalive *core.KeepaliveSettings) map[string]*anypb.Any {
	return map[string]*anypb.Any{httpOptions: toAny(c.http2Options(hopStreams, keepalive))}
}

// meshUpstream has Envoy speak HTTP/2 with another node's, over connections that are found out to be gone and that are
// left for new ones when they are too old: whichever end has the shorter bound begins.
func (c *Compiler) meshUpstream() map[string]*anypb.Any {
	return map[string]*anypb.Any{httpOptions: toAny(c.meshOptions())}
}

func (c *Compiler) meshOptions() *upstreams.HttpProtocolOptions {
	options := c.http2Options(hopStreams, c.pings())
	if d := c.cfg.Limits.MeshConnection; d > 0 {
		options.CommonHttpProtocolOptions.MaxConnectionDuration = durationpb.New(d)
	}
	return options
}

func (c *Compiler) http2Options(streams uint32, keepalive *core.KeepaliveSettings) *upstreams.HttpProtocolOptions {
	options := c.http2(streams)
	options.ConnectionKeepalive = keepalive
	return c.upstream(&core.HttpProtocolOptions{}, &upstreams.HttpProtocolOptions_ExplicitHttpConfig{
		ProtocolConfig: &upstreams.HttpProtocolOptions_ExplicitHttpConfig_Http2ProtocolOptions{Http2ProtocolOptions: options}})
}

// pings finds out that the other node's Envoy is gone where nothing else would.
func (c *Compiler) pings() *core.KeepaliveSettings {
	return &core.KeepaliveSettings{Interval: durationpb.New(c.cfg.Pings), Timeout: durationpb.New(KeepaliveTimeout)}
}

// http1Upstream has Envoy speak HTTP/1.1 with the workloads of a cluster, over connections that it leaves when they are
// idle for so long.
func (c *Compiler) http1Upstream(idle time.Duration) map[string]*anypb.Any {
	options := &core.HttpProtocolOptions{IdleTimeout: durationpb.New(idle)}
	return map[string]*anypb.Any{httpOptions: toAny(c.upstream(options, &upstreams.HttpProtocolOptions_ExplicitHttpConfig{
		ProtocolConfig: &upstreams.HttpProtocolOptions_ExplicitHttpConfig_HttpProtocolOptions{
			HttpProtocolOptions: &core.Http1ProtocolOptions{EnableTrailers: true},
		}}))}
}

func (c *Compiler) upstream(
	options *core.HttpProtocolOptions, protocol *upstreams.HttpProtocolOptions_ExplicitHttpConfig,
) *upstreams.HttpProtocolOptions {
	options.MaxResponseHeadersKb, options.MaxHeadersCount = wrapperspb.UInt32(c.cfg.Limits.HeaderKiB),
		wrapperspb.UInt32(maxHeaders)
	return &upstreams.HttpProtocolOptions{
		CommonHttpProtocolOptions: options,
		UpstreamProtocolOptions:   &upstreams.HttpProtocolOptions_ExplicitHttpConfig_{ExplicitHttpConfig: protocol},
	}
}

func transportSocket(ctx proto.Message) *core.TransportSocket {
	return &core.TransportSocket{
		Name:       "envoy.transport_sockets.tls",
		ConfigType: &core.TransportSocket_TypedConfig{TypedConfig: toAny(ctx)},
	}
}

func sds(name string) *tls.SdsSecretConfig {
	source := adsSource()
	source.InitialFetchTimeout = durationpb.New(5 * time.Second)
	return &tls.SdsSecretConfig{Name: name, SdsConfig: source}
}

func adsSource() *core.ConfigSource {
	return &core.ConfigSource{
		ResourceApiVersion:    core.ApiVersion_V3,
		ConfigSourceSpecifier: &core.ConfigSource_Ads{Ads: &core.AggregatedConfigSource{}},
	}
}

func inline(b []byte) *core.DataSource {
	return &core.DataSource{Specifier: &core.DataSource_InlineBytes{InlineBytes: b}}
}

func extension(name string, m proto.Message) *core.TypedExtensionConfig {
	return &core.TypedExtensionConfig{Name: name, TypedConfig: toAny(m)}
}

func socketAddress(host string, port uint16) *core.Address {
	return &core.Address{
		Address: &core.Address_SocketAddress{
			SocketAddress: &core.SocketAddress{
				Address:       host,
				PortSpecifier: &core.SocketAddress_PortValue{PortValue: uint32(port)},
			},
		},
	}
}

func exactly(s string) *matcher.StringMatcher {
	return &matcher.StringMatcher{MatchPattern: &matcher.StringMatcher_Exact{Exact: s}}
}

// toAny packs a message deterministically. It cannot fail: every message here is built above, of valid UTF-8.
func toAny(m proto.Message) *anypb.Any {
	a := new(anypb.Any)
	if err := anypb.MarshalFrom(a, m, proto.MarshalOptions{Deterministic: true}); err != nil {
		panic(fmt.Sprintf("xds: pack %T: %v", m, err))
	}
	return a
}
