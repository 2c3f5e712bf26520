package xds

import (
	"time"

	xdsmatcher "github.com/cncf/xds/go/xds/type/matcher/v3"
	cluster "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpoint "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	extproc "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/ext_proc/v3"
	hcm "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	matcher "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	"google.golang.org/protobuf/types/known/durationpb"
)

// What Envoy tells the node of a request that lasts (Envoy's docs, "Attributes"): the URI name of the caller's
// certificate, which certificate that is, and the service.
const (
	CallerAttribute  = "connection.uri_san_peer_certificate"
	LeafAttribute    = "filter_state['" + leafState + "']"
	ServiceAttribute = "request.host"
)

const (
	underwayName = "underway"
	// soon are the time-outs of gRPC calls that are over in less than 100 s (gRPC over HTTP/2, "Timeout"): gRPC servers
	// keep to them.
	soon = "^([0-9]{1,8}[num]|[0-9]{1,2}S)$"
)

// watchUnderway has Envoy tell the node of the requests of other nodes that last, each by a stream that lives as long,
// so that the node ends those whose caller may not reach the service any more: the guard is asked when a request
// begins. These are connections (CONNECT), upgrades and gRPC calls that set no short time-out, from their beginning;
// and whatever else is answered without a length or with 1 MB and more. A node that is not there ends nothing.
func (c *Compiler) watchUnderway() []*hcm.HttpFilter {
	if c.cfg.Underway == "" {
		return nil
	}
	request := func(name, regex string) *predicate {
		return header(&matcher.HttpRequestHeaderMatchInput{HeaderName: name}, regex)
	}
	connection, upgrade := request(":method", "^CONNECT$"), request("upgrade", ".+")
	grpc, over := request("content-type", "^application/grpc.*"), request("grpc-timeout", soon)
	brief := header(&matcher.HttpResponseHeaderMatchInput{HeaderName: "content-length"}, short)
	early, late := c.watcher(), c.watcher()
	early.ProcessingMode.RequestHeaderMode = extproc.ProcessingMode_SEND
	early.RequestAttributes = []string{CallerAttribute, LeafAttribute, ServiceAttribute}
	late.ProcessingMode.ResponseHeaderMode = extproc.ProcessingMode_SEND
	late.ResponseAttributes = []string{CallerAttribute, LeafAttribute, ServiceAttribute}
	return []*hcm.HttpFilter{
		unless("catalyst.underway.long", either(connection, upgrade, grpc), late, brief),
		unless("catalyst.underway", not(either(connection, upgrade, both(grpc, not(over)))), early),
	}
}

func either(these ...*predicate) *predicate {
	return &predicate{MatchType: &xdsmatcher.Matcher_MatcherList_Predicate_OrMatcher{
		OrMatcher: &xdsmatcher.Matcher_MatcherList_Predicate_PredicateList{Predicate: these}}}
}

func both(these ...*predicate) *predicate {
	return &predicate{MatchType: &xdsmatcher.Matcher_MatcherList_Predicate_AndMatcher{
		AndMatcher: &xdsmatcher.Matcher_MatcherList_Predicate_PredicateList{Predicate: these}}}
}

// watcher asks for nothing of a request but that the stream to the node lasts as long.
func (c *Compiler) watcher() *extproc.ExternalProcessor {
	p := c.holder()
	p.StatPrefix, p.ForwardRules, p.MetadataOptions = underwayName, &extproc.HeaderForwardingRules{
		AllowedHeaders: &matcher.ListStringMatcher{Patterns: []*matcher.StringMatcher{exactly("x-nothing")}},
	}, nil
	p.GrpcService.GetEnvoyGrpc().ClusterName = hopsPrefix + underwayName
	return p
}

// underwayCluster leads to the node.
func (c *Compiler) underwayCluster() *cluster.Cluster {
	const name = hopsPrefix + underwayName
	return &cluster.Cluster{
		Name:                          name,
		ConnectTimeout:                durationpb.New(connectTimeout),
		ClusterDiscoveryType:          &cluster.Cluster_Type{Type: cluster.Cluster_STATIC},
		TypedExtensionProtocolOptions: c.http2Upstream(nil), CircuitBreakers: c.hopBreakers(),
		LoadAssignment: &endpoint.ClusterLoadAssignment{
			ClusterName: name,
			Endpoints: []*endpoint.LocalityLbEndpoints{{LbEndpoints: []*endpoint.LbEndpoint{{
				HostIdentifier: &endpoint.LbEndpoint_Endpoint{Endpoint: &endpoint.Endpoint{Address: pipe(c.cfg.Underway)}},
			}}}},
		},
	}
}

// boundMesh bounds how long requests and connections of other nodes last. A connection that has become too old takes
// no new requests, and is closed when those on it are over (Envoy's docs, max_connection_duration).
func (c *Compiler) boundMesh(o *core.HttpProtocolOptions) {
	set := func(to **durationpb.Duration, d time.Duration) {
		if d > 0 {
			*to = durationpb.New(d)
		}
	}
	set(&o.MaxStreamDuration, c.cfg.Limits.MeshStream)
	set(&o.MaxConnectionDuration, c.cfg.Limits.MeshConnection)
}
