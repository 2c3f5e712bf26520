package xds

import (
	mutation "github.com/envoyproxy/go-control-plane/envoy/config/common/mutation_rules/v3"
	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	early "github.com/envoyproxy/go-control-plane/envoy/extensions/http/early_header_mutation/header_mutation/v3"
	matcher "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
)

// withoutClaims removes, before anything looks at a request, what its sender has no say in: whom it came from and for
// whom it was forwarded (RFC 7239 and its forerunners), and what steers Envoy itself, such as x-envoy-retry-on, which
// would have a POST sent twice. Envoy sets anew what is true of these. An application has no say either in where the
// request has been; another node has.
func withoutClaims(listener string) *core.TypedExtensionConfig {
	out := &early.HeaderMutation{}
	for _, name := range []string{"forwarded", "x-real-ip"} {
		out.Mutations = append(out.Mutations, &mutation.HeaderMutation{Action: &mutation.HeaderMutation_Remove{Remove: name}})
	}
	prefixes := []string{"x-forwarded-", "x-envoy-"}
	if listener == egressName {
		prefixes = append(prefixes, "x-catalyst-")
	}
	for _, prefix := range prefixes {
		match := &mutation.HeaderMutation_RemoveOnMatch{KeyMatcher: &matcher.StringMatcher{
			MatchPattern: &matcher.StringMatcher_Prefix{Prefix: prefix},
		}}
		out.Mutations = append(out.Mutations, &mutation.HeaderMutation{
			Action: &mutation.HeaderMutation_RemoveOnMatch_{RemoveOnMatch: match},
		})
	}
	return extension("envoy.http.early_header_mutation.header_mutation", out)
}
