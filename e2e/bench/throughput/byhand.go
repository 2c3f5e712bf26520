package main

import "fmt"

// tlsContext is a TLS context as somebody would write it: TLS 1.3, both sides with certificates.
func tlsContext(kind, alpn, sni, san string) string {
	require, match := "", ""
	if kind == "Downstream" {
		require = "require_client_certificate: true, "
	} else {
		require = "sni: " + sni + ", "
		match = fmt.Sprintf(", match_typed_subject_alt_names: [{san_type: URI, matcher: {exact: %q}}]", san)
	}
	return fmt.Sprintf(`{name: tls, typed_config: {"@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.%sTlsContext, %scommon_tls_context: {alpn_protocols: [%s],
 tls_params: {tls_minimum_protocol_version: TLSv1_3, tls_maximum_protocol_version: TLSv1_3, ecdh_curves: [X25519MLKEM768, X25519]},
 tls_certificates: [{certificate_chain: {filename: svid.pem}, private_key: {filename: key.pem}}], validation_context: {trusted_ca: {filename: acme.example.bundle.pem}%s}}}}`, kind, require, alpn, match)
}

func httpManager(prefix, cluster string) string {
	return fmt.Sprintf(`{name: hcm, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager, stat_prefix: %s,
 route_config: {virtual_hosts: [{name: all, domains: ["*"], routes: [{match: {prefix: "/"}, route: {cluster: %s, timeout: 0s}}]}]},
 http_filters: [{name: router, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}}]}}`, prefix, cluster)
}

func tcpProxy(cluster string) string {
	return fmt.Sprintf(`{name: tcp, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy, stat_prefix: tcp, cluster: %s}}`, cluster)
}

func at(port string) string {
	return fmt.Sprintf("{socket_address: {address: 127.0.0.1, port_value: %s}}", port)
}

func clusterOf(name, port, extra string) string {
	return fmt.Sprintf("  - {name: %s, type: STATIC, load_assignment: {cluster_name: %s, endpoints: [{lb_endpoints: "+
		"[{endpoint: {address: %s}}]}]}%s}\n", name, name, at(port), extra)
}

const http2 = `, typed_extension_protocol_options: {envoy.extensions.upstreams.http.v3.HttpProtocolOptions: {"@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions, explicit_http_config: {http2_protocol_options: {}}}}`

// near is the caller's Envoy: ports of the far ingress, of its own HTTP egress and of its own TCP egress.
func near(ports [3]string) string {
	san := "spiffe://acme.example/node/y"
	return "static_resources:\n  listeners:\n" +
		fmt.Sprintf("  - {name: http, address: %s, filter_chains: [{filters: [%s]}]}\n", at(ports[1]),
			httpManager("egress", "far-http")) +
		fmt.Sprintf("  - {name: tcp, address: %s, filter_chains: [{filters: [%s]}]}\n", at(ports[2]), tcpProxy("far-tcp")) +
		"  clusters:\n" +
		clusterOf("far-http", ports[0], http2+", transport_socket: "+tlsContext("Upstream", "h2", "far.internal", san)) +
		clusterOf("far-tcp", ports[0], ", transport_socket: "+tlsContext("Upstream", "catalyst-tcp", "far.internal", san))
}

// far is the service's Envoy.
func far(ingress, api, echo string) string {
	port := func(address string) string { return address[len("127.0.0.1:"):] }
	return "static_resources:\n  listeners:\n" +
		fmt.Sprintf(`  - name: ingress
    address: %s
    listener_filters: [{name: tls_inspector, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector}}]
    filter_chains:
    - {filter_chain_match: {application_protocols: [h2]}, transport_socket: %s, filters: [%s]}
    - {filter_chain_match: {application_protocols: [catalyst-tcp]}, transport_socket: %s, filters: [%s]}
`, at(ingress), tlsContext("Downstream", "h2", "", ""), httpManager("ingress", "api"),
			tlsContext("Downstream", "catalyst-tcp", "", ""), tcpProxy("echo")) +
		"  clusters:\n" + clusterOf("api", port(api), "") + clusterOf("echo", port(echo), "")
}
