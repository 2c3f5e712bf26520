package xds

import (
	"math"
	"time"

	accesslog "github.com/envoyproxy/go-control-plane/envoy/config/accesslog/v3"
	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	grpclog "github.com/envoyproxy/go-control-plane/envoy/extensions/access_loggers/grpc/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// Tap has Envoy tell the node of requests and connections as they end (envoy.service.accesslog.v3). Envoy keeps what
// it has yet to tell in a bounded buffer and drops what does not fit, so that a node that is slow or away costs calls
// nothing.
type Tap struct {
	// Share is how many of all calls Envoy tells of, in percent, 0 to 100. Those that failed, were denied or were slow
	// are told of whatever the share is.
	Share float64
	// Slow is from when on a request is slow. Required.
	Slow time.Duration
}

// Where a call was seen, by the name of the log that tells of it (StreamAccessLogsMessage, identifier.log_name).
const (
	TapEgress  = egressName  // requests of applications beside this node
	TapIngress = ingressName // requests and CONNECT streams of other nodes
	TapTCP     = "tcp"       // connections of applications beside this node
)

// Headers of a request that are told: which nodes it crossed, who it is from, and the trace that it belongs to.
const (
	TapPath         = pathHeader
	TapOrganisation = organisationHeader
	TapTrace        = "traceparent"
)

// PolicyFilter is the name under which a policy's decision stands in the dynamic metadata of a request.
const PolicyFilter = policyFilter

// AdsCluster is the cluster, of every Envoy's bootstrap, that leads to its node.
const AdsCluster = "catalyst-ads"

const (
	tapFlush  = 250 * time.Millisecond // how long a call may wait for others to be told together
	tapBuffer = 16 << 10               // bytes, of a worker; each twice, and then Envoy drops
	tapShare  = "catalyst.tap.share"   // runtime key, by which an Envoy's own operator may change the share
)

// tapHTTP tells of a listener's requests.
func (c *Compiler) tapHTTP(listener string) []*accesslog.AccessLog {
	if c.cfg.Tap == nil {
		return nil
	}
	l := logger("envoy.access_loggers.http_grpc", &grpclog.HttpGrpcAccessLogConfig{
		CommonConfig: tapTo(listener), AdditionalRequestHeadersToLog: []string{TapPath, TapOrganisation, TapTrace},
		AdditionalResponseHeadersToLog: []string{"grpc-status"}, AdditionalResponseTrailersToLog: []string{"grpc-status"},
	})
	l.Filter = c.tapFilter(true)
	return []*accesslog.AccessLog{l}
}

// tapTCP tells of connections to TCP services.
func (c *Compiler) tapTCP() []*accesslog.AccessLog {
	if c.cfg.Tap == nil {
		return nil
	}
	l := logger("envoy.access_loggers.tcp_grpc", &grpclog.TcpGrpcAccessLogConfig{CommonConfig: tapTo(TapTCP)})
	l.Filter = c.tapFilter(false)
	return []*accesslog.AccessLog{l}
}

func tapTo(name string) *grpclog.CommonGrpcAccessLogConfig {
	return &grpclog.CommonGrpcAccessLogConfig{
		LogName: name, TransportApiVersion: core.ApiVersion_V3,
		GrpcService: &core.GrpcService{TargetSpecifier: &core.GrpcService_EnvoyGrpc_{
			EnvoyGrpc: &core.GrpcService_EnvoyGrpc{ClusterName: AdsCluster},
		}},
		BufferFlushInterval: durationpb.New(tapFlush), BufferSizeBytes: wrapperspb.UInt32(tapBuffer),
	}
}

// tapFilter chooses what is told of; nil for all.
func (c *Compiler) tapFilter(requests bool) *accesslog.AccessLogFilter {
	if c.cfg.Tap.Share >= 100 {
		return nil
	}
	const million = 1_000_000
	any := []*accesslog.AccessLogFilter{
		{FilterSpecifier: &accesslog.AccessLogFilter_RuntimeFilter{RuntimeFilter: &accesslog.RuntimeFilter{
			RuntimeKey: tapShare, UseIndependentRandomness: true,
			PercentSampled: &typev3.FractionalPercent{
				Numerator: uint32(math.Round(c.cfg.Tap.Share / 100 * million)), Denominator: typev3.FractionalPercent_MILLION,
			},
		}}},
		// Any of Envoy's own reasons: no next hop, no route, refused by policy, reset, timed out.
		{FilterSpecifier: &accesslog.AccessLogFilter_ResponseFlagFilter{ResponseFlagFilter: &accesslog.ResponseFlagFilter{}}},
	}
	if requests {
		any = append(any, number(accesslog.ComparisonFilter_GE, 500, tapShare+".status", false),
			number(accesslog.ComparisonFilter_EQ, 401, tapShare+".unknown", false),
			number(accesslog.ComparisonFilter_EQ, 403, tapShare+".denied", false),
			number(accesslog.ComparisonFilter_GE, uint32(c.cfg.Tap.Slow.Milliseconds()), tapShare+".slow", true),
			&accesslog.AccessLogFilter{FilterSpecifier: &accesslog.AccessLogFilter_GrpcStatusFilter{
				GrpcStatusFilter: &accesslog.GrpcStatusFilter{Statuses: []accesslog.GrpcStatusFilter_Status{
					accesslog.GrpcStatusFilter_DEADLINE_EXCEEDED, accesslog.GrpcStatusFilter_UNAVAILABLE,
					accesslog.GrpcStatusFilter_PERMISSION_DENIED, accesslog.GrpcStatusFilter_UNAUTHENTICATED,
					accesslog.GrpcStatusFilter_RESOURCE_EXHAUSTED, accesslog.GrpcStatusFilter_DATA_LOSS,
				}},
			}})
	}
	return &accesslog.AccessLogFilter{FilterSpecifier: &accesslog.AccessLogFilter_OrFilter{
		OrFilter: &accesslog.OrFilter{Filters: any},
	}}
}

// number compares the status of a request, or its duration in milliseconds.
func number(op accesslog.ComparisonFilter_Op, v uint32, key string, duration bool) *accesslog.AccessLogFilter {
	compare := &accesslog.ComparisonFilter{Op: op, Value: &core.RuntimeUInt32{DefaultValue: v, RuntimeKey: key}}
	if duration {
		return &accesslog.AccessLogFilter{FilterSpecifier: &accesslog.AccessLogFilter_DurationFilter{
			DurationFilter: &accesslog.DurationFilter{Comparison: compare},
		}}
	}
	return &accesslog.AccessLogFilter{FilterSpecifier: &accesslog.AccessLogFilter_StatusCodeFilter{
		StatusCodeFilter: &accesslog.StatusCodeFilter{Comparison: compare},
	}}
}
