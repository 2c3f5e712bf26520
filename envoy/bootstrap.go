package envoy

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/catalyst-router/catalyst/bgp"
	"github.com/catalyst-router/catalyst/xds"
)

// BootstrapConfig is what an Envoy has to know to ask for the rest.
type BootstrapConfig struct {
	NodeID string // required; shown by catalyst envoy status
	ADS    string // required; path of the control plane's Unix socket
	Admin  string // required; path of the Unix socket for Envoy's admin interface
	// Remote is HOST:PORT of the control plane's ADS over mutual TLS, instead of ADS. Identity is then the absolute
	// directory of the Envoy's own bundle, whose name has to be NodeID (ORGANISATION/NODE/NAME), and ControlPlane the
	// SPIFFE ID of the node that it expects. The files of SecretFiles have to be in Identity.
	Remote, Identity, ControlPlane string
	// Tunnels has Envoy hold reverse tunnels to other nodes, or take them (xds.Config, TunnelsTo and TunnelsFrom).
	// Envoy's extension is alpha: without it none of its code runs.
	Tunnels  bool
	Overload Overload
	// StateOfTheWorld asks for everything on each change, instead of the difference.
	StateOfTheWorld bool
	// Pings is how often Envoy pings the control plane, which ends a connection that is pinged more often than it expects.
	// Zero means xds.KeepaliveInterval.
	Pings time.Duration
}

// Bootstrap returns an Envoy bootstrap in JSON. ADS is delta, over a Unix socket; no listener and no cluster but that
// is static.
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
	fields := map[string]any{
		"bootstrap_extensions": c.extensions(),
		"node":                 c.node(),
		"admin": map[string]any{"ignore_global_conn_limit": true,
			"address": map[string]any{"pipe": map[string]any{"path": c.Admin, "mode": 0o600}}},
		"dynamic_resources": map[string]any{
			"ads_config": map[string]any{
				"api_type": api, "transport_api_version": "V3", "set_node_on_first_message_only": true,
				"grpc_services": []any{map[string]any{"envoy_grpc": map[string]any{
					"cluster_name": xds.AdsCluster,
					"retry_policy": map[string]any{"retry_back_off": map[string]any{"base_interval": "0.1s", "max_interval": "2s"}},
				}}},
			},
			"cds_config": source, "lds_config": source,
		},
		"static_resources": map[string]any{"clusters": []any{ads}},
		// Nobody is pushed Envoy's statistics; to flush them every five seconds all the same holds its main thread up for
		// 100 ms at 10,000 clusters, and every change with it. They are as fresh as whoever asks /stats for them.
		"stats_flush_on_admin": true,
		// What Envoy has freed goes back to the system: after 200,000 services were withdrawn it would keep most of their
		// memory otherwise.
		"memory_allocator_manager": map[string]any{"bytes_to_release": 64 << 20, "memory_release_interval": "1s"},
		"stats_config":             histograms(),
	}
	c.Overload.add(fields)
	doc, err := structpb.NewStruct(fields)
	if err != nil {
		return nil, fmt.Errorf("bootstrap: %w", err)
	}
	return protojson.MarshalOptions{Multiline: true}.Marshal(doc)
}

// extensions are those for reverse tunnels: of the site that opens them, and of the hub that takes them. A broken
// tunnel is opened anew within a second.
func (c *BootstrapConfig) extensions() []any {
	if !c.Tunnels {
		return []any{}
	}
	const pkg, types = "envoy.bootstrap.reverse_tunnel.", "type.googleapis.com/envoy.extensions.bootstrap.reverse_tunnel."
	return []any{
		map[string]any{"name": pkg + "downstream_socket_interface", "typed_config": map[string]any{
			"@type":       types + "downstream_socket_interface.v3.DownstreamReverseConnectionSocketInterface",
			"stat_prefix": "tunnel_site", "maintain_interval": "1s", "max_reconnect_backoff": "1s",
		}},
		map[string]any{"name": pkg + "upstream_socket_interface", "typed_config": map[string]any{
			"@type":       types + "upstream_socket_interface.v3.UpstreamReverseConnectionSocketInterface",
			"stat_prefix": "tunnel_hub",
		}},
	}
}

// histograms says into which buckets Envoy puts how long requests took, in microseconds: from a tenth of a
// millisecond to ten minutes.
func histograms() map[string]any {
	var buckets []any
	for _, us := range []float64{100, 250, 500, 1e3, 2.5e3, 5e3, 1e4, 2.5e4, 5e4, 1e5, 2.5e5, 5e5, 1e6, 2.5e6, 5e6, 1e7,
		3e7, 6e7, 6e8} {
		buckets = append(buckets, us)
	}
	return map[string]any{"histogram_bucket_settings": []any{
		map[string]any{"match": map[string]any{"prefix": "catalyst."}, "buckets": buckets},
	}}
}

// adsCluster is where the control plane is.
func (c *BootstrapConfig) adsCluster() (map[string]any, error) {
	cluster := map[string]any{
		"name": xds.AdsCluster, "type": "STATIC", "connect_timeout": "1s",
		"typed_extension_protocol_options": map[string]any{"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": map[string]any{
			"@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
			"explicit_http_config": map[string]any{"http2_protocol_options": map[string]any{"connection_keepalive": map[string]any{
				"interval": cmp.Or(c.Pings, xds.KeepaliveInterval).String(), "timeout": xds.KeepaliveTimeout.String()}}},
		}},
	}
	address := map[string]any{"pipe": map[string]any{"path": c.ADS}}
	if c.Remote != "" {
		at, err := bgp.ParseEndpoint(c.Remote)
		if err != nil {
			return nil, fmt.Errorf("bootstrap: %w", err)
		}
		address = map[string]any{"socket_address": map[string]any{"address": at.Host, "port_value": float64(at.Port)}}
		cluster["type"] = "STRICT_DNS"
		cluster["transport_socket"] = c.tls()
	}
	cluster["load_assignment"] = map[string]any{"cluster_name": xds.AdsCluster,
		"endpoints": []any{map[string]any{"lb_endpoints": []any{
			map[string]any{"endpoint": map[string]any{"address": address}},
		}}}}
	return cluster, nil
}

// node is how an Envoy presents itself. One on another machine says where its own certificate and key are, since it
// is sent nobody else's.
func (c *BootstrapConfig) node() map[string]any {
	n := map[string]any{"id": c.NodeID, "cluster": "catalyst"}
	if c.Remote != "" {
		n["metadata"] = map[string]any{"catalyst_identity": c.Identity}
	}
	return n
}

// tls proves the Envoy and believes the control plane's node, by files that are read again when they are replaced.
func (c *BootstrapConfig) tls() map[string]any {
	secret := func(name, file string) map[string]any {
		source := map[string]any{
			"path": filepath.Join(c.Identity, file), "watched_directory": map[string]any{"path": c.Identity},
		}
		return map[string]any{
			"name": name, "sds_config": map[string]any{"resource_api_version": "V3", "path_config_source": source},
		}
	}
	return map[string]any{"name": "envoy.transport_sockets.tls", "typed_config": map[string]any{
		"@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext",
		"common_tls_context": map[string]any{
			"alpn_protocols": []any{"h2"},
			"tls_params": map[string]any{
				"tls_minimum_protocol_version": "TLSv1_3", "tls_maximum_protocol_version": "TLSv1_3",
				"ecdh_curves": []any{"X25519MLKEM768", "X25519"},
			},
			"tls_certificate_sds_secret_configs": []any{secret(ownSecret, certificateSDS)},
			"combined_validation_context": map[string]any{
				"default_validation_context": map[string]any{"match_typed_subject_alt_names": []any{
					map[string]any{"san_type": "URI", "matcher": map[string]any{"exact": c.ControlPlane}},
				}},
				"validation_context_sds_secret_config": secret(rootSecret, trustSDS),
			},
		},
	}}
}

// The secrets with which an Envoy on another machine reaches its control plane, each in a file of its own (Envoy's
// docs, "SDS by files").
const (
	certificateSDS = "sds-certificate.json"
	trustSDS       = "sds-trust.json"
	ownSecret      = "control-plane-certificate"
	rootSecret     = "control-plane-trust"
)

// SecretFiles returns what has to be in Identity beside the bundle, by name: which files Envoy reads, and reads again
// when any file of the directory is replaced. nil for an Envoy beside its node.
func (c *BootstrapConfig) SecretFiles() (map[string][]byte, error) {
	if c.Remote == "" {
		return nil, nil
	}
	org, _, _ := strings.Cut(c.NodeID, "/")
	file := func(name string) map[string]any { return map[string]any{"filename": filepath.Join(c.Identity, name)} }
	watched := map[string]any{"path": c.Identity}
	files := map[string][]byte{}
	for name, secret := range map[string]map[string]any{
		certificateSDS: {"name": ownSecret, "tls_certificate": map[string]any{
			"certificate_chain": file("svid.pem"), "private_key": file("key.pem"), "watched_directory": watched,
		}},
		trustSDS: {"name": rootSecret, "validation_context": map[string]any{
			"trusted_ca": file(org + ".bundle.pem"), "watched_directory": watched,
		}},
	} {
		secret["@type"] = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret"
		b, err := json.MarshalIndent(map[string]any{"resources": []any{secret}}, "", "  ")
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		files[name] = append(b, '\n')
	}
	return files, nil
}
