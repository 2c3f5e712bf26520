package envoy

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/catalyst-router/catalyst/bgp"
)

// BootstrapConfig is what an Envoy has to know to ask for the rest.
type BootstrapConfig struct {
	NodeID string // required; shown by catalyst envoy status
	ADS    string // required; path of the control plane's Unix socket
	Admin  string // required; path of the Unix socket for Envoy's admin interface
	// Remote is HOST:PORT of the control plane's ADS over mutual TLS, instead of ADS. Identity is then the directory of a node's bundle that
	// Envoy shows, whose name has to be NodeID (ORGANISATION/NAME), and ControlPlane the SPIFFE ID that it expects.
	Remote, Identity, ControlPlane string
	// StateOfTheWorld asks for everything on each change, instead of the difference.
	StateOfTheWorld bool
}

// Bootstrap returns an Envoy bootstrap in JSON. ADS is delta, over a Unix socket; no listener and no cluster but that is static.
func Bootstrap(c BootstrapConfig) ([]byte, error) {
	if c.NodeID == "" || c.ADS == "" && c.Remote == "" || c.Admin == "" {
		return nil, errors.New("bootstrap: want a node id, the ADS socket or address, and the admin socket")
	}
	ads, err := c.adsCluster()
	if err != nil {
		return nil, err
	}
	api := "DELTA_GRPC"
	if c.StateOfTheWorld {
		api = "GRPC"
	}
	source := map[string]any{"ads": map[string]any{}, "resource_api_version": "V3", "initial_fetch_timeout": "5s"}
	doc, err := structpb.NewStruct(map[string]any{
		"node":  map[string]any{"id": c.NodeID, "cluster": "catalyst"},
		"admin": map[string]any{"address": map[string]any{"pipe": map[string]any{"path": c.Admin, "mode": 0o600}}},
		"dynamic_resources": map[string]any{
			"ads_config": map[string]any{
				"api_type": api, "transport_api_version": "V3", "set_node_on_first_message_only": true,
				"grpc_services": []any{map[string]any{"envoy_grpc": map[string]any{
					"cluster_name": "catalyst-ads",
					"retry_policy": map[string]any{"retry_back_off": map[string]any{"base_interval": "0.1s", "max_interval": "2s"}},
				}}},
			},
			"cds_config": source, "lds_config": source,
		},
		"static_resources": map[string]any{"clusters": []any{ads}},
		// Nobody is pushed Envoy's statistics; to flush them every five seconds all the same holds its main thread up for 100 ms at 10,000
		// clusters, and every change with it. They are as fresh as whoever asks /stats for them.
		"stats_flush_on_admin": true,
	})
	if err != nil {
		return nil, fmt.Errorf("bootstrap: %w", err)
	}
	return protojson.MarshalOptions{Multiline: true}.Marshal(doc)
}

// adsCluster is where the control plane is.
func (c *BootstrapConfig) adsCluster() (map[string]any, error) {
	cluster := map[string]any{
		"name": "catalyst-ads", "type": "STATIC", "connect_timeout": "1s",
		"typed_extension_protocol_options": map[string]any{"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": map[string]any{
			"@type":                "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
			"explicit_http_config": map[string]any{"http2_protocol_options": map[string]any{"connection_keepalive": map[string]any{"interval": "10s", "timeout": "5s"}}},
		}},
	}
	address := map[string]any{"pipe": map[string]any{"path": c.ADS}}
	if c.Remote != "" {
		at, err := bgp.ParseEndpoint(c.Remote)
		if err != nil {
			return nil, fmt.Errorf("bootstrap: %w", err)
		}
		org, _, _ := strings.Cut(c.NodeID, "/")
		address = map[string]any{"socket_address": map[string]any{"address": at.Host, "port_value": float64(at.Port)}}
		cluster["type"] = "STRICT_DNS"
		cluster["transport_socket"] = c.tls(org)
	}
	cluster["load_assignment"] = map[string]any{"cluster_name": "catalyst-ads", "endpoints": []any{map[string]any{"lb_endpoints": []any{
		map[string]any{"endpoint": map[string]any{"address": address}},
	}}}}
	return cluster, nil
}

// tls proves the bundle's node and believes the control plane's.
func (c *BootstrapConfig) tls(org string) map[string]any {
	file := func(name string) map[string]any { return map[string]any{"filename": filepath.Join(c.Identity, name)} }
	return map[string]any{"name": "envoy.transport_sockets.tls", "typed_config": map[string]any{
		"@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext",
		"common_tls_context": map[string]any{
			"alpn_protocols":   []any{"h2"},
			"tls_params":       map[string]any{"tls_minimum_protocol_version": "TLSv1_3", "tls_maximum_protocol_version": "TLSv1_3", "ecdh_curves": []any{"X25519MLKEM768", "X25519"}},
			"tls_certificates": []any{map[string]any{"certificate_chain": file("svid.pem"), "private_key": file("key.pem")}},
			"validation_context": map[string]any{
				"trusted_ca":                    file(org + ".bundle.pem"),
				"match_typed_subject_alt_names": []any{map[string]any{"san_type": "URI", "matcher": map[string]any{"exact": c.ControlPlane}}},
			},
		},
	}}
}
