package xds

import (
	"bytes"
	"fmt"
	"net/netip"
	"time"

	cluster "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	route "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/catalyst-router/catalyst/bgp"
)

// A service whose only target is one workload beside this node, at an IP address, needs no cluster of its own: it
// shares one with all of its protocol, and its routes say where its workload is, in a header that Envoy connects by
// (an ORIGINAL_DST cluster). An example: the scope of books.acme.example leads to hops/beside-http1 and writes
// "x-catalyst-destination: 127.0.0.1:8080" over whatever a caller sent. A cluster costs Envoy four times as much.
//
// Whoever could choose that header could have Envoy connect to anywhere. So routes to these clusters are made here and
// nowhere else, and nothing is encoded that leads there without saying where to (see builder.set).

const (
	besidePrefix = hopsPrefix + "beside-"
	besideHTTP1  = besidePrefix + "http1"
	besideHTTP2  = besidePrefix + "http2"
	// destinationHeader is where the workload of a request is, IP:PORT. The workload is shown it: its own address.
	destinationHeader = "x-catalyst-destination"
	// besideForgotten is how long Envoy remembers a workload that it has no connection to. To learn of one costs it a
	// step for each that it knows, some milliseconds of its main thread with thousands; the call does not wait for that.
	besideForgotten = time.Hour
)

// alone returns the address of the workload that is all of a service, if nothing about it wants a cluster of its own:
// several targets, a name to look up, a second address, TLS, a draining target or connections that are kept for longer
// or shorter than others'.
func (c *Compiler) alone(f *Forwarding) (netip.AddrPort, bool) {
	idle := f.Idle != 0 || c.before(f.Kept) != c.cfg.Limits.WorkloadIdle
	if idle || f.Protocol == bgp.TCP || f.TLS != nil || len(f.Tiers) != 1 || len(f.Tiers[0]) != 1 {
		return netip.AddrPort{}, false
	}
	t := &f.Tiers[0][0]
	at, err := netip.ParseAddrPort(t.Backend.Address)
	plain := err == nil && at.Port() > 0 && at.Addr().Zone() == "" && !at.Addr().Is4In6()
	return at, plain && !t.Draining && t.Backend.Other == ""
}

// besideName is the cluster that the workloads of a protocol share.
func besideName(p bgp.Protocol) string {
	if p == bgp.HTTP2 || p == bgp.GRPC {
		return besideHTTP2
	}
	return besideHTTP1
}

// besideCluster is that cluster. Its limit of connections is each workload's own, as if it had a cluster; requests are
// counted for all of them.
func (c *Compiler) besideCluster(name string) *cluster.Cluster {
	most := c.cfg.Limits.serviceConnections()
	limits := breakers(c.cfg.Limits.Descriptors, c.cfg.Limits.Descriptors*hopStreams)
	limits.PerHostThresholds = []*cluster.CircuitBreakers_Thresholds{{MaxConnections: wrapperspb.UInt32(most)}}
	cl := &cluster.Cluster{
		Name: name, ConnectTimeout: c.patience(false), LbPolicy: cluster.Cluster_CLUSTER_PROVIDED,
		ClusterDiscoveryType: &cluster.Cluster_Type{Type: cluster.Cluster_ORIGINAL_DST},
		LbConfig: &cluster.Cluster_OriginalDstLbConfig_{OriginalDstLbConfig: &cluster.Cluster_OriginalDstLbConfig{
			UseHttpHeader: true, HttpHeaderName: destinationHeader}},
		CleanupInterval: durationpb.New(besideForgotten), CircuitBreakers: limits,
		PerConnectionBufferLimitBytes: wrapperspb.UInt32(localBuffer),
	}
	cl.TypedExtensionProtocolOptions = c.http1Upstream(c.cfg.Limits.WorkloadIdle)
	if name == besideHTTP2 {
		cl.TypedExtensionProtocolOptions = c.http2Upstream(nil) // no pings, as in localCluster
	}
	return cl
}

// besideRoutes are the routes of a service to its only workload. There is a table of them for each service, so that
// they are as short as they can be: what a loop is answered stands in the listeners (see localReplies).
func (c *Compiler) besideRoutes(f *Forwarding, at netip.AddrPort) *route.RouteConfiguration {
	rc := c.routesTo("", f.Protocol, besideName(f.Protocol), f.runs())
	retryOnce(rc)
	for retry := range retries(rc) { // there is no other to go to
		retry.RetryHostPredicate, retry.HostSelectionRetryMaxAttempts = nil, 0
	}
	for _, host := range rc.GetVirtualHosts() {
		host.RequestHeadersToAdd = append(host.RequestHeadersToAdd, &core.HeaderValueOption{
			Header:       &core.HeaderValue{Key: destinationHeader, Value: at.String()},
			AppendAction: core.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD, // whatever the caller said
		})
		host.GetRoutes()[0].GetDirectResponse().Body = nil
	}
	return rc
}

// closed checks that an encoded resource which leads to the workloads beside this node says to which, and no caller.
func closed(typeURL, name string, raw []byte) error {
	says := bytes.Contains(raw, []byte(destinationHeader))
	if typeURL == TypeCluster || says || !bytes.Contains(raw, []byte(besidePrefix)) {
		return nil
	}
	return fmt.Errorf("%s leads to %s and does not say where to: please report this", name, besidePrefix)
}
