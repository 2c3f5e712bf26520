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
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

const (
	holdFilter  = "envoy.filters.http.ext_proc"
	holdHeader  = "x-catalyst-hold"
	holdTimeout = 5 * time.Second
)

// holdTokens has Envoy tell the node of each request that goes on by right of a token, and end it when the node says
// so (envoy.service.ext_proc.v3): a check is asked once, and a stream may then go on for hours. Which requests these
// are says a header of the check's answer. A node that restarts lets go of the requests under way: they go on, for as
// long as streams may.
func (c *Compiler) holdTokens() *hcm.HttpFilter {
	processor := &extproc.ExternalProcessor{
		GrpcService: &core.GrpcService{TargetSpecifier: &core.GrpcService_EnvoyGrpc_{
			EnvoyGrpc: &core.GrpcService_EnvoyGrpc{ClusterName: hopsPrefix + policyName},
		}},
		FailureModeAllow: true, StatPrefix: "hold", MessageTimeout: durationpb.New(holdTimeout),
		EmitClientSpan: wrapperspb.Bool(false),
		ForwardRules: &extproc.HeaderForwardingRules{AllowedHeaders: &matcher.ListStringMatcher{
			Patterns: []*matcher.StringMatcher{{MatchPattern: &matcher.StringMatcher_Exact{Exact: holdHeader}}},
		}},
		// What comes last keeps the stream to the node open.
		ProcessingMode: &extproc.ProcessingMode{
			RequestHeaderMode: extproc.ProcessingMode_SEND, ResponseHeaderMode: extproc.ProcessingMode_SKIP,
			RequestTrailerMode: extproc.ProcessingMode_SKIP, ResponseTrailerMode: extproc.ProcessingMode_SEND,
		},
	}
	unless := &xdsmatcher.Matcher{MatcherType: &xdsmatcher.Matcher_MatcherList_{
		MatcherList: &xdsmatcher.Matcher_MatcherList{Matchers: []*xdsmatcher.Matcher_MatcherList_FieldMatcher{{
			Predicate: notHeld(),
			OnMatch: &xdsmatcher.Matcher_OnMatch{OnMatch: &xdsmatcher.Matcher_OnMatch_Action{
				Action: input("skip", &action.SkipFilter{}),
			}},
		}}},
	}}
	return httpFilter("catalyst.hold", &matching.ExtensionWithMatcher{
		XdsMatcher: unless, ExtensionConfig: extension(holdFilter, processor),
	})
}

// notHeld is true for requests without the header.
func notHeld() *xdsmatcher.Matcher_MatcherList_Predicate {
	there := &xdsmatcher.Matcher_MatcherList_Predicate{MatchType: &xdsmatcher.Matcher_MatcherList_Predicate_SinglePredicate_{
		SinglePredicate: &xdsmatcher.Matcher_MatcherList_Predicate_SinglePredicate{
			Input: input("header", &matcher.HttpRequestHeaderMatchInput{HeaderName: holdHeader}),
			Matcher: &xdsmatcher.Matcher_MatcherList_Predicate_SinglePredicate_ValueMatch{
				ValueMatch: &xdsmatcher.StringMatcher{MatchPattern: &xdsmatcher.StringMatcher_SafeRegex{
					SafeRegex: &xdsmatcher.RegexMatcher{
						EngineType: &xdsmatcher.RegexMatcher_GoogleRe2{GoogleRe2: &xdsmatcher.RegexMatcher_GoogleRE2{}},
						Regex:      ".+",
					},
				}},
			},
		},
	}}
	return &xdsmatcher.Matcher_MatcherList_Predicate{MatchType: &xdsmatcher.Matcher_MatcherList_Predicate_NotMatcher{
		NotMatcher: there,
	}}
}
