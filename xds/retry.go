package xds

import (
	"iter"
	"slices"
	"time"

	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	route "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	previous "github.com/envoyproxy/go-control-plane/envoy/extensions/retry/host/previous_hosts/v3"
	priorities "github.com/envoyproxy/go-control-plane/envoy/extensions/retry/priority/previous_priorities/v3"
	matcher "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// unsent is when a request did not reach its target: it may be tried at another one whatever its method.
const unsent = "connect-failure,refused-stream,reset-before-request"

// unanswered is when a request was answered nothing, for whatever reason, which includes all of unsent.
const unanswered = "reset"

// idempotent matches requests that may be sent twice (RFC 9110 §9.2.2).
func idempotent() *route.RouteMatch {
	m := anything()
	m.Headers = []*route.HeaderMatcher{{
		Name: ":method",
		HeaderMatchSpecifier: &route.HeaderMatcher_StringMatch{StringMatch: &matcher.StringMatcher{
			MatchPattern: &matcher.StringMatcher_SafeRegex{
				SafeRegex: &matcher.RegexMatcher{Regex: "GET|HEAD|OPTIONS|PUT|DELETE|TRACE"},
			}}},
	}}
	return m
}

// sentAgain has a request sent once more when the workload closes the connection before it has answered anything:
// most often, it had just closed an idle connection while the request was on its way. Only the node beside the
// workload does so, since attempts would multiply if every node on the path did. Where there are backups, the request
// is tried at them, as often as any other.
func sentAgain(r *route.Route, backups bool) *route.Route {
	retry := r.GetRoute().GetRetryPolicy()
	retry.RetryOn = unanswered
	if !backups {
		retry.NumRetries = wrapperspb.UInt32(1)
	}
	return r
}

// idempotentElsewhere has a request that may be sent twice tried at another next hop when the node that it was sent
// to goes away before it has answered anything. Attempts do not multiply by that: a node that lives answers, if only
// that what is behind it does not. A TCP connection cannot be tried twice.
func idempotentElsewhere(rc *route.RouteConfiguration) *route.RouteConfiguration {
	for _, host := range rc.GetVirtualHosts() {
		last := len(host.Routes) - 1
		if host.Routes[last].GetMatch().GetConnectMatcher() != nil {
			continue
		}
		again := proto.CloneOf(host.Routes[last])
		again.Match = idempotent()
		again.GetRoute().GetRetryPolicy().RetryOn = unsent + ",reset"
		host.Routes = slices.Insert(host.Routes, last, again)
	}
	return rc
}

// loopGuard ends a request that has been here: two nodes back each other up and neither reaches the service (RFC 5842
// §7.2).
func (c *Compiler) loopGuard(m *route.RouteMatch) *route.Route {
	m.Headers = []*route.HeaderMatcher{{
		Name: pathHeader,
		HeaderMatchSpecifier: &route.HeaderMatcher_StringMatch{StringMatch: &matcher.StringMatcher{
			MatchPattern: &matcher.StringMatcher_Contains{Contains: c.pathToken()}}},
	}}
	return &route.Route{Match: m, Action: &route.Route_DirectResponse{DirectResponse: &route.DirectResponseAction{
		Status: 508,
		Body:   &core.DataSource{Specifier: &core.DataSource_InlineString{InlineString: c.beenHere()}},
	}}}
}

// beenHere is what a request that has been here is answered.
func (c *Compiler) beenHere() string {
	return "loop detected: the request has been at " + c.cfg.Self.String() + " before.\n"
}

// forward sends a request on, for as long as it takes, and to another target when one does not answer.
func (c *Compiler) forward(m *route.RouteMatch, action *route.RouteAction) *route.Route {
	action.Timeout = durationpb.New(0)
	action.RetryPolicy = &route.RetryPolicy{
		RetryOn: unsent, NumRetries: wrapperspb.UInt32(3),
		RetryBackOff: &route.RetryPolicy_RetryBackOff{
			BaseInterval: durationpb.New(5 * time.Millisecond),
			MaxInterval:  durationpb.New(50 * time.Millisecond),
		},
		HostSelectionRetryMaxAttempts: 3,
		RetryHostPredicate:            []*route.RetryPolicy_RetryHostPredicate{previousHosts()},
	}
	return &route.Route{Match: m, Action: &route.Route_Route{Route: action}}
}

// previousHosts makes a retry go to another target.
func previousHosts() *route.RetryPolicy_RetryHostPredicate {
	return &route.RetryPolicy_RetryHostPredicate{Name: "envoy.retry_host_predicates.previous_hosts",
		ConfigType: &route.RetryPolicy_RetryHostPredicate_TypedConfig{TypedConfig: toAny(&previous.PreviousHostsPredicate{})}}
}

// retryNextTier has requests that did not reach a target of the first tier tried at the next. Envoy leaves a dead
// target a moment after that (see outliers); until then its first tier is chosen for every request. A workload beside
// the node, and a tier of several, get a second attempt first.
func retryNextTier(rc *route.RouteConfiguration, first run) {
	attempts := int32(1)
	if first.local || len(first.tiers[0]) > 1 {
		attempts = 2
	}
	for p := range retries(rc) {
		p.RetryPriority = previousTiers(attempts)
	}
}

// retries ranges over how the requests of each route are tried again.
func retries(rc *route.RouteConfiguration) iter.Seq[*route.RetryPolicy] {
	return func(yield func(*route.RetryPolicy) bool) {
		for _, vh := range rc.GetVirtualHosts() {
			for _, r := range vh.GetRoutes() {
				if p := r.GetRoute().GetRetryPolicy(); p != nil && !yield(p) {
					return
				}
			}
		}
	}
}

// retryOnce has requests for the only target tried twice in all. At a target that takes connections and answers
// nothing, or an address where packets vanish, each attempt lasts for Limits.Connect: a caller waits for twice that,
// and not for four times.
func retryOnce(rc *route.RouteConfiguration) {
	for p := range retries(rc) {
		p.NumRetries = wrapperspb.UInt32(1)
	}
}

// previousTiers makes a retry leave the tiers that have been tried so many times.
func previousTiers(attempts int32) *route.RetryPolicy_RetryPriority {
	return &route.RetryPolicy_RetryPriority{Name: "envoy.retry_priorities.previous_priorities",
		ConfigType: &route.RetryPolicy_RetryPriority_TypedConfig{
			TypedConfig: toAny(&priorities.PreviousPrioritiesConfig{UpdateFrequency: attempts}),
		}}
}
