package xds

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	accesslog "github.com/envoyproxy/go-control-plane/envoy/config/accesslog/v3"
	cluster "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	mutation "github.com/envoyproxy/go-control-plane/envoy/config/common/mutation_rules/v3"
	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpoint "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	listener "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	route "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	reverse "github.com/envoyproxy/go-control-plane/envoy/extensions/clusters/reverse_connection/v3"
	headers "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/header_mutation/v3"
	router "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/router/v3"
	codec "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/upstream_codec/v3"
	inspector "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/listener/tls_inspector/v3"
	hcm "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	tunnelfilter "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/reverse_tunnel/v3"
	raw "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/raw_buffer/v3"
	tls "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	upstreams "github.com/envoyproxy/go-control-plane/envoy/extensions/upstreams/http/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/catalyst-router/catalyst/bgp"
)

// A site behind NAT can dial out and cannot be dialled. Its Envoy opens connections to the mesh ingress of a peer and
// leaves them open; the peer's Envoy sends requests back over them, HTTP/2 as over any connection to a next hop
// (Envoy's docs, "Reverse tunnels"). In this file, the site is the node that opens tunnels and the hub is the one
// that takes them:
//
//	site s                                            hub h
//	listener tunnel/ORG/h  rc://ID(s)@tunnel/ORG/h ──▶ mesh-ingress, filter chain for the server name of s
//	                       ◀── HTTP/2 requests ─────   cluster hops/HASH ▶ Unix socket ▶ cluster tunnel/from/ORG/s, of type reverse_connection
//
// Whose tunnel it is, is what the certificate says: the chain for the server name of s takes the certificate of s
// alone, and in it the name that s gives itself in Envoy's own handshake has to be ID(s). Somebody else who asks for
// that server name fails in TLS, and s cannot give itself another name.
const (
	tunnelPrefix = "tunnel/" // the listener and the cluster by which a site reaches a hub
	tunnelDomain = ".tunnel.catalyst.internal"
	// tunnelCount is how many connections a site holds to a hub for each of its Envoy's workers. Each worker of the
	// hub's Envoy takes one, and gives it to nobody else.
	tunnelCount = 16
	// tunnelPing is how often a hub looks whether a tunnel that carries nothing is alive. Three in a row that fail end it.
	tunnelPing = 2 * time.Second
	// noTunnelHeader is in an answer that a relay makes itself. Its value says what has become of the request.
	noTunnelHeader = "x-catalyst-no-tunnel"
	notSent        = "1"    // there was no tunnel
	maybeSent      = "lost" // the tunnel ended before it had answered
)

// tunnelID names a site in Envoy's handshake and as a server name: letters and digits, since colons separate what
// Envoy reads, and a hash, since "a.b" of "c" and "a" of "b.c" must not be the same.
func tunnelID(n bgp.NodeID) string {
	sum := sha256.Sum256([]byte(n.URI()))
	return "n" + hex.EncodeToString(sum[:12])
}

func tunnelServerName(site bgp.NodeID) string { return tunnelID(site) + tunnelDomain }

// tunnels are a site's resources for the hubs that it dials.
func (c *Compiler) tunnels(b *builder) error {
	for _, hub := range c.cfg.TunnelsTo {
		if hub.Node.Org != c.cfg.Self.Org {
			return fmt.Errorf("tunnel to %s: want a node of %s, because what another organisation may reach is judged by "+
				"the certificate that it shows, "+
				"and none is shown over a tunnel", hub.Node, c.cfg.Self.Org)
		}
		cl, err := c.tunnelCluster(hub)
		if err != nil {
			return err
		}
		c.trustOrg(b, hub.Node.Org)
		b.set(TypeCluster, cl.GetName(), cl)
		l := c.tunnelListener(hub)
		b.set(TypeListener, l.GetName(), l, cl.GetName())
	}
	return nil
}

// tunnelCluster is the hub's mesh ingress, as a site dials it to hold tunnels: by the hub's certificate alone,
// HTTP/1.1 for the handshake.
func (c *Compiler) tunnelCluster(hub bgp.NextHop) (*cluster.Cluster, error) {
	at, err := bgp.ParseEndpoint(hub.Address)
	if err != nil {
		return nil, fmt.Errorf("tunnel to %s: %w", hub.Node, err)
	}
	name := tunnelPrefix + hub.Node.String()
	return &cluster.Cluster{
		Name:                 name,
		ConnectTimeout:       durationpb.New(connectTimeout),
		ClusterDiscoveryType: &cluster.Cluster_Type{Type: cluster.Cluster_STRICT_DNS},
		TransportSocket: transportSocket(&tls.UpstreamTlsContext{
			Sni: tunnelServerName(c.cfg.Self),
			CommonTlsContext: &tls.CommonTlsContext{
				TlsParams: tls13(), TlsCertificateSdsSecretConfigs: []*tls.SdsSecretConfig{sds(secretNode)},
				ValidationContextType: &tls.CommonTlsContext_CombinedValidationContext{CombinedValidationContext: onlyNode(hub.Node)},
			},
		}),
		LoadAssignment: &endpoint.ClusterLoadAssignment{
			ClusterName: name,
			Endpoints: []*endpoint.LocalityLbEndpoints{{LbEndpoints: []*endpoint.LbEndpoint{{
				HostIdentifier: &endpoint.LbEndpoint_Endpoint{
					Endpoint: &endpoint.Endpoint{Address: socketAddress(at.Host, at.Port)},
				},
			}}}},
		},
	}, nil
}

// onlyNode believes the data plane of one node, by the roots of its organisation.
func onlyNode(n bgp.NodeID) *tls.CommonTlsContext_CombinedCertificateValidationContext {
	return &tls.CommonTlsContext_CombinedCertificateValidationContext{
		DefaultValidationContext:         &tls.CertificateValidationContext{MatchTypedSubjectAltNames: dataPlaneOf(n)},
		ValidationContextSdsSecretConfig: sds(trustOf(n.Org)),
	}
}

// tunnelListener takes at a site what comes back over its tunnels to a hub. Its address has Envoy open them:
// rc://NODE:CLUSTER:TENANT@CLUSTER:COUNT. It is a mesh ingress whose caller is known, because it is whom Envoy has
// dialled.
func (c *Compiler) tunnelListener(hub bgp.NextHop) *listener.Listener {
	name := tunnelPrefix + hub.Node.String()
	id := tunnelID(c.cfg.Self)
	manager := c.meshManager(name, hub.Node.URI())
	manager.Http2ProtocolOptions = c.http2(tunnelStreams)
	c.knownCaller(manager, hub.Node)
	return &listener.Listener{
		Name: name, StatPrefix: name, ListenerFiltersTimeout: durationpb.New(0),
		Address: &core.Address{Address: &core.Address_SocketAddress{SocketAddress: &core.SocketAddress{
			Address:      fmt.Sprintf("rc://%s:%s:%s@%s:%d", id, id, "catalyst", name, tunnelCount),
			ResolverName: "envoy.resolvers.reverse_connection", PortSpecifier: &core.SocketAddress_PortValue{PortValue: 0}}}},
		FilterChains: []*listener.FilterChain{{
			Filters: []*listener.Filter{networkFilter("envoy.filters.network.http_connection_manager", manager)},
		}},
		PerConnectionBufferLimitBytes: wrapperspb.UInt32(meshBuffer),
	}
}

// tunnelChains are the filter chains of a hub's mesh ingress for the sites that may hold tunnels to it.
func (c *Compiler) tunnelChains() []*listener.FilterChain {
	chains := make([]*listener.FilterChain, 0, len(c.cfg.TunnelsFrom))
	for _, site := range c.cfg.TunnelsFrom {
		chains = append(chains, &listener.FilterChain{
			Name:             tunnelPrefix + site.String(),
			FilterChainMatch: &listener.FilterChainMatch{ServerNames: []string{tunnelServerName(site)}},
			TransportSocket: transportSocket(&tls.DownstreamTlsContext{
				RequireClientCertificate: wrapperspb.Bool(true),
				SessionTicketKeysType:    &tls.DownstreamTlsContext_DisableStatelessSessionResumption{DisableStatelessSessionResumption: true},
				CommonTlsContext: &tls.CommonTlsContext{
					TlsParams: tls13(), TlsCertificateSdsSecretConfigs: []*tls.SdsSecretConfig{sds(secretNode)},
					ValidationContextType: &tls.CommonTlsContext_CombinedValidationContext{CombinedValidationContext: onlyNode(site)},
				},
			}),
			Filters: []*listener.Filter{networkFilter("envoy.filters.network.reverse_tunnel", &tunnelfilter.ReverseTunnel{
				PingInterval: durationpb.New(tunnelPing),
				Validation:   &tunnelfilter.Validation{NodeIdFormat: tunnelID(site), ClusterIdFormat: tunnelID(site)},
			})},
		})
	}
	return chains
}

// serverNames lets a listener choose its filter chain by the server name that a client asks for.
func serverNames() []*listener.ListenerFilter {
	return []*listener.ListenerFilter{{Name: "envoy.filters.listener.tls_inspector",
		ConfigType: &listener.ListenerFilter_TypedConfig{TypedConfig: toAny(&inspector.TlsInspector{})}}}
}

// relays are a hub's resources for each site that may hold tunnels to it: a Unix socket of its own Envoy, and the
// tunnels behind that. A next hop that cannot be dialled is the socket among the endpoints of a cluster, so that it
// has a weight, a priority and backups as any other. (A cluster of tunnels alone has no hosts before it is used, so
// that an aggregate cluster never chooses it; and each connection takes a tunnel for itself, so that what many
// clusters send has to be put together before. Both were tried with Envoy 1.40.)
func (c *Compiler) relays(b *builder) {
	for _, site := range c.cfg.TunnelsFrom {
		name := tunnelPrefix + "from/" + site.String()
		c.trustOrg(b, site.Org)
		b.set(TypeCluster, name, &cluster.Cluster{
			Name:                          name,
			ConnectTimeout:                durationpb.New(connectTimeout),
			LbPolicy:                      cluster.Cluster_CLUSTER_PROVIDED,
			CircuitBreakers:               c.hopBreakers(),
			TypedExtensionProtocolOptions: map[string]*anypb.Any{httpOptions: toAny(c.honest())},
			ClusterDiscoveryType: &cluster.Cluster_ClusterType{ClusterType: &cluster.Cluster_CustomClusterType{
				Name:        "envoy.clusters.reverse_connection",
				TypedConfig: toAny(&reverse.ReverseConnectionClusterConfig{HostIdFormat: tunnelID(site)}),
			}},
		})
		b.set(TypeListener, name, &listener.Listener{
			Name: name, StatPrefix: name, Address: pipe(c.relaySocket(site)),
			FilterChains: []*listener.FilterChain{{
				Filters: []*listener.Filter{networkFilter("envoy.filters.network.http_connection_manager", c.relay(name))},
			}},
		}, name)
	}
}

// relay sends every request on over a site's tunnels, as it is. Where the site holds no tunnel, the answer has a
// header that says so, and whoever sent the request tries it at another next hop.
func (c *Compiler) relay(name string) *hcm.HttpConnectionManager {
	to := func(m *route.RouteMatch) *route.Route {
		return &route.Route{Match: m, Action: &route.Route_Route{Route: &route.RouteAction{
			Timeout: durationpb.New(0), ClusterSpecifier: &route.RouteAction_Cluster{Cluster: name}}}}
	}
	return &hcm.HttpConnectionManager{
		StatPrefix: name, CodecType: hcm.HttpConnectionManager_HTTP2, StreamIdleTimeout: durationpb.New(0),
		Http2ProtocolOptions: c.http2(hopStreams),
		UpgradeConfigs: []*hcm.HttpConnectionManager_UpgradeConfig{{UpgradeType: "CONNECT"},
			{UpgradeType: "websocket"}},
		GenerateRequestId:          wrapperspb.Bool(false),
		NormalizePath:              wrapperspb.Bool(false),
		ServerHeaderTransformation: hcm.HttpConnectionManager_PASS_THROUGH,
		HttpFilters: []*hcm.HttpFilter{httpFilter("envoy.filters.http.router",
			&router.Router{SuppressEnvoyHeaders: true})},
		LocalReplyConfig: &hcm.LocalReplyConfig{Mappers: []*hcm.ResponseMapper{{
			Filter: &accesslog.AccessLogFilter{FilterSpecifier: &accesslog.AccessLogFilter_ResponseFlagFilter{
				ResponseFlagFilter: &accesslog.ResponseFlagFilter{Flags: []string{"UH", "UF"}}}},
			HeadersToAdd: []*core.HeaderValueOption{{Header: &core.HeaderValue{Key: noTunnelHeader, Value: notSent}}},
			Body: &core.DataSource{Specifier: &core.DataSource_InlineString{
				InlineString: "the next hop holds no tunnel to " + c.cfg.Self.String() + ".\n"}},
		}, {
			Filter: &accesslog.AccessLogFilter{FilterSpecifier: &accesslog.AccessLogFilter_ResponseFlagFilter{
				ResponseFlagFilter: &accesslog.ResponseFlagFilter{Flags: []string{"UC", "UR"}}}},
			HeadersToAdd: []*core.HeaderValueOption{{Header: &core.HeaderValue{Key: noTunnelHeader, Value: maybeSent}}},
			Body: &core.DataSource{Specifier: &core.DataSource_InlineString{
				InlineString: "the tunnel of the next hop to " + c.cfg.Self.String() + " ended before it had answered.\n"}},
		}}},
		RouteSpecifier: &hcm.HttpConnectionManager_RouteConfig{RouteConfig: &route.RouteConfiguration{
			Name: name,
			VirtualHosts: []*route.VirtualHost{{
				Name: "site", Domains: []string{"*"}, Routes: []*route.Route{to(connect()), to(anything())},
			}},
		}},
	}
}

// honest is how a relay speaks over tunnels: HTTP/2, and no answer that comes over one says that there is none.
func (c *Compiler) honest() *upstreams.HttpProtocolOptions {
	o := c.http2Options(tunnelStreams, c.pings())
	o.HttpFilters = []*hcm.HttpFilter{
		httpFilter("envoy.filters.http.header_mutation",
			&headers.HeaderMutation{Mutations: &headers.Mutations{ResponseMutations: []*mutation.HeaderMutation{
				{Action: &mutation.HeaderMutation_Remove{Remove: noTunnelHeader}}}}}),
		httpFilter("envoy.filters.http.upstream_codec", &codec.UpstreamCodec{}),
	}
	return o
}

// retryElsewhere has requests tried at another next hop when a site holds no tunnel. Requests that may be sent twice,
// such as GET, are tried there also when the tunnel, or the connection to the other next hop, ends before an answer.
func retryElsewhere(rc *route.RouteConfiguration) *route.RouteConfiguration {
	for p := range retries(idempotentElsewhere(rc)) {
		elsewhere(p)
	}
	return rc
}

// elsewhere adds to a policy of retries what relays say, and has retries leave the next hops of a tier for the next.
func elsewhere(p *route.RetryPolicy) {
	from := &route.HeaderMatcher{Name: noTunnelHeader, HeaderMatchSpecifier: &route.HeaderMatcher_StringMatch{
		StringMatch: exactly(notSent),
	}}
	if strings.HasSuffix(p.GetRetryOn(), ",reset") {
		from.HeaderMatchSpecifier = &route.HeaderMatcher_PresentMatch{PresentMatch: true}
	}
	p.RetryOn += ",retriable-headers"
	p.RetriableHeaders = []*route.HeaderMatcher{from}
	p.RetryPriority = previousTiers(1)
}

// relayChecks find out whether a site holds tunnels: any answer of its own will do, such as 404 for a service that it
// does not have. Next hops that are dialled are not asked.
func relayChecks() []*core.HealthCheck {
	return []*core.HealthCheck{{
		Timeout:            durationpb.New(time.Second),
		Interval:           durationpb.New(time.Second),
		NoTrafficInterval:  durationpb.New(time.Second),
		UnhealthyThreshold: wrapperspb.UInt32(1), HealthyThreshold: wrapperspb.UInt32(1),
		HealthChecker: &core.HealthCheck_HttpHealthCheck_{HttpHealthCheck: &core.HealthCheck_HttpHealthCheck{
			Host: "tunnel.catalyst.internal", Path: "/", CodecClientType: typev3.CodecClientType_HTTP2,
			ExpectedStatuses: []*typev3.Int64Range{{Start: 200, End: 500}},
		}},
	}}
}

// relaySocket is where the hub's Envoy listens for itself. A Unix socket's path may have 107 characters, and the data
// directory takes up to 85.
func (c *Compiler) relaySocket(site bgp.NodeID) string { return c.cfg.TunnelSocket(site) }

// TunnelSocket is the path of the Unix socket at which a hub's Envoy passes HTTP/2 on to a site; "" for a node that
// is reached otherwise.
func (c *Config) TunnelSocket(site bgp.NodeID) string {
	if !slices.Contains(c.TunnelsFrom, site) {
		return ""
	}
	return filepath.Join(filepath.Dir(c.Socket), "t"+tunnelID(site)[:13]+".sock")
}

// tunnelled tells whether a next hop is reached by its tunnels.
func (c *Compiler) tunnelled(t *Target) bool {
	return slices.Contains(c.cfg.TunnelsFrom, t.NextHop.Node)
}

func (c *Compiler) anyTunnelled(tiers [][]Target) bool {
	return slices.ContainsFunc(tiers, func(tier []Target) bool {
		return slices.ContainsFunc(tier, func(t Target) bool { return t.Backend.Address == "" && c.tunnelled(&t) })
	})
}

// tunnelEndpoint is such a next hop among others. There is no TLS to the socket: a tunnel is a connection over TLS
// already, whose certificate was judged when it was made.
func (c *Compiler) tunnelEndpoint(t Target) *endpoint.LbEndpoint {
	ep := endpointOf(pipe(c.relaySocket(t.NextHop.Node)), t)
	ep.Metadata = &core.Metadata{FilterMetadata: map[string]*structpb.Struct{matchKey: relayMatch()}}
	return ep
}

func relayMatch() *structpb.Struct {
	return &structpb.Struct{Fields: map[string]*structpb.Value{"tunnel": structpb.NewBoolValue(true)}}
}

func relayTransport() *cluster.Cluster_TransportSocketMatch {
	return &cluster.Cluster_TransportSocketMatch{
		Name:  "tunnel",
		Match: relayMatch(),
		TransportSocket: &core.TransportSocket{
			Name:       "envoy.transport_sockets.raw_buffer",
			ConfigType: &core.TransportSocket_TypedConfig{TypedConfig: toAny(&raw.RawBuffer{})},
		},
	}
}
