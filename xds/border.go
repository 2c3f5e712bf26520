package xds

import (
	"fmt"
	"slices"
	"strings"

	xdscore "github.com/cncf/xds/go/xds/core/v3"
	xdsmatcher "github.com/cncf/xds/go/xds/type/matcher/v3"
	mutation "github.com/envoyproxy/go-control-plane/envoy/config/common/mutation_rules/v3"
	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	matching "github.com/envoyproxy/go-control-plane/envoy/extensions/common/matching/v3"
	skip "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/common/matcher/action/v3"
	lua "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/lua/v3"
	codec "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/upstream_codec/v3"
	hcm "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	early "github.com/envoyproxy/go-control-plane/envoy/extensions/http/early_header_mutation/header_mutation/v3"
	upstreams "github.com/envoyproxy/go-control-plane/envoy/extensions/upstreams/http/v3"
	matcher "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/catalyst-router/catalyst/bgp"
)

// Headers by which a workload knows which organisation calls. They are set where a request comes into this
// organisation, over whatever it carried: at an application's own node to this organisation, at the border to the
// organisation that the certificate of the connection names. Between nodes of this organisation they stay.
const (
	organisationHeader = "x-catalyst-organisation" // bravo.example
	borderHeader       = "x-catalyst-border"       // bravo.example/x: the foreign node that handed it over, or none
)

// MaxHops is the most nodes that a request may have crossed (see pathHeader): as many as a route may. Each node on a
// loop sees its own name there before; the bound is for paths on which somebody removes names.
const MaxHops = bgp.MaxHops

// ownCaller is an application beside this node.
func (c *Compiler) ownCaller() *core.TypedExtensionConfig {
	return earlyMutation(overwrite(organisationHeader, string(c.cfg.Self.Org)))
}

func earlyMutation(m ...*mutation.HeaderMutation) *core.TypedExtensionConfig {
	return extension("envoy.http.early_header_mutation.header_mutation", &early.HeaderMutation{Mutations: m})
}

func overwrite(name, value string) *mutation.HeaderMutation {
	return &mutation.HeaderMutation{Action: &mutation.HeaderMutation_Append{Append: &core.HeaderValueOption{
		Header:       &core.HeaderValue{Key: name, Value: value},
		AppendAction: core.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD,
	}}}
}

// comingIn has requests from nodes of another organisation lose what these say of the caller, and say whose they are.
// Envoy's formats give the whole SPIFFE ID of a certificate and no part of it, so that it takes a script, which runs
// for such requests alone.
func (c *Compiler) comingIn() *hcm.HttpFilter {
	names := append(identityHeaders(), organisationHeader, borderHeader)
	script := fmt.Sprintf(`function envoy_on_request(request)
  local headers = request:headers()
  for _, name in ipairs({%s}) do headers:remove(name) end
  local id = request:streamInfo():downstreamSslConnection():uriSanPeerCertificate()[1]
  local org, rest = id:match("^spiffe://([^/]+)/(.+)$")
  local node = org .. "/" .. (rest:match("^envoy/([^/]+)/") or rest:match("^node/(.+)$") or rest)
  headers:replace("%s", org)
  headers:replace("%s", node)
  request:streamInfo():dynamicMetadata():set("%s", "%s", node)
end`, luaStrings(names), organisationHeader, borderHeader, metadataKey, TagBorder)
	return luaUnless("border", script, onlyIf(uriNames(), &xdsmatcher.StringMatcher{
		MatchPattern: &xdsmatcher.StringMatcher_Prefix{Prefix: "spiffe://" + string(c.cfg.Self.Org) + "/"}}))
}

// goingOut is the protocol of next hops of which some are of another organisation: these are told which node of this
// one sends, and neither what is behind it nor what was decided here. Names of other organisations' nodes stay on the
// path, so that a loop through them ends.
func (c *Compiler) goingOut(o *upstreams.HttpProtocolOptions) *upstreams.HttpProtocolOptions {
	script := fmt.Sprintf(`function envoy_on_request(request)
  local headers = request:headers()
  for _, name in ipairs({%s}) do headers:remove(name) end
  local path = ""
  for node in (headers:get("%s") or ""):gmatch("<[^>]*>") do
    if node:sub(1, %d) ~= "<%s/" then path = path .. node end
  end
  headers:replace("%s", path .. "%s")
end`, luaStrings(append(identityHeaders(), organisationHeader, borderHeader)), pathHeader, len(c.cfg.Self.Org)+2,
		c.cfg.Self.Org, pathHeader, c.pathToken())
	o.HttpFilters = []*hcm.HttpFilter{
		httpFilter("envoy.filters.http.lua", &lua.Lua{DefaultSourceCode: luaSource(script)}),
		httpFilter("envoy.filters.http.upstream_codec", &codec.UpstreamCodec{}),
	}
	return o
}

// hopOptions is how Envoy speaks with these next hops.
func (c *Compiler) hopOptions(tiers [][]Target) map[string]*anypb.Any {
	abroad := func(t Target) bool { return t.Backend.Address == "" && t.NextHop.Node.Org != c.cfg.Self.Org }
	if !slices.ContainsFunc(tiers, func(tier []Target) bool { return slices.ContainsFunc(tier, abroad) }) {
		return c.meshUpstream()
	}
	return map[string]*anypb.Any{httpOptions: toAny(c.goingOut(c.meshOptions()))}
}

// hopLimit ends a request that has crossed MaxHops nodes (RFC 5842 §7.2). It is one filter of the listener and not a
// match of each service's routes: an expression that counts costs Envoy kilobytes wherever it stands.
func (c *Compiler) hopLimit() *hcm.HttpFilter {
	text := fmt.Sprintf("loop detected: the request has crossed %d nodes before %s.", MaxHops, c.cfg.Self)
	script := fmt.Sprintf(`function envoy_on_request(request)
  request:respond({[":status"] = "508", ["content-type"] = "text/plain"}, "%s\n")
end`, text)
	many := &xdsmatcher.StringMatcher{MatchPattern: &xdsmatcher.StringMatcher_SafeRegex{SafeRegex: &xdsmatcher.RegexMatcher{
		Regex:      fmt.Sprintf("(?:[^<]*<){%d}.*", MaxHops),
		EngineType: &xdsmatcher.RegexMatcher_GoogleRe2{GoogleRe2: &xdsmatcher.RegexMatcher_GoogleRE2{}},
	}}}
	path := typed("path", &matcher.HttpRequestHeaderMatchInput{HeaderName: pathHeader})
	return luaUnless("hop-limit", script, not(onlyIf(path, many)))
}

// luaUnless is a filter with a script that is not run where a predicate holds.
func luaUnless(name, script string, skipped *xdsmatcher.Matcher_MatcherList_Predicate) *hcm.HttpFilter {
	return httpFilter(name, &matching.ExtensionWithMatcher{
		ExtensionConfig: extension("envoy.filters.http.lua", &lua.Lua{DefaultSourceCode: luaSource(script)}),
		XdsMatcher: &xdsmatcher.Matcher{MatcherType: &xdsmatcher.Matcher_MatcherList_{MatcherList: &xdsmatcher.Matcher_MatcherList{
			Matchers: []*xdsmatcher.Matcher_MatcherList_FieldMatcher{{Predicate: skipped, OnMatch: &xdsmatcher.Matcher_OnMatch{
				OnMatch: &xdsmatcher.Matcher_OnMatch_Action{Action: typed("skip", &skip.SkipFilter{})}}}}}}},
	})
}

func onlyIf(what *xdscore.TypedExtensionConfig, is *xdsmatcher.StringMatcher) *xdsmatcher.Matcher_MatcherList_Predicate {
	return &xdsmatcher.Matcher_MatcherList_Predicate{MatchType: &xdsmatcher.Matcher_MatcherList_Predicate_SinglePredicate_{
		SinglePredicate: &xdsmatcher.Matcher_MatcherList_Predicate_SinglePredicate{
			Input: what, Matcher: &xdsmatcher.Matcher_MatcherList_Predicate_SinglePredicate_ValueMatch{ValueMatch: is},
		}}}
}

func not(p *xdsmatcher.Matcher_MatcherList_Predicate) *xdsmatcher.Matcher_MatcherList_Predicate {
	return &xdsmatcher.Matcher_MatcherList_Predicate{
		MatchType: &xdsmatcher.Matcher_MatcherList_Predicate_NotMatcher{NotMatcher: p},
	}
}

func luaStrings(names []string) string { return `"` + strings.Join(names, `", "`) + `"` }

func luaSource(script string) *core.DataSource {
	return &core.DataSource{Specifier: &core.DataSource_InlineString{InlineString: script}}
}
