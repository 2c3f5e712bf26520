package xds

import (
	"fmt"

	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listener "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	statevalue "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/common/set_filter_state/v3"
	inspector "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/listener/tls_inspector/v3"
	state "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/set_filter_state/v3"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/catalyst-router/catalyst/bgp"
)

// serverName is what a TLS connection asks for (SNI), in lower case.
const serverName = "%REQUESTED_SERVER_NAME%"

// tlsListener takes TLS connections of applications, of which it reads the first message and opens none. Each goes on
// to the TCP service whose full name its server name is, as if it had come to that service's own listener. What is no
// TLS is closed, and so is a name that no TCP service has. Nothing in it depends on a service, so it is never drained.
func (c *Compiler) tlsListener() (*listener.Listener, error) {
	at, err := bgp.ParseEndpoint(c.cfg.EgressTLS)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", tlsName, err)
	}
	asked := c.asksConnections()
	proxy := c.tcpProxy(hopsPrefix+askedName, serverName)
	c.asStreams(proxy, serverName, asked)
	filters := []*listener.Filter{networkFilter("envoy.filters.network.tcp_proxy", proxy)}
	if !asked {
		filters = append([]*listener.Filter{clusterBy(tcpPrefix + serverName)}, filters...)
	}
	return &listener.Listener{
		Name: tlsName, Address: socketAddress(at.Host, at.Port), StatPrefix: tlsName,
		PerConnectionBufferLimitBytes: wrapperspb.UInt32(localBuffer),
		ListenerFilters: []*listener.ListenerFilter{{
			Name:       "envoy.filters.listener.tls_inspector",
			ConfigType: &listener.ListenerFilter_TypedConfig{TypedConfig: toAny(&inspector.TlsInspector{})},
		}},
		FilterChains: []*listener.FilterChain{{
			FilterChainMatch: &listener.FilterChainMatch{TransportProtocol: "tls"}, Filters: filters,
		}},
	}, nil
}

// clusterBy has a connection go to the cluster that a format names, whatever its tcp_proxy says.
func clusterBy(format string) *listener.Filter {
	text := &core.SubstitutionFormatString{Format: &core.SubstitutionFormatString_TextFormatSource{
		TextFormatSource: &core.DataSource{Specifier: &core.DataSource_InlineString{InlineString: format}},
	}}
	return networkFilter("envoy.filters.network.set_filter_state", &state.Config{
		OnNewConnection: []*statevalue.FilterStateValue{{
			Key:      &statevalue.FilterStateValue_ObjectKey{ObjectKey: "envoy.tcp_proxy.cluster"},
			Value:    &statevalue.FilterStateValue_FormatString{FormatString: text},
			ReadOnly: true,
		}},
	})
}
