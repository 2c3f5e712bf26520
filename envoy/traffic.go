package envoy

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/url"
	"strconv"
)

// Traffic is what an Envoy carries at a moment: requests, and streams of TCP connections (CONNECT).
type Traffic struct {
	Ingress int // of other nodes, at the mesh ingress
	Egress  int // of applications beside the node, at the HTTP egress
	// To is how many of both are under way to each next hop or workload, by its address, IP:PORT; those with none are
	// left out.
	To map[string]int
}

// FromNodes is how many requests of other nodes are under way.
func (t Traffic) FromNodes() int { return t.Ingress }

// What Envoy counts of its HTTP listeners (xds names them).
const (
	ingressActive = "http.mesh-ingress.downstream_rq_active"
	egressActive  = "http.http-egress.downstream_rq_active"
)

// Traffic returns what Envoy carries now.
func (a *Admin) Traffic(ctx context.Context) (Traffic, error) {
	t := Traffic{To: map[string]int{}}
	body, err := a.Get(ctx, "/stats?format=json&filter="+
		url.QueryEscape(`^http\.(mesh-ingress|http-egress)\.downstream_rq_active$`))
	if err != nil {
		return t, err
	}
	var all struct {
		Stats []struct {
			Name  string `json:"name"`
			Value int    `json:"value"`
		} `json:"stats"`
	}
	if err := json.Unmarshal(body, &all); err != nil {
		return t, fmt.Errorf("read Envoy's statistics: %w", err)
	}
	for _, s := range all.Stats {
		switch s.Name {
		case ingressActive:
			t.Ingress = s.Value
		case egressActive:
			t.Egress = s.Value
		}
	}
	if t.Ingress+t.Egress == 0 {
		return t, nil // and nobody needs to list the clusters
	}
	if body, err = a.Get(ctx, "/clusters?format=json"); err != nil {
		return t, err
	}
	return t, t.add(body)
}

// clusters is Envoy's /clusters?format=json (envoy.admin.v3.Clusters), as far as it is needed.
type clusters struct {
	ClusterStatuses []struct {
		HostStatuses []struct {
			Address struct {
				SocketAddress struct {
					Address   string `json:"address"`
					PortValue uint16 `json:"port_value"`
				} `json:"socket_address"`
			} `json:"address"`
			Stats []struct {
				Name  string `json:"name"`
				Value string `json:"value"` // absent for 0
			} `json:"stats"`
		} `json:"host_statuses"`
	} `json:"cluster_statuses"`
}

// add adds what is under way to each host. Hosts that are no socket are ways inside this Envoy: what goes there is
// counted where it leaves.
func (t *Traffic) add(body []byte) error {
	var all clusters
	if err := json.Unmarshal(body, &all); err != nil {
		return fmt.Errorf("read Envoy's clusters: %w", err)
	}
	for _, c := range all.ClusterStatuses {
		for _, h := range c.HostStatuses {
			at := h.Address.SocketAddress
			for _, s := range h.Stats {
				if n, _ := strconv.Atoi(s.Value); s.Name == "rq_active" && n > 0 && at.Address != "" {
					t.To[net.JoinHostPort(at.Address, strconv.Itoa(int(at.PortValue)))] += n
				}
			}
		}
	}
	return nil
}
