package xds

import (
	xdsmatcher "github.com/cncf/xds/go/xds/type/matcher/v3"
	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	hcm "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	matcher "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
)

// http1Egress is how the egress takes requests of HTTP/1. Clients offer to go on over TLS with every request
// (Upgrade: TLS/1.2, as Apache's HttpClient does): a server that does not want to ignores that (RFC 9110 §7.8).
func (c *Compiler) http1Egress() *core.Http1ProtocolOptions {
	return &core.Http1ProtocolOptions{
		AcceptHttp_10: !c.cfg.Limits.RefuseHTTP10, EnableTrailers: true,
		IgnoreHttp_11Upgrade: []*matcher.StringMatcher{{
			MatchPattern: &matcher.StringMatcher_Prefix{Prefix: "TLS/"},
			IgnoreCase:   true,
		}},
	}
}

// lowerCaseHost writes the name of a service in lower case, as its scope is called, where a caller did not (RFC 9110
// §4.2.3). Envoy's formats know no lower case and its scopes are told apart by exact keys, so that it takes a filter;
// one that costs a request nothing but a look at its authority.
func lowerCaseHost() *hcm.HttpFilter {
	const script = `function envoy_on_request(request)
  local name = request:headers():get(":authority"):lower()
  request:headers():replace(":authority", name)
  request:headers():replace("` + serviceHeader + `", name)
  request:clearRouteCache()
end`
	upper := onlyIf(typed("authority", &matcher.HttpRequestHeaderMatchInput{HeaderName: ":authority"}),
		&xdsmatcher.StringMatcher{MatchPattern: &xdsmatcher.StringMatcher_SafeRegex{SafeRegex: &xdsmatcher.RegexMatcher{
			Regex:      ".*[A-Z].*",
			EngineType: &xdsmatcher.RegexMatcher_GoogleRe2{GoogleRe2: &xdsmatcher.RegexMatcher_GoogleRE2{}},
		}}})
	return luaUnless("lower-case-host", script, not(upper))
}
