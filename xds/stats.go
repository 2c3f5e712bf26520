package xds

import (
	accesslog "github.com/envoyproxy/go-control-plane/envoy/config/accesslog/v3"
	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	route "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	filelog "github.com/envoyproxy/go-control-plane/envoy/extensions/access_loggers/file/v3"
	statslog "github.com/envoyproxy/go-control-plane/envoy/extensions/access_loggers/stats/v3"
	matcher "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/catalyst-router/catalyst/bgp"
)

// What Envoy counts of each service that is called, as its statistics are named. Tags: service, direction (egress:
// for applications beside this node; ingress: for other nodes), and code of requests.
const (
	StatScope       = "catalyst"
	StatRequests    = "requests"        // counter
	StatRequestTime = "request_time"    // histogram, microseconds
	StatConnections = "tcp_connections" // counter, when they end
	StatSent        = "tcp_bytes_sent"  // counter, to the application
	StatReceived    = "tcp_bytes_read"  // counter, from the application
	StatForeign     = "foreign_calls"   // counter, of what other organisations' nodes sent, when it ends
	TagService      = "service"         // of all
	TagBorder       = "border"          // of foreign calls: the node of another organisation, such as bravo.example/x
	TagDirection    = "direction"       // of requests
	TagCode         = "code"            // of requests; 0 where the caller went away before an answer
	maxCounted      = 500               // services that have statistics; those of others are not counted
	requestTime     = "%COMMON_DURATION(DS_RX_BEG:DS_TX_END:us)%"
	egressCalls     = "egress"
	// What a request counts for: the pattern by which it has its route, since anybody makes up names below one, or else
	// its service.
	countedName    = "%REQ(X-CATALYST-PATTERN?:AUTHORITY)%"
	ingressCalls   = "ingress"
	untilForgotten = 20 // counters a service: one for each status
)

// MaxForeign is the most pairs of a foreign node and a service that have statistics; calls of others are not counted.
// Only nodes that are peers are let in, and to services that they are offered: nobody makes up either.
const MaxForeign = 20_000

// httpLogs is what Envoy writes and counts of requests.
func (c *Compiler) httpLogs(listener string) []*accesslog.AccessLog {
	direction := egressCalls
	if listener == ingressName {
		direction = ingressCalls
	}
	tags := []*statslog.Config_Tag{{Name: TagService, ValueFormat: countedName},
		{Name: TagDirection, ValueFormat: direction}}
	code := append(tags[:2:2], &statslog.Config_Tag{Name: TagCode, ValueFormat: "%RESPONSE_CODE%"})
	counted := statsLogger(&statslog.Config{
		Counters: []*statslog.Config_Counter{counter(StatRequests, "", code)},
		Histograms: []*statslog.Config_Histogram{{
			Stat:        &statslog.Config_Stat{Name: StatRequestTime, Tags: tags},
			Unit:        statslog.Config_Histogram_Microseconds,
			ValueFormat: requestTime,
		}},
	})
	// A request that found a route has lost the header by which it did. One that did not may have any name, and is not
	// counted.
	counted.Filter = &accesslog.AccessLogFilter{FilterSpecifier: &accesslog.AccessLogFilter_HeaderFilter{HeaderFilter: &accesslog.HeaderFilter{
		Header: &route.HeaderMatcher{
			Name:                 serviceHeader,
			HeaderMatchSpecifier: &route.HeaderMatcher_PresentMatch{PresentMatch: false},
		}}}}
	all := append(append(c.accessLog("%REQ(:AUTHORITY)%"), counted), c.tapHTTP(listener)...)
	if listener == ingressName {
		all = append(all, foreignCalls())
	}
	return all
}

// foreignCalls counts what came over the border (see comingIn), by who sent it.
func foreignCalls() *accesslog.AccessLog {
	counted := logger("envoy.access_loggers.stats", &statslog.Config{
		StatsScope: &typev3.Scope{
			Prefix: StatScope, SharingName: StatForeign, MaxCounters: wrapperspb.UInt32(MaxForeign),
		},
		Counters: []*statslog.Config_Counter{counter(StatForeign, "", []*statslog.Config_Tag{
			{Name: TagService, ValueFormat: countedName},
			{Name: TagBorder, ValueFormat: "%DYNAMIC_METADATA(" + metadataKey + ":" + TagBorder + ")%"},
		})},
	})
	counted.Filter = &accesslog.AccessLogFilter{FilterSpecifier: &accesslog.AccessLogFilter_MetadataFilter{
		MetadataFilter: &accesslog.MetadataFilter{
			Matcher: &matcher.MetadataMatcher{
				Filter: metadataKey,
				Path: []*matcher.MetadataMatcher_PathSegment{{
					Segment: &matcher.MetadataMatcher_PathSegment_Key{Key: TagBorder},
				}},
				Value: &matcher.ValueMatcher{MatchPattern: &matcher.ValueMatcher_PresentMatch{PresentMatch: true}},
			},
			MatchIfKeyNotFound: wrapperspb.Bool(false),
		}}}
	return counted
}

// tcpLogs is what Envoy writes and counts of connections to a TCP service.
func (c *Compiler) tcpLogs(svc bgp.Service) []*accesslog.AccessLog {
	tags := []*statslog.Config_Tag{{Name: TagService, ValueFormat: string(svc)}}
	counted := statsLogger(&statslog.Config{Counters: []*statslog.Config_Counter{
		counter(StatConnections, "", tags), counter(StatSent, "%BYTES_SENT%", tags),
		counter(StatReceived, "%BYTES_RECEIVED%", tags),
	}})
	return append(append(c.accessLog(string(svc)), counted), c.tapTCP()...)
}

// counter adds a value, or 1.
func counter(name, value string, tags []*statslog.Config_Tag) *statslog.Config_Counter {
	out := &statslog.Config_Counter{Stat: &statslog.Config_Stat{Name: name, Tags: tags}, ValueFormat: value}
	if value == "" {
		out.ValueFixed = wrapperspb.UInt64(1)
	}
	return out
}

func statsLogger(cfg *statslog.Config) *accesslog.AccessLog {
	cfg.StatsScope = &typev3.Scope{
		Prefix:        StatScope,
		SharingName:   StatScope,
		MaxCounters:   wrapperspb.UInt32(maxCounted * untilForgotten),
		MaxHistograms: wrapperspb.UInt32(2 * maxCounted),
	}
	return logger("envoy.access_loggers.stats", cfg)
}

func logger(name string, m proto.Message) *accesslog.AccessLog {
	return &accesslog.AccessLog{Name: name, ConfigType: &accesslog.AccessLog_TypedConfig{TypedConfig: toAny(m)}}
}

// accessLog writes a line of JSON for each request or connection of a service, into a file.
func (c *Compiler) accessLog(service string) []*accesslog.AccessLog {
	if c.cfg.AccessLog == "" {
		return nil
	}
	fields := map[string]*structpb.Value{}
	for k, v := range map[string]string{
		"time": "%START_TIME%", "method": "%REQ(:METHOD)%", "service": service, "path": "%REQ(:PATH)%",
		"status": "%RESPONSE_CODE%", "flags": "%RESPONSE_FLAGS%",
		"details": "%RESPONSE_CODE_DETAILS%", "bytes_in": "%BYTES_RECEIVED%", "bytes_out": "%BYTES_SENT%",
		"ms": "%DURATION%", "upstream": "%UPSTREAM_HOST%",
		"peer": "%DOWNSTREAM_PEER_URI_SAN%", "nodes": "%REQ(X-CATALYST-PATH)%", "trace": "%REQ(TRACEPARENT)%",
	} {
		fields[k] = structpb.NewStringValue(v)
	}
	if c.cfg.Policy != nil { // the result is "deny", or nothing
		for _, k := range []string{"decision", "result", "principal", "policies"} {
			fields["policy_"+k] = structpb.NewStringValue("%DYNAMIC_METADATA(" + policyFilter + ":" + k + ")%")
		}
	}
	return []*accesslog.AccessLog{logger("envoy.access_loggers.file", &filelog.FileAccessLog{
		Path: c.cfg.AccessLog, AccessLogFormat: &filelog.FileAccessLog_LogFormat{LogFormat: &core.SubstitutionFormatString{
			Format: &core.SubstitutionFormatString_JsonFormat{JsonFormat: &structpb.Struct{Fields: fields}}}},
	})}
}
