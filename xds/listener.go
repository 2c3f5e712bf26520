package xds

import (
	"fmt"
	"slices"
	"time"

	mutation "github.com/envoyproxy/go-control-plane/envoy/config/common/mutation_rules/v3"
	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listener "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	route "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	router "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/router/v3"
	hcm "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	tcpproxy "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/tcp_proxy/v3"
	early "github.com/envoyproxy/go-control-plane/envoy/extensions/http/early_header_mutation/header_mutation/v3"
	tls "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/catalyst-router/catalyst/bgp"
)

// httpListener builds the mesh ingress or the HTTP egress. Nothing in them depends on a service, so that they are
// never drained.
func (c *Compiler) httpListener(name string) (*listener.Listener, error) {
	address := c.cfg.Egress
	if name == ingressName {
		address = c.cfg.Ingress
	}
	at, err := bgp.ParseEndpoint(address)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	l := &listener.Listener{
		Name:                          name,
		Address:                       socketAddress(at.Host, at.Port),
		StatPrefix:                    name,
		PerConnectionBufferLimitBytes: wrapperspb.UInt32(ingressBuffer),
	}
	if name == egressName {
		l.PerConnectionBufferLimitBytes = wrapperspb.UInt32(localBuffer)
		l.FilterChains = []*listener.FilterChain{{Filters: []*listener.Filter{
			networkFilter("envoy.filters.network.http_connection_manager", c.egressManager())}}}
		return l, nil
	}
	manager := c.meshManager(name, byCertificate,
		append([]*hcm.HttpFilter{guardFilter(), c.comingIn()}, c.watchUnderway()...)...)
	c.boundMesh(manager.CommonHttpProtocolOptions)
	manager.ForwardClientCertDetails = hcm.HttpConnectionManager_SANITIZE_SET
	manager.SetCurrentClientCertDetails = &hcm.HttpConnectionManager_SetCurrentClientCertDetails{Uri: true}
	c.fairly(l, &listener.FilterChain{
		TransportSocket: downstreamTLS(),
		Filters: []*listener.Filter{
			rememberLeaf(), networkFilter("envoy.filters.network.http_connection_manager", manager),
		},
	}, c.tunnelChains())
	return l, nil
}

// egressManager takes what comes from applications.
func (c *Compiler) egressManager() *hcm.HttpConnectionManager {
	m := c.manager(egressName)
	m.EarlyHeaderMutationExtensions = append(m.EarlyHeaderMutationExtensions, c.ownCaller())
	m.HttpProtocolOptions, m.Http2ProtocolOptions = c.http1Egress(), c.http2(egressStreams)
	m.UpgradeConfigs = []*hcm.HttpConnectionManager_UpgradeConfig{{UpgradeType: "websocket"}}
	m.HttpFilters = append(append(m.HttpFilters, lowerCaseHost()), c.clusterName()...)
	m.HttpFilters = append(append(m.HttpFilters, byPattern()), c.askWhenCold(egressName)...)
	c.askPolicy(egressName, besideNode, m)
	m.HttpFilters = append(m.HttpFilters, httpFilter("envoy.filters.http.router", &router.Router{}))
	return m
}

// manager has what every HTTP listener has: the service is the authority, and its routes come by scope.
func (c *Compiler) manager(name string) *hcm.HttpConnectionManager {
	return &hcm.HttpConnectionManager{
		StatPrefix: name, RouteSpecifier: &hcm.HttpConnectionManager_ScopedRoutes{ScopedRoutes: scopes()},
		EarlyHeaderMutationExtensions: []*core.TypedExtensionConfig{
			withoutClaims(name), extension("envoy.http.early_header_mutation.header_mutation", named(serviceHeader, "")),
			withoutPattern(),
		},
		StripPortMode:             &hcm.HttpConnectionManager_StripAnyHostPort{StripAnyHostPort: true},
		LocalReplyConfig:          c.localReplies(),
		StreamIdleTimeout:         durationpb.New(0), // streams live as long as they like
		AccessLog:                 c.httpLogs(name),
		NormalizePath:             wrapperspb.Bool(false),
		StripTrailingHostDot:      true,
		Proxy_100Continue:         true,
		MaxRequestHeadersKb:       wrapperspb.UInt32(c.cfg.Limits.HeaderKiB),
		CommonHttpProtocolOptions: &core.HttpProtocolOptions{MaxHeadersCount: wrapperspb.UInt32(maxHeaders)},
	}
}

// meshManager takes what comes from other nodes' Envoys, if these filters let it pass.
func (c *Compiler) meshManager(name, caller string, guards ...*hcm.HttpFilter) *hcm.HttpConnectionManager {
	m := c.manager(name)
	m.CodecType = hcm.HttpConnectionManager_HTTP2
	m.EarlyHeaderMutationExtensions = append(m.EarlyHeaderMutationExtensions,
		earlyMutation(overwrite(leafHeader, leafFormat)))
	m.Http2ProtocolOptions = c.http2(hopStreams)
	m.UpgradeConfigs = []*hcm.HttpConnectionManager_UpgradeConfig{{UpgradeType: "CONNECT"}, {UpgradeType: "websocket"}}
	m.HttpFilters = append([]*hcm.HttpFilter{byPattern()}, append(guards, c.hopLimit())...)
	m.HttpFilters = append(m.HttpFilters, c.askWhenCold(name)...)
	c.askPolicy(ingressName, caller, m)
	m.HttpFilters = append(m.HttpFilters, httpFilter("envoy.filters.http.router", &router.Router{}))
	return m
}

// knownCaller has workloads told who calls, where that is not told by a certificate on the connection.
func (c *Compiler) knownCaller(m *hcm.HttpConnectionManager, n bgp.NodeID) {
	m.ForwardClientCertDetails = hcm.HttpConnectionManager_ALWAYS_FORWARD_ONLY
	m.EarlyHeaderMutationExtensions = append(m.EarlyHeaderMutationExtensions,
		extension("envoy.http.early_header_mutation.header_mutation",
			&early.HeaderMutation{Mutations: []*mutation.HeaderMutation{{Action: &mutation.HeaderMutation_Append{Append: &core.HeaderValueOption{
				Header:       &core.HeaderValue{Key: "x-forwarded-client-cert", Value: "URI=" + n.URI()},
				AppendAction: core.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD}}}}}))
}

// workloadListener ends CONNECT streams at the workloads of this node's TCP services. It listens on a Unix socket for
// this Envoy itself: at the mesh ingress one route serves those that go on to another node and those that end here.
func (c *Compiler) workloadListener() *listener.Listener {
	const header = "x-catalyst-workload"
	manager := &hcm.HttpConnectionManager{
		StatPrefix: workName, CodecType: hcm.HttpConnectionManager_HTTP2,
		Http2ProtocolOptions:          c.http2(hopStreams),
		UpgradeConfigs:                []*hcm.HttpConnectionManager_UpgradeConfig{{UpgradeType: "CONNECT"}},
		StreamIdleTimeout:             durationpb.New(0),
		EarlyHeaderMutationExtensions: []*core.TypedExtensionConfig{extension("envoy.http.early_header_mutation.header_mutation", named(header, workPrefix))},
		HttpFilters:                   []*hcm.HttpFilter{httpFilter("envoy.filters.http.router", &router.Router{})},
		RouteSpecifier: &hcm.HttpConnectionManager_RouteConfig{RouteConfig: &route.RouteConfiguration{
			Name: workName,
			VirtualHosts: []*route.VirtualHost{{
				Name: "services", Domains: []string{"*"},
				Routes: []*route.Route{c.forward(connect(), &route.RouteAction{
					ClusterSpecifier:            &route.RouteAction_ClusterHeader{ClusterHeader: header},
					ClusterNotFoundResponseCode: route.RouteAction_NOT_FOUND,
					UpgradeConfigs: []*route.RouteAction_UpgradeConfig{{
						UpgradeType:   "CONNECT",
						ConnectConfig: &route.RouteAction_UpgradeConfig_ConnectConfig{},
					}},
				})},
			}},
		}},
	}
	return c.fromItself(workName, c.cfg.Socket, manager)
}

// fromItself is a listener on a Unix socket that this Envoy alone connects to.
func (c *Compiler) fromItself(name, socket string, m *hcm.HttpConnectionManager) *listener.Listener {
	return &listener.Listener{
		Name: name, StatPrefix: name, Address: pipe(socket), IgnoreGlobalConnLimit: true,
		PerConnectionBufferLimitBytes: wrapperspb.UInt32(localBuffer),
		FilterChains: []*listener.FilterChain{{
			Filters: []*listener.Filter{networkFilter("envoy.filters.network.http_connection_manager", m)},
		}},
	}
}

func downstreamTLS() *core.TransportSocket {
	return transportSocket(&tls.DownstreamTlsContext{
		RequireClientCertificate: wrapperspb.Bool(true),
		SessionTicketKeysType:    &tls.DownstreamTlsContext_DisableStatelessSessionResumption{DisableStatelessSessionResumption: true},
		CommonTlsContext: &tls.CommonTlsContext{
			AlpnProtocols:                  []string{"h2"},
			TlsParams:                      tls13(),
			TlsCertificateSdsSecretConfigs: []*tls.SdsSecretConfig{sds(secretNode)},
			ValidationContextType:          &tls.CommonTlsContext_ValidationContextSdsSecretConfig{ValidationContextSdsSecretConfig: sds(secretTrust)},
		},
	})
}

// serviceHeader names a request's service while it is in Envoy: its authority without a port. It is set before the
// route is chosen, over whatever the caller sent, and removed before the request goes on.
const serviceHeader = "x-catalyst-service"

// named sets a header to a prefix and the authority.
func named(header, prefix string) *early.HeaderMutation {
	return &early.HeaderMutation{Mutations: []*mutation.HeaderMutation{{Action: &mutation.HeaderMutation_Append{Append: &core.HeaderValueOption{
		Header:       &core.HeaderValue{Key: header, Value: prefix + "%REQ(:AUTHORITY)%"},
		AppendAction: core.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD,
	}}}}}
}

// scopes has the routes of a request chosen by its service, from what ADS gives of each (Envoy's docs, "Scoped RDS"):
// a change of one service costs Envoy nothing for the others, and touches no listener.
func scopes() *hcm.ScopedRoutes {
	return &hcm.ScopedRoutes{
		Name:            "services",
		RdsConfigSource: adsSource(),
		ConfigSpecifier: &hcm.ScopedRoutes_ScopedRds{ScopedRds: &hcm.ScopedRds{ScopedRdsConfigSource: adsSource()}},
		ScopeKeyBuilder: &hcm.ScopedRoutes_ScopeKeyBuilder{Fragments: []*hcm.ScopedRoutes_ScopeKeyBuilder_FragmentBuilder{{
			Type: &hcm.ScopedRoutes_ScopeKeyBuilder_FragmentBuilder_HeaderValueExtractor_{HeaderValueExtractor: &hcm.ScopedRoutes_ScopeKeyBuilder_FragmentBuilder_HeaderValueExtractor{
				Name: serviceHeader, ExtractType: &hcm.ScopedRoutes_ScopeKeyBuilder_FragmentBuilder_HeaderValueExtractor_Index{}}},
		}}},
	}
}

// scope is where a request finds its routes if serviceHeader has this key, at the egress and at the mesh ingress alike.
func scope(name, key string) *route.ScopedRouteConfiguration {
	return &route.ScopedRouteConfiguration{
		Name: name,
		Key: &route.ScopedRouteConfiguration_Key{Fragments: []*route.ScopedRouteConfiguration_Key_Fragment{{
			Type: &route.ScopedRouteConfiguration_Key_Fragment_StringKey{StringKey: key}}}},
	}
}

// scout is a scope without a service. Envoy asks for routes that a scope names when it has the scope, and answers 404
// until it has them: so a service's scope comes when they are there because of another. Its key has a line feed, as
// no request's can (RFC 9110 §5.5).
func scout(routes string) *route.ScopedRouteConfiguration {
	s := scope(scoutPrefix+routes, "\n"+routes)
	s.RouteConfigurationName = routes
	return s
}

// routesTo are the routes to a cluster: of all requests, or of CONNECT alone for a TCP service, which only the
// ingress takes. Runs are what it consists of.
func (c *Compiler) routesTo(name string, protocol bgp.Protocol, target string, runs []run) *route.RouteConfiguration {
	match := anything
	if protocol == bgp.TCP {
		match = connect
	}
	to := func(m *route.RouteMatch) *route.Route {
		return c.forward(m, &route.RouteAction{
			ClusterSpecifier:            &route.RouteAction_Cluster{Cluster: target},
			ClusterNotFoundResponseCode: route.RouteAction_NOT_FOUND,
		})
	}
	routes := []*route.Route{c.loopGuard(match())}
	if local := slices.ContainsFunc(runs, func(r run) bool { return r.local }); local &&
		(protocol == bgp.HTTP || protocol == bgp.GraphQL) {
		routes = append(routes, sentAgain(to(idempotent()), len(runs) > 1))
	}
	// A cluster that is not there costs the service alone, and not all that came with it: Envoy would refuse those as
	// well.
	services := &route.VirtualHost{
		Name:                   "services",
		Domains:                []string{"*"},
		RequestHeadersToAdd:    []*core.HeaderValueOption{c.hopHeader()},
		RequestHeadersToRemove: []string{serviceHeader, leafHeader},
		Routes:                 append(routes, to(match())),
	}
	found(services)
	return &route.RouteConfiguration{
		Name: name, ValidateClusters: wrapperspb.Bool(false), VirtualHosts: []*route.VirtualHost{services},
	}
}

// notHTTP tells an application that asks a TCP service over HTTP where it is (RFC 9110 §15.5.20, Misdirected Request).
func (c *Compiler) notHTTP(f *Forwarding) *route.Route {
	text := fmt.Sprintf("%s is a TCP service and has no HTTP: applications beside %s reach it at %s:%d.\n", f.Service,
		c.cfg.Self, c.cfg.EgressIP, f.Port)
	return &route.Route{Match: anything(), Action: &route.Route_DirectResponse{DirectResponse: &route.DirectResponseAction{
		Status: 421, Body: &core.DataSource{Specifier: &core.DataSource_InlineString{InlineString: text}},
	}}}
}

func anything() *route.RouteMatch {
	return &route.RouteMatch{PathSpecifier: &route.RouteMatch_Prefix{Prefix: "/"}}
}

func connect() *route.RouteMatch {
	return &route.RouteMatch{
		PathSpecifier: &route.RouteMatch_ConnectMatcher_{ConnectMatcher: &route.RouteMatch_ConnectMatcher{}},
	}
}

// hopHeader adds this node to the path of a request.
func (c *Compiler) hopHeader() *core.HeaderValueOption {
	return &core.HeaderValueOption{
		Header:       &core.HeaderValue{Key: pathHeader, Value: c.pathToken()},
		AppendAction: core.HeaderValueOption_APPEND_IF_EXISTS_OR_ADD,
	}
}

// pathToken is this node in the path header, closed on both sides so that "a" is not found in "aa".
func (c *Compiler) pathToken() string { return "<" + c.cfg.Self.String() + ">" }

// local returns the targets beside this node.
func (f *Forwarding) local() []Target {
	var all []Target
	for _, tier := range f.Tiers {
		for _, t := range tier {
			if t.Backend.Address != "" {
				all = append(all, t)
			}
		}
	}
	return all
}

// tcpListeners are the loopback port of a TCP service and, where it has one, the address of its own. What comes there
// goes on as a CONNECT stream, to a workload beside this node too: so the listener stays the same, and with it its
// connections, whatever way the service takes. A node that ends no such streams (see endsConnect) goes straight to its
// workload.
func (c *Compiler) tcpListeners(f *Forwarding) []*listener.Listener {
	target := c.tcpTarget(f)
	asked := target == hopsPrefix+askedName
	proxy := c.tcpProxy(target, f.Service)
	if asked || target == clusterName(f) {
		c.asStreams(proxy, string(f.Service), asked)
	}
	at := func(prefix, ip string, port uint16) *listener.Listener {
		return &listener.Listener{
			Name: prefix + string(f.Service), Address: socketAddress(ip, port), StatPrefix: "tcp-egress",
			PerConnectionBufferLimitBytes: wrapperspb.UInt32(localBuffer),
			FilterChains: []*listener.FilterChain{{
				Filters: []*listener.Filter{networkFilter("envoy.filters.network.tcp_proxy", proxy)},
			}},
		}
	}
	all := []*listener.Listener{at(tcpListeners, c.cfg.EgressIP, f.Port)}
	if f.Dial.IsValid() {
		all = append(all, at(dialListeners, f.Dial.Addr().String(), f.Dial.Port()))
	}
	return all
}

// tcpProxy takes connections to a TCP service, in plain to a cluster.
func (c *Compiler) tcpProxy(target string, svc bgp.Service) *tcpproxy.TcpProxy {
	return &tcpproxy.TcpProxy{
		StatPrefix:         "tcp-egress",
		ClusterSpecifier:   &tcpproxy.TcpProxy_Cluster{Cluster: target},
		IdleTimeout:        durationpb.New(0),
		MaxConnectAttempts: wrapperspb.UInt32(20), AccessLog: c.tcpLogs(svc),
		// Long enough, 2.4 s in the mean, for a target that is not reached to be left by then (see outliers): that takes a
		// second where something went well in the half second before.
		BackoffOptions: &core.BackoffStrategy{
			BaseInterval: durationpb.New(25 * time.Millisecond),
			MaxInterval:  durationpb.New(300 * time.Millisecond),
		},
	}
}

// asStreams has connections go on as CONNECT streams for a service; asked says that they go to askedListener first,
// which adds what the service's routes add.
func (c *Compiler) asStreams(proxy *tcpproxy.TcpProxy, service string, asked bool) {
	proxy.TunnelingConfig = &tcpproxy.TcpProxy_TunnelingConfig{Hostname: service}
	if !asked {
		proxy.TunnelingConfig.HeadersToAdd = []*core.HeaderValueOption{c.hopHeader()}
	}
}

// tcpTarget is the cluster of a TCP service's listener.
func (c *Compiler) tcpTarget(f *Forwarding) string {
	switch {
	case c.asksConnections():
		return hopsPrefix + askedName
	case !c.endsConnect() && len(f.local()) > 0:
		return workPrefix + string(f.Service)
	}
	return clusterName(f)
}

func httpFilter(name string, m proto.Message) *hcm.HttpFilter {
	return &hcm.HttpFilter{Name: name, ConfigType: &hcm.HttpFilter_TypedConfig{TypedConfig: toAny(m)}}
}

func networkFilter(name string, m proto.Message) *listener.Filter {
	return &listener.Filter{Name: name, ConfigType: &listener.Filter_TypedConfig{TypedConfig: toAny(m)}}
}
