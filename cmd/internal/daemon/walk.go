package daemon

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/catalyst-router/catalyst/bgp"
	"github.com/catalyst-router/catalyst/bgp/peering"
	"github.com/catalyst-router/catalyst/bgp/speaker"
	"github.com/catalyst-router/catalyst/cmd/internal/walk"
	"github.com/catalyst-router/catalyst/graphql/operator"
)

// walkSource is what this node knows and can try, for walks that begin here and those of peers.
type walkSource struct{ d *Daemon }

var _ walk.Source = walkSource{}

// newWalker returns the node's walker; nil if peers are not to be answered and nothing is asked.
func newWalker(d *Daemon) *walk.Walker {
	policy := walk.Organisation
	if d.cfg.Peering.Trace == "given" {
		policy = walk.Given
	}
	return walk.New(walkSource{d}, policy, peering.NewWalkID)
}

// answer is what peers are answered with; nil to decline.
func (d *Daemon) answer() peering.Answer {
	if d.cfg.Peering.Trace == "off" {
		return nil
	}
	return func(ctx context.Context, from bgp.NodeID, req bgp.WalkRequest) []bgp.WalkHop {
		return d.walker.Answer(ctx, from, req)
	}
}

// Self implements walk.Source.
func (s walkSource) Self() bgp.NodeID { return s.d.self }

// Facts implements walk.Source.
func (s walkSource) Facts(ctx context.Context, svc bgp.Service) (*walk.Facts, error) {
	d := s.d
	f := &walk.Facts{Problem: d.fwd.problem(svc), Compiled: d.ads.Compiled(svc), Envoys: d.ads.Service(svc), Supervised: d.sup != nil}
	for _, n := range d.ads.Status() {
		f.Connected = append(f.Connected, n.Node)
	}
	if b, ok := d.fwd.backend(svc); ok {
		st, _ := d.probes.Status(svc)
		f.Workload = walk.Workload{Address: b.Address, Check: b.HealthPath, Health: st.Health, Error: st.Error}
	}
	err := d.router.Query(ctx, func(sp *speaker.Speaker) {
		f.Paths, f.Exports, f.Peers = sp.Table().Explain(svc), sp.Table().Exports(svc), sp.Peers()
	})
	if d.sup != nil && len(f.Paths) > 0 {
		if f.Egress = d.cfg.Envoy.Egress; f.Paths[0].Attrs.Protocol == bgp.TCP {
			f.Egress = ""
			if port := d.ports.Of(svc); port > 0 {
				f.Egress = net.JoinHostPort("127.0.0.1", strconv.Itoa(int(port)))
			}
		}
	}
	return f, err
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

// Clusters implements walk.Source.
func (s walkSource) Clusters(ctx context.Context, names []string) (has []string, hosts []walk.Host, err error) {
	if s.d.sup == nil || len(names) == 0 {
		return nil, nil, nil
	}
	quoted := make([]string, 0, len(names))
	for _, n := range names {
		quoted = append(quoted, regexp.QuoteMeta(n))
	}
	body, err := s.d.sup.Admin().Get(ctx, "/clusters?format=json&filter="+url.QueryEscape("^("+strings.Join(quoted, "|")+")$"))
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
			hosts = append(hosts, walk.Host{
				Cluster: c.Name, Address: net.JoinHostPort(host, strconv.Itoa(h.Address.SocketAddress.PortValue)),
				Ejected: h.HealthStatus.FailedOutlierCheck,
			})
		}
	}
	return has, hosts, nil
}

// Connect implements walk.Source.
func (s walkSource) Connect(ctx context.Context, address string) error {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", address)
	if err != nil {
		return err
	}
	return conn.Close()
}

// Handshake implements walk.Source. A TLS 1.3 client learns only from the first answer whether its own certificate was taken: so it begins HTTP/2
// (RFC 9113 §3.4) and waits for the other side's SETTINGS.
func (s walkSource) Handshake(ctx context.Context, hop bgp.NextHop) (string, error) {
	cfg := s.d.id.ClientTLS(hop.Node)
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
	return fmt.Sprintf("%s, certificate until %s", hop.Node.URI(), state.PeerCertificates[0].NotAfter.UTC().Format(time.DateTime)), nil
}

// Ask implements walk.Source.
func (s walkSource) Ask(ctx context.Context, peer bgp.NodeID, req bgp.WalkRequest) ([]bgp.WalkHop, error) {
	return s.d.router.Ask(ctx, peer, req)
}

// Trace implements operator.Backend.
func (b *backend) Trace(ctx context.Context, service string) (*operator.Walk, error) {
	svc, err := b.service(service)
	if err != nil {
		return nil, err
	}
	began := time.Now()
	hops, err := b.d.walker.Begin(ctx, svc)
	if err != nil {
		return nil, err
	}
	out := &operator.Walk{Service: string(svc), Hops: []operator.WalkHop{}, Complete: walk.Complete(hops), Millis: millis(time.Since(began))}
	for _, h := range hops {
		hop := operator.WalkHop{Node: h.Node.String(), Note: h.Note, Steps: []operator.WalkStep{}}
		for _, s := range h.Steps {
			hop.Steps = append(hop.Steps, operator.WalkStep{Name: s.Name, State: s.State.String(), Text: s.Text, Advice: s.Advice, Millis: millis(s.Took)})
		}
		out.Hops = append(out.Hops, hop)
	}
	if broken := walk.Broken(hops); broken != nil {
		out.Broken = &operator.WalkBroken{Node: broken.Node.String(), Step: broken.Step.Name, Text: broken.Step.Text, Advice: broken.Step.Advice}
	}
	out.Ok = out.Broken == nil
	return out, nil
}

// millis is a duration in milliseconds, to the microsecond.
func millis(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
