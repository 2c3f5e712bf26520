package xds

import (
	"time"

	xdsmatcher "github.com/cncf/xds/go/xds/type/matcher/v3"
	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	matching "github.com/envoyproxy/go-control-plane/envoy/extensions/common/matching/v3"
	action "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/common/matcher/action/v3"
	extproc "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/ext_proc/v3"
	hcm "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	matcher "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

const (
	holdFilter  = "envoy.filters.http.ext_proc"
	holdHeader  = "x-catalyst-hold"
	holdTimeout = 5 * time.Second
)

// short are lengths of an answer that are over before a right could be taken away: below 1 MB.
const short = "^[0-9]{1,6}$"

// Envoy tells the node of each request that lasts, and ends it when the node says so (envoy.service.ext_proc.v3): a
// check is asked once, and a stream may then go on for hours. A node that restarts lets go of the requests under way:
// they go on.

// holdOpen is for the requests that may last before they are answered: a header of the check's answer says so.
func (c *Compiler) holdOpen() *hcm.HttpFilter {
	p := c.holder()
	p.ProcessingMode.RequestHeaderMode = extproc.ProcessingMode_SEND
	return unless("catalyst.hold", not(header(&matcher.HttpRequestHeaderMatchInput{HeaderName: holdHeader}, ".+")), p)
}

// holdLong is for all others: it looks at the answer, and skips those that are short. It stands before holdOpen, which
// takes the header away.
func (c *Compiler) holdLong() *hcm.HttpFilter {
	p := c.holder()
	p.ProcessingMode.ResponseHeaderMode = extproc.ProcessingMode_SEND
	opened := header(&matcher.HttpRequestHeaderMatchInput{HeaderName: holdHeader}, ".+")
	brief := header(&matcher.HttpResponseHeaderMatchInput{HeaderName: "content-length"}, short)
	return unless("catalyst.hold.long", opened, p, brief)
}

// holder asks for nothing of a request but that the stream to the node lasts as long: what comes last keeps it open.
func (c *Compiler) holder() *extproc.ExternalProcessor {
	return &extproc.ExternalProcessor{
		GrpcService: &core.GrpcService{TargetSpecifier: &core.GrpcService_EnvoyGrpc_{
			EnvoyGrpc: &core.GrpcService_EnvoyGrpc{ClusterName: hopsPrefix + policyName},
		}},
		FailureModeAllow: true, StatPrefix: "hold", MessageTimeout: durationpb.New(holdTimeout),
		EmitClientSpan: wrapperspb.Bool(false),
		ForwardRules: &extproc.HeaderForwardingRules{AllowedHeaders: &matcher.ListStringMatcher{
			Patterns: []*matcher.StringMatcher{{MatchPattern: &matcher.StringMatcher_Exact{Exact: holdHeader}}},
		}},
		MetadataOptions: &extproc.MetadataOptions{
			ForwardingNamespaces: &extproc.MetadataOptions_MetadataNamespaces{Untyped: []string{policyFilter}},
		},
		ProcessingMode: &extproc.ProcessingMode{
			RequestHeaderMode: extproc.ProcessingMode_SKIP, ResponseHeaderMode: extproc.ProcessingMode_SKIP,
			RequestTrailerMode: extproc.ProcessingMode_SKIP, ResponseTrailerMode: extproc.ProcessingMode_SEND,
		},
	}
}

type predicate = xdsmatcher.Matcher_MatcherList_Predicate

// unless is a filter that is skipped where one of the predicates holds.
func unless(name string, first *predicate, p *extproc.ExternalProcessor, others ...*predicate) *hcm.HttpFilter {
	list := &xdsmatcher.Matcher_MatcherList{}
	for _, one := range append([]*predicate{first}, others...) {
		list.Matchers = append(list.Matchers, &xdsmatcher.Matcher_MatcherList_FieldMatcher{
			Predicate: one,
			OnMatch: &xdsmatcher.Matcher_OnMatch{OnMatch: &xdsmatcher.Matcher_OnMatch_Action{
				Action: input("skip", &action.SkipFilter{}),
			}},
		})
	}
	return httpFilter(name, &matching.ExtensionWithMatcher{
		XdsMatcher:      &xdsmatcher.Matcher{MatcherType: &xdsmatcher.Matcher_MatcherList_{MatcherList: list}},
		ExtensionConfig: extension(holdFilter, p),
	})
}

// header is true where a header is there and looks like that.
func header(of proto.Message, regex string) *predicate {
	return onlyIf(input("header", of), &xdsmatcher.StringMatcher{MatchPattern: &xdsmatcher.StringMatcher_SafeRegex{
		SafeRegex: &xdsmatcher.RegexMatcher{
			EngineType: &xdsmatcher.RegexMatcher_GoogleRe2{GoogleRe2: &xdsmatcher.RegexMatcher_GoogleRE2{}}, Regex: regex,
		},
	}})
}
