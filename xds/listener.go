package xds

import (
	"fmt"
	"time"

	accesslog "github.com/envoyproxy/go-control-plane/envoy/config/accesslog/v3"
	mutation "github.com/envoyproxy/go-control-plane/envoy/config/common/mutation_rules/v3"
	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listener "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	route "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	filelog "github.com/envoyproxy/go-control-plane/envoy/extensions/access_loggers/file/v3"
	router "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/router/v3"
	hcm "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	tcpproxy "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/tcp_proxy/v3"
	early "github.com/envoyproxy/go-control-plane/envoy/extensions/http/early_header_mutation/header_mutation/v3"
	previous "github.com/envoyproxy/go-control-plane/envoy/extensions/retry/host/previous_hosts/v3"
	tls "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	matcher "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/catalyst-router/catalyst/bgp"
)

// httpListener builds the mesh ingress or the HTTP egress. Nothing in them depends on a service, so that they are never drained.
func (c *Compiler) httpListener(name string) (*listener.Listener, error) {
	address := c.cfg.Egress
	if name == ingressName {
		address = c.cfg.Ingress
	}
	at, err := bgp.ParseEndpoint(address)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if name == egressName {
		manager := c.manager(name)
		manager.Http2ProtocolOptions = &core.Http2ProtocolOptions{AllowConnect: true}
		manager.UpgradeConfigs = []*hcm.HttpConnectionManager_UpgradeConfig{{UpgradeType: "websocket"}}
		c.askPolicy(name, besideNode, manager)
		manager.HttpFilters = append(manager.HttpFilters, httpFilter("envoy.filters.http.router", &router.Router{}))
		return listenerOf(name, at, &listener.FilterChain{Filters: []*listener.Filter{networkFilter("envoy.filters.network.http_connection_manager", manager)}}), nil
	}
	manager := c.meshManager(name, byCertificate, guardFilter())
	manager.ForwardClientCertDetails = hcm.HttpConnectionManager_SANITIZE_SET
	manager.SetCurrentClientCertDetails = &hcm.HttpConnectionManager_SetCurrentClientCertDetails{Uri: true}
	l := listenerOf(name, at, &listener.FilterChain{
		TransportSocket: downstreamTLS(), Filters: []*listener.Filter{networkFilter("envoy.filters.network.http_connection_manager", manager)}})
	if sites := c.tunnelChains(); len(sites) > 0 {
		l.ListenerFilters = serverNames()
		l.FilterChains = append(sites, l.FilterChains...)
	}
	return l, nil
}

func listenerOf(name string, at bgp.Endpoint, chain *listener.FilterChain) *listener.Listener {
	return &listener.Listener{
		Name: name, Address: socketAddress(at.Host, at.Port), FilterChains: []*listener.FilterChain{chain}, StatPrefix: name,
		PerConnectionBufferLimitBytes: wrapperspb.UInt32(1 << 20),
	}
}

// manager has what every HTTP listener has: the service is the authority, and its routes come by scope.
func (c *Compiler) manager(name string) *hcm.HttpConnectionManager {
	return &hcm.HttpConnectionManager{
		StatPrefix: name, RouteSpecifier: &hcm.HttpConnectionManager_ScopedRoutes{ScopedRoutes: scopes()},
		EarlyHeaderMutationExtensions: []*core.TypedExtensionConfig{
			withoutClaims(name), extension("envoy.http.early_header_mutation.header_mutation", named(serviceHeader, "")),
		},
		StripPortMode:     &hcm.HttpConnectionManager_StripAnyHostPort{StripAnyHostPort: true},
		LocalReplyConfig:  c.localReplies(),
		StreamIdleTimeout: durationpb.New(0), // streams live as long as they like
		AccessLog:         c.accessLog(),
		NormalizePath:     wrapperspb.Bool(false),
	}
}

// meshManager takes what comes from other nodes' Envoys, if these filters let it pass.
func (c *Compiler) meshManager(name, caller string, guards ...*hcm.HttpFilter) *hcm.HttpConnectionManager {
	m := c.manager(name)
	m.CodecType = hcm.HttpConnectionManager_HTTP2
	m.Http2ProtocolOptions = &core.Http2ProtocolOptions{AllowConnect: true, MaxConcurrentStreams: wrapperspb.UInt32(2000)}
	m.UpgradeConfigs = []*hcm.HttpConnectionManager_UpgradeConfig{{UpgradeType: "CONNECT"}, {UpgradeType: "websocket"}}
	m.HttpFilters = guards
	c.askPolicy(ingressName, caller, m)
	m.HttpFilters = append(m.HttpFilters, httpFilter("envoy.filters.http.router", &router.Router{}))
	return m
}

// knownCaller has workloads told who calls, where that is not told by a certificate on the connection.
func (c *Compiler) knownCaller(m *hcm.HttpConnectionManager, n bgp.NodeID) {
	m.ForwardClientCertDetails = hcm.HttpConnectionManager_ALWAYS_FORWARD_ONLY
	m.EarlyHeaderMutationExtensions = append(m.EarlyHeaderMutationExtensions, extension("envoy.http.early_header_mutation.header_mutation",
		&early.HeaderMutation{Mutations: []*mutation.HeaderMutation{{Action: &mutation.HeaderMutation_Append{Append: &core.HeaderValueOption{
			Header:       &core.HeaderValue{Key: "x-forwarded-client-cert", Value: "URI=" + n.URI()},
			AppendAction: core.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD}}}}}))
}

// workloadListener ends CONNECT streams at the workloads of this node's TCP services. It listens on a Unix socket for this Envoy itself: at the mesh ingress one
// route serves those that go on to another node and those that end here.
func (c *Compiler) workloadListener() *listener.Listener {
	const header = "x-catalyst-workload"
	manager := &hcm.HttpConnectionManager{
		StatPrefix: workName, CodecType: hcm.HttpConnectionManager_HTTP2,
		Http2ProtocolOptions:          &core.Http2ProtocolOptions{AllowConnect: true},
		UpgradeConfigs:                []*hcm.HttpConnectionManager_UpgradeConfig{{UpgradeType: "CONNECT"}},
		StreamIdleTimeout:             durationpb.New(0),
		EarlyHeaderMutationExtensions: []*core.TypedExtensionConfig{extension("envoy.http.early_header_mutation.header_mutation", named(header, workPrefix))},
		HttpFilters:                   []*hcm.HttpFilter{httpFilter("envoy.filters.http.router", &router.Router{})},
		RouteSpecifier: &hcm.HttpConnectionManager_RouteConfig{RouteConfig: &route.RouteConfiguration{Name: workName, VirtualHosts: []*route.VirtualHost{{
			Name: "services", Domains: []string{"*"},
			Routes: []*route.Route{c.forward(connect(), &route.RouteAction{
				ClusterSpecifier: &route.RouteAction_ClusterHeader{ClusterHeader: header}, ClusterNotFoundResponseCode: route.RouteAction_NOT_FOUND,
				UpgradeConfigs: []*route.RouteAction_UpgradeConfig{{UpgradeType: "CONNECT", ConnectConfig: &route.RouteAction_UpgradeConfig_ConnectConfig{}}},
			})},
		}}}},
	}
	return &listener.Listener{Name: workName, StatPrefix: workName, Address: pipe(c.cfg.Socket),
		FilterChains: []*listener.FilterChain{{Filters: []*listener.Filter{networkFilter("envoy.filters.network.http_connection_manager", manager)}}}}
}

func downstreamTLS() *core.TransportSocket {
	return transportSocket(&tls.DownstreamTlsContext{
		RequireClientCertificate: wrapperspb.Bool(true),
		SessionTicketKeysType:    &tls.DownstreamTlsContext_DisableStatelessSessionResumption{DisableStatelessSessionResumption: true},
		CommonTlsContext: &tls.CommonTlsContext{
			AlpnProtocols: []string{"h2"}, TlsParams: tls13(), TlsCertificateSdsSecretConfigs: []*tls.SdsSecretConfig{sds(secretNode)},
			ValidationContextType: &tls.CommonTlsContext_ValidationContextSdsSecretConfig{ValidationContextSdsSecretConfig: sds(secretTrust)},
		},
	})
}

// localReplies says in words what Envoy says in flags.
func (c *Compiler) localReplies() *hcm.LocalReplyConfig {
	reply := func(flag, text string) *hcm.ResponseMapper {
		return &hcm.ResponseMapper{
			Filter: &accesslog.AccessLogFilter{FilterSpecifier: &accesslog.AccessLogFilter_ResponseFlagFilter{ResponseFlagFilter: &accesslog.ResponseFlagFilter{Flags: []string{flag}}}},
			Body:   &core.DataSource{Specifier: &core.DataSource_InlineString{InlineString: text}},
		}
	}
	at := " at " + c.cfg.Self.String() + ".\n"
	unreachable := reply("UH", "")
	unreachable.Body = nil
	unreachable.BodyFormatOverride = &core.SubstitutionFormatString{
		OmitEmptyValues: true, // a service whose workload is not down has no such metadata
		Format: &core.SubstitutionFormatString_TextFormatSource{TextFormatSource: &core.DataSource{Specifier: &core.DataSource_InlineString{
			InlineString: "the service is known, but no path to it answers at " + c.cfg.Self.String() + ".%CLUSTER_METADATA(" + metadataKey + ":down)%\n"}}},
	}
	return &hcm.LocalReplyConfig{Mappers: []*hcm.ResponseMapper{
		reply("NR", "no service of this name is known"+at),
		reply("NC", "no service of this name is known"+at),
		unreachable,
		reply("UF", "the next hop to the service could not be reached"+at),
	}}
}

func (c *Compiler) accessLog() []*accesslog.AccessLog {
	if c.cfg.AccessLog == "" {
		return nil
	}
	fields := map[string]*structpb.Value{}
	for k, v := range map[string]string{
		"time": "%START_TIME%", "method": "%REQ(:METHOD)%", "service": "%REQ(:AUTHORITY)%", "path": "%REQ(:PATH)%", "status": "%RESPONSE_CODE%", "flags": "%RESPONSE_FLAGS%",
		"details": "%RESPONSE_CODE_DETAILS%", "bytes_in": "%BYTES_RECEIVED%", "bytes_out": "%BYTES_SENT%", "ms": "%DURATION%", "upstream": "%UPSTREAM_HOST%",
		"peer": "%DOWNSTREAM_PEER_URI_SAN%", "nodes": "%REQ(X-CATALYST-PATH)%", "trace": "%REQ(TRACEPARENT)%",
	} {
		fields[k] = structpb.NewStringValue(v)
	}
	if c.cfg.Policy != nil {
		for _, k := range []string{"decision", "result", "principal", "policies"} {
			fields["policy_"+k] = structpb.NewStringValue("%DYNAMIC_METADATA(" + policyFilter + ":" + k + ")%")
		}
	}
	return []*accesslog.AccessLog{{Name: "envoy.access_loggers.file", ConfigType: &accesslog.AccessLog_TypedConfig{TypedConfig: toAny(&filelog.FileAccessLog{
		Path: c.cfg.AccessLog, AccessLogFormat: &filelog.FileAccessLog_LogFormat{LogFormat: &core.SubstitutionFormatString{
			Format: &core.SubstitutionFormatString_JsonFormat{JsonFormat: &structpb.Struct{Fields: fields}}}},
	})}}}
}

// serviceHeader names a request's service while it is in Envoy: its authority without a port. It is set before the route is chosen, over whatever the caller
// sent, and removed before the request goes on.
const serviceHeader = "x-catalyst-service"

// named sets a header to a prefix and the authority.
func named(header, prefix string) *early.HeaderMutation {
	return &early.HeaderMutation{Mutations: []*mutation.HeaderMutation{{Action: &mutation.HeaderMutation_Append{Append: &core.HeaderValueOption{
		Header: &core.HeaderValue{Key: header, Value: prefix + "%REQ(:AUTHORITY)%"}, AppendAction: core.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD}}}}}
}

// scopes has the routes of a request chosen by its service, from what ADS gives of each (Envoy's docs, "Scoped RDS"): a change of one service costs Envoy nothing
// for the others, and touches no listener.
func scopes() *hcm.ScopedRoutes {
	return &hcm.ScopedRoutes{
		Name: "services", RdsConfigSource: adsSource(), ConfigSpecifier: &hcm.ScopedRoutes_ScopedRds{ScopedRds: &hcm.ScopedRds{ScopedRdsConfigSource: adsSource()}},
		ScopeKeyBuilder: &hcm.ScopedRoutes_ScopeKeyBuilder{Fragments: []*hcm.ScopedRoutes_ScopeKeyBuilder_FragmentBuilder{{
			Type: &hcm.ScopedRoutes_ScopeKeyBuilder_FragmentBuilder_HeaderValueExtractor_{HeaderValueExtractor: &hcm.ScopedRoutes_ScopeKeyBuilder_FragmentBuilder_HeaderValueExtractor{
				Name: serviceHeader, ExtractType: &hcm.ScopedRoutes_ScopeKeyBuilder_FragmentBuilder_HeaderValueExtractor_Index{}}},
		}}},
	}
}

// scope is where a request finds its routes if serviceHeader has this key, at the egress and at the mesh ingress alike.
func scope(name, key string) *route.ScopedRouteConfiguration {
	return &route.ScopedRouteConfiguration{Name: name, Key: &route.ScopedRouteConfiguration_Key{Fragments: []*route.ScopedRouteConfiguration_Key_Fragment{{
		Type: &route.ScopedRouteConfiguration_Key_Fragment_StringKey{StringKey: key}}}}}
}

// scout is a scope without a service. Envoy asks for routes that a scope names when it has the scope, and answers 404 until it has them: so a service's scope comes when they are
// there because of another. Its key has a line feed, as no request's can (RFC 9110 §5.5).
func scout(routes string) *route.ScopedRouteConfiguration {
	s := scope(scoutPrefix+routes, "\n"+routes)
	s.RouteConfigurationName = routes
	return s
}

// routesTo are the routes to a cluster: of all requests, or of CONNECT alone for a TCP service, which only the ingress takes.
func (c *Compiler) routesTo(name string, protocol bgp.Protocol, target string) *route.RouteConfiguration {
	match := anything
	if protocol == bgp.TCP {
		match = connect
	}
	// A cluster that is not there costs the service alone, and not all that came with it: Envoy would refuse those as well.
	return &route.RouteConfiguration{Name: name, ValidateClusters: wrapperspb.Bool(false), VirtualHosts: []*route.VirtualHost{{
		Name: "services", Domains: []string{"*"}, RequestHeadersToAdd: []*core.HeaderValueOption{c.hopHeader()}, RequestHeadersToRemove: []string{serviceHeader},
		Routes: []*route.Route{c.loopGuard(match()), c.forward(match(), &route.RouteAction{
			ClusterSpecifier: &route.RouteAction_Cluster{Cluster: target}, ClusterNotFoundResponseCode: route.RouteAction_NOT_FOUND})},
	}}}
}

// notHTTP tells an application that asks a TCP service over HTTP where it is (RFC 9110 §15.5.20, Misdirected Request).
func (c *Compiler) notHTTP(f *Forwarding) *route.Route {
	text := fmt.Sprintf("%s is a TCP service and has no HTTP: applications beside %s reach it at %s:%d.\n", f.Service, c.cfg.Self, c.cfg.EgressIP, f.Port)
	return &route.Route{Match: anything(), Action: &route.Route_DirectResponse{DirectResponse: &route.DirectResponseAction{
		Status: 421, Body: &core.DataSource{Specifier: &core.DataSource_InlineString{InlineString: text}},
	}}}
}

func anything() *route.RouteMatch {
	return &route.RouteMatch{PathSpecifier: &route.RouteMatch_Prefix{Prefix: "/"}}
}

func connect() *route.RouteMatch {
	return &route.RouteMatch{PathSpecifier: &route.RouteMatch_ConnectMatcher_{ConnectMatcher: &route.RouteMatch_ConnectMatcher{}}}
}

// loopGuard ends a request that has been here: two nodes back each other up and neither reaches the service (RFC 5842 §7.2).
func (c *Compiler) loopGuard(m *route.RouteMatch) *route.Route {
	m.Headers = []*route.HeaderMatcher{{Name: pathHeader, HeaderMatchSpecifier: &route.HeaderMatcher_StringMatch{StringMatch: &matcher.StringMatcher{
		MatchPattern: &matcher.StringMatcher_Contains{Contains: c.pathToken()}}}}}
	return &route.Route{Match: m, Action: &route.Route_DirectResponse{DirectResponse: &route.DirectResponseAction{
		Status: 508, Body: &core.DataSource{Specifier: &core.DataSource_InlineString{InlineString: "loop detected: the request has been at " + c.cfg.Self.String() + " before.\n"}},
	}}}
}

// forward sends a request on, for as long as it takes, and to another target when one does not answer.
func (c *Compiler) forward(m *route.RouteMatch, action *route.RouteAction) *route.Route {
	action.Timeout = durationpb.New(0)
	action.RetryPolicy = &route.RetryPolicy{
		RetryOn: "connect-failure,refused-stream,reset-before-request", NumRetries: wrapperspb.UInt32(3),
		RetryBackOff:                  &route.RetryPolicy_RetryBackOff{BaseInterval: durationpb.New(5 * time.Millisecond), MaxInterval: durationpb.New(50 * time.Millisecond)},
		HostSelectionRetryMaxAttempts: 3,
		RetryHostPredicate:            []*route.RetryPolicy_RetryHostPredicate{previousHosts()},
	}
	return &route.Route{Match: m, Action: &route.Route_Route{Route: action}}
}

// previousHosts makes a retry go to another target.
func previousHosts() *route.RetryPolicy_RetryHostPredicate {
	return &route.RetryPolicy_RetryHostPredicate{Name: "envoy.retry_host_predicates.previous_hosts",
		ConfigType: &route.RetryPolicy_RetryHostPredicate_TypedConfig{TypedConfig: toAny(&previous.PreviousHostsPredicate{})}}
}

// hopHeader adds this node to the path of a request.
func (c *Compiler) hopHeader() *core.HeaderValueOption {
	return &core.HeaderValueOption{
		Header: &core.HeaderValue{Key: pathHeader, Value: c.pathToken()}, AppendAction: core.HeaderValueOption_APPEND_IF_EXISTS_OR_ADD,
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

// tcpListener is the loopback port of a TCP service. What comes there goes on as a CONNECT stream, to a workload beside this node too: so the listener stays the same,
// and with it its connections, whatever way the service takes. A node without an ingress ends no such streams and goes straight to its workload.
func (c *Compiler) tcpListener(f *Forwarding) *listener.Listener {
	target := c.tcpTarget(f)
	proxy := &tcpproxy.TcpProxy{
		StatPrefix: "tcp-egress", ClusterSpecifier: &tcpproxy.TcpProxy_Cluster{Cluster: target}, IdleTimeout: durationpb.New(0),
		MaxConnectAttempts: wrapperspb.UInt32(6), AccessLog: c.accessLog(),
		// Long enough for a target that has failed twice to be left by then.
		BackoffOptions: &core.BackoffStrategy{BaseInterval: durationpb.New(25 * time.Millisecond), MaxInterval: durationpb.New(100 * time.Millisecond)},
	}
	if target == clusterName(f) {
		proxy.TunnelingConfig = &tcpproxy.TcpProxy_TunnelingConfig{Hostname: string(f.Service), HeadersToAdd: []*core.HeaderValueOption{c.hopHeader()}}
	}
	return &listener.Listener{
		Name: tcpListeners + string(f.Service), Address: socketAddress(c.cfg.EgressIP, f.Port), StatPrefix: "tcp-egress",
		FilterChains: []*listener.FilterChain{{Filters: []*listener.Filter{networkFilter("envoy.filters.network.tcp_proxy", proxy)}}},
	}
}

// tcpTarget is the cluster of a TCP service's listener.
func (c *Compiler) tcpTarget(f *Forwarding) string {
	if c.cfg.Ingress == "" && len(f.local()) > 0 {
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
