package main

import (
	"fmt"
	"net"
	"strings"
)

// envoyConfig is an Envoy that answers itself, behind the filter as a node has it configured.
func envoyConfig(dir string, servers []*server) string {
	var b strings.Builder
	b.WriteString("static_resources:\n  listeners:\n")
	for _, s := range servers {
		_, port, _ := net.SplitHostPort(s.address)
		fmt.Fprintf(&b, listenerText, s.kind, port, filterText(s.kind), routesText(), dir, dir, dir)
	}
	b.WriteString("  clusters:\n")
	for _, s := range servers {
		if s.kind != "none" {
			fmt.Fprintf(&b, clusterText, s.kind, s.kind, dir, s.kind)
		}
	}
	return b.String()
}

const listenerText = `  - name: %s
    address: {socket_address: {address: 127.0.0.1, port_value: %s}}
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: http
          normalize_path: true
          merge_slashes: true
          path_with_escaped_slashes_action: REJECT_REQUEST
          common_http_protocol_options: {headers_with_underscores_action: REJECT_REQUEST}
          http_filters:
%s          - name: envoy.filters.http.router
            typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}
          route_config:
            virtual_hosts:
            - name: all
              domains: ["*"]
              routes:
%s      transport_socket:
        name: envoy.transport_sockets.tls
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext
          require_client_certificate: true
          common_tls_context:
            tls_certificates: [{certificate_chain: {filename: %s/node.pem}, private_key: {filename: %s/node.key}}]
            validation_context: {trusted_ca: {filename: %s/ca.pem}}
`

func filterText(kind string) string {
	if kind == "none" {
		return ""
	}
	return fmt.Sprintf(`          - name: envoy.filters.http.ext_authz
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthz
              transport_api_version: V3
              grpc_service: {envoy_grpc: {cluster_name: %s}, timeout: 5s}
              status_on_error: {code: ServiceUnavailable}
              include_peer_certificate: true
              include_tls_session: true
              encode_raw_headers: true
              validate_mutations: true
              decoder_header_mutation_rules:
                disallow_all: true
                disallow_is_error: true
                allow_expression: {regex: "^(x-catalyst-(principal|peer|decision)|authorization)$"}
`, kind)
}

func routesText() string {
	var b strings.Builder
	for i := range conns {
		fmt.Fprintf(&b, `              - match: {prefix: /s%d/}
                direct_response: {status: 200, body: {inline_string: "ok"}}
                typed_per_filter_config:
                  envoy.filters.http.ext_authz:
                    "@type": type.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthzPerRoute
                    check_settings: {context_extensions: {service: %s}}
`, i, serviceName(i))
	}
	return b.String()
}

const clusterText = `  - name: %s
    connect_timeout: 1s
    typed_extension_protocol_options:
      envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
        "@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
        explicit_http_config: {http2_protocol_options: {}}
    load_assignment:
      cluster_name: %s
      endpoints: [{lb_endpoints: [{endpoint: {address: {pipe: {path: %s/%s.sock}}}}]}]
`
