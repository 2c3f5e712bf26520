package trace

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/catalyst-router/catalyst/bgp"
	"github.com/catalyst-router/catalyst/bgp/journal"
	"github.com/catalyst-router/catalyst/bgp/speaker"
	"github.com/catalyst-router/catalyst/cmd/internal/offer"
	"github.com/catalyst-router/catalyst/cmd/internal/offer/probe"
	"github.com/catalyst-router/catalyst/envoy"
	"github.com/catalyst-router/catalyst/xds/ads"
)

// Router answers what the tables say, and puts questions to peers. peering.Router is one.
type Router interface {
	Query(ctx context.Context, f func(*speaker.Speaker)) error
	Ask(ctx context.Context, peer bgp.NodeID, req bgp.TraceRequest) ([]bgp.TraceHop, error)
}

// Offer knows this node's own services. offer.Offer is one.
type Offer interface {
	Get(svc bgp.Service) (journal.Service, bool)
	Health(svc bgp.Service) (probe.Status, bool)
	Workloads(svc bgp.Service) []offer.Workload
	// Stale says what there is against the names of a service's hosts; "" for nothing.
	Stale(svc bgp.Service) string
}

// Forwarding knows what was made of the routes. forwarding.Forwarder and its ADS server are one.
type Forwarding interface {
	NotCompiled(svc bgp.Service) string
	// Used tells whether Envoys have a service before it is called.
	Used(svc bgp.Service) bool
	ADS() *ads.Server
}

// Identity shows this node's certificate at a next hop's ingress, and takes that node's alone, or its Envoys'.
// identity.Source is one.
type Identity interface {
	IngressTLS(node bgp.NodeID) *tls.Config
	probe.Identity // for workloads that are known by their SPIFFE ids
}

// NodeConfig is what a Node needs; all of it is required but for what says otherwise.
type NodeConfig struct {
	Node       bgp.NodeID
	Router     Router
	Offer      Offer
	Forwarding Forwarding
	Identity   Identity
	Envoy      *envoy.Supervisor        // nil without an Envoy of this node's own
	Egress     string                   // HOST:PORT of Envoy's HTTP egress
	Port       func(bgp.Service) uint16 // local port of a TCP service; 0 for none
	// Tunnel returns the Unix socket at which this node's Envoy passes on to a node that is reached by its tunnels; ""
	// for one that is dialled.
	Tunnel func(bgp.NodeID) string
	// Calls is what is remembered of a call; nil for a node that is not told of calls.
	Calls func(svc bgp.Service, id string) []Seen
	// Join are the organisations with which calls are joined.
	Join []bgp.Org
}

// Node is what a running node knows and can try, for traces that begin here and those of peers.
type Node struct{ cfg NodeConfig }

var _ Source = (*Node)(nil)

// NewNode returns a node's source.
func NewNode(cfg NodeConfig) *Node { return &Node{cfg} }

// Self implements Source.
func (n *Node) Self() bgp.NodeID { return n.cfg.Node }

// Facts implements Source.
func (n *Node) Facts(ctx context.Context, asked bgp.Service) (*Facts, error) {
	server := n.cfg.Forwarding.ADS()
	svc, err := n.routeOf(ctx, asked)
	if err != nil {
		return nil, err
	}
	f := &Facts{
		Service:    asked,
		Unused:     !n.cfg.Forwarding.Used(svc),
		Problem:    n.cfg.Forwarding.NotCompiled(svc),
		Compiled:   server.Compiled(svc),
		Envoys:     server.Service(svc),
		Supervised: n.cfg.Envoy != nil,
	}
	for _, e := range server.Status() {
		f.Connected = append(f.Connected, e.Node)
	}
	if s, ok := n.cfg.Offer.Get(svc); ok {
		st, _ := n.cfg.Offer.Health(svc)
		f.Workload = Workload{
			Address: strings.Join(offer.Addresses(&s), ", "),
			Check:   s.HealthPath,
			Health:  st.Health,
			Error:   st.Error,
		}
		f.Workload.Trouble = n.cfg.Offer.Stale(svc)
		for _, w := range n.cfg.Offer.Workloads(svc) {
			if w.Address != "" {
				f.Workload.At = append(f.Workload.At, Place{w.Address, w.Other})
			}
		}
	}
	if svc != asked {
		f.Pattern = svc
	}
	err = n.cfg.Router.Query(ctx, func(sp *speaker.Speaker) {
		f.Paths, f.Exports, f.Peers = sp.Table().Explain(svc), sp.Table().Exports(svc), sp.Peers()
	})
	if n.cfg.Envoy != nil && len(f.Paths) > 0 {
		if f.Egress = n.cfg.Egress; f.Paths[0].Attrs.Protocol == bgp.TCP {
			f.Egress = ""
			if port := n.cfg.Port(svc); port > 0 {
				f.Egress = net.JoinHostPort("127.0.0.1", strconv.Itoa(int(port)))
			}
		}
	}
	return f, err
}

// routeOf is the service whose route calls of a name have: the name itself, or the pattern that it is below where
// nobody announces it.
func (n *Node) routeOf(ctx context.Context, svc bgp.Service) (bgp.Service, error) {
	by := svc
	err := n.cfg.Router.Query(ctx, func(sp *speaker.Speaker) {
		if len(sp.Table().Explain(svc)) > 0 {
			return
		}
		if sel, ok := sp.Table().Covering(svc); ok {
			by = sel.Service
		}
	})
	return by, err
}

// clusterStatuses is Envoy's /clusters?format=json (envoy.admin.v3.Clusters), as far as it is needed.
type clusterStatuses struct {
	ClusterStatuses []struct {
		Name         string `json:"name"`
		HostStatuses []struct {
			Address struct {
				SocketAddress struct {
					Address   string `json:"address"`
					PortValue int    `json:"port_value"`
				} `json:"socket_address"`
			} `json:"address"`
			Hostname     string `json:"hostname"`
			HealthStatus struct {
				FailedOutlierCheck bool `json:"failed_outlier_check"`
			} `json:"health_status"`
		} `json:"host_statuses"`
	} `json:"cluster_statuses"`
}

// Clusters implements Source.
func (n *Node) Clusters(ctx context.Context, names []string) (has []string, hosts []Host, err error) {
	if n.cfg.Envoy == nil || len(names) == 0 {
		return nil, nil, nil
	}
	quoted := make([]string, 0, len(names))
	for _, name := range names {
		quoted = append(quoted, regexp.QuoteMeta(name))
	}
	body, err := n.cfg.Envoy.Admin().Get(ctx,
		"/clusters?format=json&filter="+url.QueryEscape("^("+strings.Join(quoted, "|")+")$"))
	if err != nil {
		return nil, nil, err
	}
	var all clusterStatuses
	if err := json.Unmarshal(body, &all); err != nil {
		return nil, nil, fmt.Errorf("read Envoy's answer: %w", err)
	}
	for _, c := range all.ClusterStatuses {
		has = append(has, c.Name)
		for _, h := range c.HostStatuses {
			host := h.Address.SocketAddress.Address
			if h.Hostname != "" {
				host = h.Hostname
			}
			hosts = append(hosts, Host{
				Cluster: c.Name, Address: net.JoinHostPort(host, strconv.Itoa(h.Address.SocketAddress.PortValue)),
				Ejected: h.HealthStatus.FailedOutlierCheck,
			})
		}
	}
	return has, hosts, nil
}

// Connect implements Source.
func (n *Node) Connect(ctx context.Context, address string) error {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", address)
	if err != nil {
		return err
	}
	return conn.Close()
}

// Reach implements Source.
func (n *Node) Reach(ctx context.Context, p Place) error {
	conn, err := probe.Dial(ctx, p.Address, p.Other)
	if err != nil {
		return err
	}
	return conn.Close()
}

// Speaks implements Source.
func (n *Node) Speaks(ctx context.Context, svc bgp.Service, p Place) (probe.Spoken, error) {
	s, ok := n.cfg.Offer.Get(svc)
	if !ok {
		return probe.Spoken{}, nil
	}
	return probe.Asker{ID: n.cfg.Identity}.Speaks(ctx, probe.Target{
		Service: svc, Protocol: s.Protocol, Address: p.Address, Other: p.Other, TLS: offer.TLSOf(&s),
	})
}

// Handshake implements Source. A TLS 1.3 client learns only from the first answer whether its own certificate was
// taken: so it begins HTTP/2 (RFC 9113 §3.4) and waits for the other side's SETTINGS.
func (n *Node) Handshake(ctx context.Context, hop bgp.NextHop) (string, error) {
	cfg := n.cfg.Identity.IngressTLS(hop.Node)
	cfg.NextProtos = []string{"h2"}
	raw, err := (&tls.Dialer{Config: cfg}).DialContext(ctx, "tcp", hop.Address)
	if err != nil {
		return "", err
	}
	defer func() { _ = raw.Close() }()
	conn, ok := raw.(*tls.Conn)
	if !ok {
		return "", errors.New("not TLS")
	}
	state := conn.ConnectionState()
	if state.NegotiatedProtocol != "h2" {
		return "", fmt.Errorf("whatever listens at %s does not speak HTTP/2: it is no mesh ingress", hop.Address)
	}
	if deadline, ok := ctx.Deadline(); ok {
		_ = conn.SetDeadline(deadline)
	}
	const settings = "\x00\x00\x00\x04\x00\x00\x00\x00\x00" // an empty SETTINGS frame
	if _, err := io.WriteString(conn, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"+settings); err != nil {
		return "", err
	}
	head := make([]byte, len(settings))
	if _, err := io.ReadFull(conn, head); err != nil {
		return "", fmt.Errorf("it does not take this node's certificate: %w", err)
	}
	if !bytes.Equal(head[3:4], []byte{4}) {
		return "", fmt.Errorf("whatever listens at %s answers no SETTINGS: it is no mesh ingress", hop.Address)
	}
	return fmt.Sprintf("%s, certificate until %s", hop.Node.URI(),
		state.PeerCertificates[0].NotAfter.UTC().Format(time.DateTime)), nil
}

// Tunnel implements Source. It asks the next hop's Envoy for a service that nobody has: any answer is one, but for
// 503 of this node's own Envoy, which has no tunnel then.
func (n *Node) Tunnel(ctx context.Context, hop bgp.NodeID) (bool, error) {
	socket := n.cfg.Tunnel(hop)
	if socket == "" {
		return false, nil
	}
	var protocols http.Protocols
	protocols.SetUnencryptedHTTP2(true)
	transport := &http.Transport{
		Protocols: &protocols,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", socket)
		},
	}
	defer transport.CloseIdleConnections()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://tunnel.catalyst.internal/", nil)
	if err != nil {
		return true, err
	}
	resp, err := transport.RoundTrip(req)
	if err != nil {
		return true, err
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode == http.StatusServiceUnavailable {
		text, _ := io.ReadAll(io.LimitReader(resp.Body, 500))
		return true, errors.New(strings.TrimSpace(string(text)))
	}
	return true, nil
}

// Calls implements Source.
func (n *Node) Calls(svc bgp.Service, id string) ([]Seen, bool) {
	if n.cfg.Calls == nil {
		return nil, false
	}
	return n.cfg.Calls(svc, id), true
}

// Joins implements Source.
func (n *Node) Joins(org bgp.Org) bool { return slices.Contains(n.cfg.Join, org) }

// Ask implements Source.
func (n *Node) Ask(ctx context.Context, peer bgp.NodeID, req bgp.TraceRequest) ([]bgp.TraceHop, error) {
	return n.cfg.Router.Ask(ctx, peer, req)
}
