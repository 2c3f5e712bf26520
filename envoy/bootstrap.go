package envoy

import (
	"errors"
	"fmt"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/types/known/structpb"
)

// BootstrapConfig is what an Envoy has to know to ask for the rest.
type BootstrapConfig struct {
	NodeID string // required; shown by catalyst envoy status
	ADS    string // required; path of the control plane's Unix socket
	Admin  string // required; path of the Unix socket for Envoy's admin interface
	// StateOfTheWorld asks for everything on each change, instead of the difference.
	StateOfTheWorld bool
}

// Bootstrap returns an Envoy bootstrap in JSON. ADS is delta, over a Unix socket; no listener and no cluster but that is static.
func Bootstrap(c BootstrapConfig) ([]byte, error) {
	if c.NodeID == "" || c.ADS == "" || c.Admin == "" {
		return nil, errors.New("bootstrap: want a node id, the ADS socket and the admin socket")
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
		"static_resources": map[string]any{"clusters": []any{map[string]any{
			"name": "catalyst-ads", "type": "STATIC", "connect_timeout": "1s",
			"typed_extension_protocol_options": map[string]any{"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": map[string]any{
				"@type":                "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
				"explicit_http_config": map[string]any{"http2_protocol_options": map[string]any{"connection_keepalive": map[string]any{"interval": "10s", "timeout": "5s"}}},
			}},
			"load_assignment": map[string]any{"cluster_name": "catalyst-ads", "endpoints": []any{map[string]any{"lb_endpoints": []any{
				map[string]any{"endpoint": map[string]any{"address": map[string]any{"pipe": map[string]any{"path": c.ADS}}}},
			}}}},
		}}},
	})
	if err != nil {
		return nil, fmt.Errorf("bootstrap: %w", err)
	}
	return protojson.MarshalOptions{Multiline: true}.Marshal(doc)
}
