package xds

import (
	"fmt"
	"time"

	accesslog "github.com/envoyproxy/go-control-plane/envoy/config/accesslog/v3"
	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listener "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	rbac "github.com/envoyproxy/go-control-plane/envoy/config/rbac/v3"
	route "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	filelog "github.com/envoyproxy/go-control-plane/envoy/extensions/access_loggers/file/v3"
	rbacfilter "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/rbac/v3"
	router "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/router/v3"
	hcm "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	tcpproxy "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/tcp_proxy/v3"
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
	host, port, err := splitAddress(address)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	manager := &hcm.HttpConnectionManager{
		StatPrefix: name, RouteSpecifier: &hcm.HttpConnectionManager_Rds{Rds: &hcm.Rds{RouteConfigName: name, ConfigSource: fromADS()}},
		StripPortMode:     &hcm.HttpConnectionManager_StripAnyHostPort{StripAnyHostPort: true},
		LocalReplyConfig:  c.localReplies(),
		StreamIdleTimeout: durationpb.New(0), // streams live as long as they like
		AccessLog:         c.accessLog(),
		NormalizePath:     wrapperspb.Bool(false),
	}
	chain := &listener.FilterChain{}
	if name == ingressName {
		manager.CodecType = hcm.HttpConnectionManager_HTTP2
		manager.Http2ProtocolOptions = &core.Http2ProtocolOptions{AllowConnect: true, MaxConcurrentStreams: wrapperspb.UInt32(2000)}
		manager.UpgradeConfigs = []*hcm.HttpConnectionManager_UpgradeConfig{{UpgradeType: "CONNECT"}, {UpgradeType: "websocket"}}
		manager.ForwardClientCertDetails = hcm.HttpConnectionManager_SANITIZE_SET
		manager.SetCurrentClientCertDetails = &hcm.HttpConnectionManager_SetCurrentClientCertDetails{Uri: true}
		manager.HttpFilters = append(manager.HttpFilters, httpFilter("envoy.filters.http.rbac", c.guard()))
		chain.TransportSocket = downstreamTLS()
	} else {
		manager.Http2ProtocolOptions = &core.Http2ProtocolOptions{AllowConnect: true}
		manager.UpgradeConfigs = []*hcm.HttpConnectionManager_UpgradeConfig{{UpgradeType: "websocket"}}
	}
	manager.HttpFilters = append(manager.HttpFilters, httpFilter("envoy.filters.http.router", &router.Router{}))
	chain.Filters = []*listener.Filter{networkFilter("envoy.filters.network.http_connection_manager", manager)}
	return &listener.Listener{
		Name: name, Address: socketAddress(host, port), FilterChains: []*listener.FilterChain{chain}, StatPrefix: name,
		PerConnectionBufferLimitBytes: wrapperspb.UInt32(1 << 20),
	}, nil
}

// guard lets nodes of this organisation in, and those that the operator peers with.
func (c *Compiler) guard() *rbacfilter.RBAC {
	principals := []*rbac.Principal{authenticated(&matcher.StringMatcher{MatchPattern: &matcher.StringMatcher_Prefix{Prefix: "spiffe://" + string(c.cfg.Self.Org) + "/node/"}})}
	for _, n := range c.cfg.Allowed {
		principals = append(principals, authenticated(exactly(n.URI())))
	}
	return &rbacfilter.RBAC{Rules: &rbac.RBAC{Action: rbac.RBAC_ALLOW, Policies: map[string]*rbac.Policy{"nodes": {
		Permissions: []*rbac.Permission{{Rule: &rbac.Permission_Any{Any: true}}}, Principals: principals,
	}}}}
}

func authenticated(m *matcher.StringMatcher) *rbac.Principal {
	return &rbac.Principal{Identifier: &rbac.Principal_Authenticated_{Authenticated: &rbac.Principal_Authenticated{PrincipalName: m}}}
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
	return &hcm.LocalReplyConfig{Mappers: []*hcm.ResponseMapper{
		reply("NR", "no service of this name is known"+at),
		reply("UH", "the service is known, but no path to it answers"+at),
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
	return []*accesslog.AccessLog{{Name: "envoy.access_loggers.file", ConfigType: &accesslog.AccessLog_TypedConfig{TypedConfig: toAny(&filelog.FileAccessLog{
		Path: c.cfg.AccessLog, AccessLogFormat: &filelog.FileAccessLog_LogFormat{LogFormat: &core.SubstitutionFormatString{
			Format: &core.SubstitutionFormatString_JsonFormat{JsonFormat: &structpb.Struct{Fields: fields}}}},
	})}}}
}

// routeConfiguration is empty: its virtual hosts come one by one (VHDS), so that a change never re-sends the table.
func routeConfiguration(name string) *route.RouteConfiguration {
	return &route.RouteConfiguration{Name: name, Vhds: &route.Vhds{ConfigSource: fromADS()}}
}

// virtualHost routes one service at one listener.
func (c *Compiler) virtualHost(at string, f *Forwarding, target string) *route.VirtualHost {
	vh := &route.VirtualHost{
		Name: at + "/" + string(f.Service), Domains: []string{string(f.Service)},
		RequestHeadersToAdd: []*core.HeaderValueOption{c.hopHeader()},
	}
	// A request that has been here comes round: two nodes back each other up and neither reaches the service (RFC 5842 §7.2).
	been := match(f)
	been.Headers = []*route.HeaderMatcher{{Name: pathHeader, HeaderMatchSpecifier: &route.HeaderMatcher_StringMatch{StringMatch: &matcher.StringMatcher{
		MatchPattern: &matcher.StringMatcher_Contains{Contains: c.pathToken()}}}}}
	vh.Routes = append(vh.Routes, &route.Route{
		Match: been,
		Action: &route.Route_DirectResponse{DirectResponse: &route.DirectResponseAction{
			Status: 508, Body: &core.DataSource{Specifier: &core.DataSource_InlineString{InlineString: "loop detected: the request has been at " + c.cfg.Self.String() + " before.\n"}},
		}},
	})
	action := &route.RouteAction{
		ClusterSpecifier: &route.RouteAction_Cluster{Cluster: target},
		Timeout:          durationpb.New(0),
		RetryPolicy: &route.RetryPolicy{
			RetryOn: "connect-failure,refused-stream,reset-before-request", NumRetries: wrapperspb.UInt32(3),
			RetryBackOff:                  &route.RetryPolicy_RetryBackOff{BaseInterval: durationpb.New(5 * time.Millisecond), MaxInterval: durationpb.New(50 * time.Millisecond)},
			HostSelectionRetryMaxAttempts: 3,
			RetryHostPredicate:            []*route.RetryPolicy_RetryHostPredicate{previousHosts()},
		},
	}
	if f.Protocol == bgp.TCP {
		connect := &route.RouteAction_UpgradeConfig{UpgradeType: "CONNECT"}
		if f.isLocal() {
			connect.ConnectConfig = &route.RouteAction_UpgradeConfig_ConnectConfig{}
		}
		action.UpgradeConfigs = []*route.RouteAction_UpgradeConfig{connect}
	}
	vh.Routes = append(vh.Routes, &route.Route{Match: match(f), Action: &route.Route_Route{Route: action}})
	return vh
}

// match matches CONNECT alone for a TCP service, and everything but CONNECT for others.
func match(f *Forwarding) *route.RouteMatch {
	if f.Protocol == bgp.TCP {
		return &route.RouteMatch{PathSpecifier: &route.RouteMatch_ConnectMatcher_{ConnectMatcher: &route.RouteMatch_ConnectMatcher{}}}
	}
	return &route.RouteMatch{PathSpecifier: &route.RouteMatch_Prefix{Prefix: "/"}}
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

func (f *Forwarding) isLocal() bool {
	for _, tier := range f.Tiers {
		for _, t := range tier {
			if t.Backend.Address != "" {
				return true
			}
		}
	}
	return false
}

// tcpListener is the loopback port of a TCP service: straight to a workload beside this node, or through a CONNECT stream to the next hop.
func (c *Compiler) tcpListener(f *Forwarding, target string, port uint16) *listener.Listener {
	proxy := &tcpproxy.TcpProxy{
		StatPrefix: "tcp-egress", ClusterSpecifier: &tcpproxy.TcpProxy_Cluster{Cluster: target}, IdleTimeout: durationpb.New(0),
		MaxConnectAttempts: wrapperspb.UInt32(3), AccessLog: c.accessLog(),
	}
	if !f.isLocal() {
		proxy.TunnelingConfig = &tcpproxy.TcpProxy_TunnelingConfig{Hostname: string(f.Service), HeadersToAdd: []*core.HeaderValueOption{c.hopHeader()}}
	}
	return &listener.Listener{
		Name: "tcp-egress/" + string(f.Service), Address: socketAddress(c.cfg.EgressIP, uint32(port)), StatPrefix: "tcp-egress",
		FilterChains: []*listener.FilterChain{{Filters: []*listener.Filter{networkFilter("envoy.filters.network.tcp_proxy", proxy)}}},
	}
}

func httpFilter(name string, m proto.Message) *hcm.HttpFilter {
	return &hcm.HttpFilter{Name: name, ConfigType: &hcm.HttpFilter_TypedConfig{TypedConfig: toAny(m)}}
}

func networkFilter(name string, m proto.Message) *listener.Filter {
	return &listener.Filter{Name: name, ConfigType: &listener.Filter_TypedConfig{TypedConfig: toAny(m)}}
}
