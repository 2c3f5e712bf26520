package xds

import (
	"regexp"
	"slices"
	"strings"

	cncf "github.com/cncf/xds/go/xds/core/v3"
	match "github.com/cncf/xds/go/xds/type/matcher/v3"
	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listener "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	rbac "github.com/envoyproxy/go-control-plane/envoy/config/rbac/v3"
	statevalue "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/common/set_filter_state/v3"
	rbacfilter "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/rbac/v3"
	hcm "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	state "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/set_filter_state/v3"
	ssl "github.com/envoyproxy/go-control-plane/envoy/extensions/matching/common_inputs/ssl/v3"
	matcher "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	"google.golang.org/protobuf/proto"

	"github.com/catalyst-router/catalyst/bgp"
)

// Admission is who may come in at the mesh ingress, and what they may reach there. Whoever is not named is refused,
// whatever CA signed the certificate. A newer admission replaces the one before whole.
type Admission struct {
	// Organisation admits every node of this node's own organisation to everything, peer or not: where a hub reflects
	// routes, nodes that do not peer with each other send to each other.
	Organisation bool
	Peers        []Admitted
	// Refused nodes, and their Envoys, do not come in whatever the others say: their certificates are revoked.
	Refused []bgp.NodeID
	// Leaves are certificates of the organisation that issued them which do not come in either, whoever shows them.
	Leaves []Leaf
}

// Leaf is a certificate that is revoked by itself. The organisation speaks for its own alone.
type Leaf struct {
	Org bgp.Org
	// Serial is its number, hexadecimal in lower case without zeros in front, or SHA256 the hash of it, 64 hexadecimal
	// digits; one of them is "".
	Serial string `json:",omitempty"`
	SHA256 string `json:",omitempty"`
}

// leafHeader says by which certificate a request came in: its serial number, a colon and its SHA-256, as Envoy writes
// them. It is set over whatever the caller sent, and removed before the request goes on. leafState says the same for as
// long as the connection is there.
const (
	leafHeader = "x-catalyst-leaf"
	leafState  = "catalyst.leaf"
	leafFormat = "%DOWNSTREAM_PEER_SERIAL%:%DOWNSTREAM_PEER_FINGERPRINT_256%"
)

// rememberLeaf notes which certificate a connection showed, when its handshake is over.
func rememberLeaf() *listener.Filter {
	format := &core.SubstitutionFormatString{Format: &core.SubstitutionFormatString_TextFormatSource{
		TextFormatSource: &core.DataSource{Specifier: &core.DataSource_InlineString{InlineString: leafFormat}},
	}}
	return networkFilter("envoy.filters.network.set_filter_state", &state.Config{
		OnDownstreamTlsHandshake: []*statevalue.FilterStateValue{{
			Key: &statevalue.FilterStateValue_ObjectKey{ObjectKey: leafState}, FactoryKey: "envoy.string", ReadOnly: true,
			Value: &statevalue.FilterStateValue_FormatString{FormatString: format},
		}},
	})
}

// is tells whether the certificate that Envoy wrote in leafFormat is this one.
func (l *Leaf) is(shown string) bool {
	serial, sum, _ := strings.Cut(shown, ":")
	return l.Serial != "" && l.padded() == serial || l.SHA256 != "" && l.SHA256 == sum
}

// padded is the serial number as Envoy writes it, in whole bytes.
func (l *Leaf) padded() string {
	if len(l.Serial)%2 == 1 {
		return "0" + l.Serial
	}
	return l.Serial
}

// Admits tells whether a caller may reach a service: what the guard decides, for a request that is under way. The
// caller is the URI name of its certificate, and shown what LeafAttribute says of it; own is this node's organisation.
func (a *Admission) Admits(own bgp.Org, caller, shown string, svc bgp.Service) bool {
	node, err := bgp.ParseNodeID(caller)
	if e, envoyErr := bgp.ParseEnvoyID(caller); envoyErr == nil {
		node, err = e.Node, nil
	}
	if err != nil || slices.Contains(a.Refused, node) {
		return false
	}
	if slices.ContainsFunc(a.Leaves, func(l Leaf) bool { return l.Org == node.Org && l.is(shown) }) {
		return false
	}
	if a.Organisation && node.Org == own {
		return true
	}
	i := slices.IndexFunc(a.Peers, func(p Admitted) bool { return p.Node == node })
	if i < 0 {
		return false
	}
	p := &a.Peers[i]
	_, found := slices.BinarySearch(p.Services, svc)
	return p.Everything || found || slices.ContainsFunc(p.Services, func(pattern bgp.Service) bool {
		// A pattern of this organisation stands for services that are named as well.
		return pattern.IsWildcard() && !pattern.Below(own) && svc.Below(bgp.Org(pattern[2:]))
	})
}

// Admitted is one node, and its Envoys.
type Admitted struct {
	Node bgp.NodeID
	// Everything admits it to whatever this node forwards, as a peer of this node's own organisation is: what it sends
	// goes on to other nodes.
	Everything bool
	Services   []bgp.Service // sorted; what it may reach otherwise
}

// guardName is the resource that holds the admission. It is none of the listener's own, so that it changes without
// draining connections (Envoy's docs, "Extension configuration").
const guardName = "guard"

// Admit returns what changes in Envoy when others may come in than before. The next request is judged by it, on
// whatever connection; a request that is under way goes on.
func (c *Compiler) Admit(a Admission) (Delta, error) {
	c.cfg.Admission = a
	b := builder{c: c}
	if c.cfg.Ingress != "" {
		b.set(TypeExtension, guardName, extension(guardName, c.guard()))
		c.absent(&b)
		c.pattern(&b)
	}
	return b.d, b.err
}

// guardFilter is the place in the ingress that the admission fills. Until it is there nobody is let in.
func guardFilter() *hcm.HttpFilter {
	return discovered(guardName, &rbacfilter.RBAC{})
}

// discovered is the place of a filter in a listener, which is given apart (ECDS): a change of it drains no connection.
// Of kind only the type counts.
func discovered(name string, kind proto.Message) *hcm.HttpFilter {
	return &hcm.HttpFilter{Name: name, ConfigType: &hcm.HttpFilter_ConfigDiscovery{
		ConfigDiscovery: &core.ExtensionConfigSource{
			ConfigSource: adsSource(), TypeUrls: []string{toAny(kind).GetTypeUrl()},
		},
	}}
}

// guard judges a request by the URI names of the certificate with which its connection was made. Envoy gives them as
// one text, with commas between them: a certificate with two is the text of neither, and no name here has a comma.
func (c *Compiler) guard() *rbacfilter.RBAC {
	exact, prefix := map[string]*match.Matcher_OnMatch{}, map[string]*match.Matcher_OnMatch{}
	for _, p := range c.cfg.Admission.Peers {
		then := c.mayReach(&p)
		if then == nil {
			continue
		}
		exact[p.Node.URI()] = then
		prefix[bgp.EnvoyPrefix(p.Node)] = wholly(bgp.EnvoyPrefix(p.Node), names, then)
	}
	if c.cfg.Admission.Organisation {
		own := "spiffe://" + string(c.cfg.Self.Org)
		prefix[own+"/node/"] = wholly(own+"/node/", names, allow())
		prefix[own+"/envoy/"] = wholly(own+"/envoy/", names+"/"+names, allow())
	}
	for _, n := range c.cfg.Admission.Refused {
		exact[n.URI()] = deny()
		prefix[bgp.EnvoyPrefix(n)] = deny()
	}
	var rules *match.Matcher
	if len(prefix) > 0 {
		rules = &match.Matcher{MatcherType: &match.Matcher_MatcherTree_{MatcherTree: &match.Matcher_MatcherTree{
			Input: uriNames(),
			TreeType: &match.Matcher_MatcherTree_PrefixMatchMap{
				PrefixMatchMap: &match.Matcher_MatcherTree_MatchMap{Map: prefix},
			},
		}}}
	}
	if len(exact) > 0 {
		first := &match.Matcher{MatcherType: &match.Matcher_MatcherTree_{MatcherTree: matchMap(uriNames(), exact)}}
		first.OnNoMatch = &match.Matcher_OnMatch{OnMatch: &match.Matcher_OnMatch_Matcher{Matcher: rules}}
		rules = first
	}
	rules = c.withoutLeaves(rules)
	if rules == nil { // nobody
		return &rbacfilter.RBAC{Rules: &rbac.RBAC{Action: rbac.RBAC_ALLOW}}
	}
	return &rbacfilter.RBAC{Matcher: rules}
}

// withoutLeaves denies whoever shows a certificate that is revoked by itself, and goes on to the rules for all others.
func (c *Compiler) withoutLeaves(rules *match.Matcher) *match.Matcher {
	if rules == nil || len(c.cfg.Admission.Leaves) == 0 {
		return rules
	}
	list := &match.Matcher_MatcherList{}
	shown := &matcher.HttpRequestHeaderMatchInput{HeaderName: leafHeader}
	for _, l := range c.cfg.Admission.Leaves {
		which := &match.StringMatcher{MatchPattern: &match.StringMatcher_Suffix{Suffix: ":" + l.SHA256}}
		if l.Serial != "" {
			which = &match.StringMatcher{MatchPattern: &match.StringMatcher_Prefix{Prefix: l.padded() + ":"}}
		}
		own := &match.StringMatcher{MatchPattern: &match.StringMatcher_Prefix{Prefix: "spiffe://" + string(l.Org) + "/"}}
		list.Matchers = append(list.Matchers, &match.Matcher_MatcherList_FieldMatcher{
			Predicate: both(onlyIf(uriNames(), own), onlyIf(input("envoy.matching.inputs.request_headers", shown), which)),
			OnMatch:   deny(),
		})
	}
	return &match.Matcher{
		MatcherType: &match.Matcher_MatcherList_{MatcherList: list},
		OnNoMatch:   &match.Matcher_OnMatch{OnMatch: &match.Matcher_OnMatch_Matcher{Matcher: rules}},
	}
}

// mayReach is what follows when a node's certificate has matched; nil if it may reach nothing.
func (c *Compiler) mayReach(p *Admitted) *match.Matcher_OnMatch {
	if p.Everything {
		return allow()
	}
	if len(p.Services) == 0 {
		return nil
	}
	services := make(map[string]*match.Matcher_OnMatch, len(p.Services))
	for _, svc := range p.Services {
		if !c.isOwnOnDemand(svc) {
			services[string(svc)] = allow()
		}
	}
	service := input(
		"envoy.matching.inputs.request_headers", &matcher.HttpRequestHeaderMatchInput{HeaderName: serviceHeader},
	)
	return &match.Matcher_OnMatch{OnMatch: &match.Matcher_OnMatch_Matcher{Matcher: &match.Matcher{
		MatcherType: &match.Matcher_MatcherTree_{MatcherTree: matchMap(service, services)},
	}}}
}

// names is a DNS name as a regular expression.
const names = label + `(\.` + label + `)*`

// wholly goes on only if the URI names are the prefix and what the expression says, to the end.
func wholly(prefix, rest string, then *match.Matcher_OnMatch) *match.Matcher_OnMatch {
	value := &match.StringMatcher{MatchPattern: &match.StringMatcher_SafeRegex{SafeRegex: &match.RegexMatcher{
		EngineType: &match.RegexMatcher_GoogleRe2{GoogleRe2: &match.RegexMatcher_GoogleRE2{}},
		Regex:      regexp.QuoteMeta(prefix) + rest,
	}}}
	one := &match.Matcher_MatcherList_Predicate_SinglePredicate{
		Input: uriNames(), Matcher: &match.Matcher_MatcherList_Predicate_SinglePredicate_ValueMatch{ValueMatch: value},
	}
	list := &match.Matcher_MatcherList{Matchers: []*match.Matcher_MatcherList_FieldMatcher{{
		Predicate: &match.Matcher_MatcherList_Predicate{
			MatchType: &match.Matcher_MatcherList_Predicate_SinglePredicate_{SinglePredicate: one},
		},
		OnMatch: then,
	}}}
	return &match.Matcher_OnMatch{OnMatch: &match.Matcher_OnMatch_Matcher{Matcher: &match.Matcher{
		MatcherType: &match.Matcher_MatcherList_{MatcherList: list},
	}}}
}

func matchMap(in *cncf.TypedExtensionConfig, m map[string]*match.Matcher_OnMatch) *match.Matcher_MatcherTree {
	return &match.Matcher_MatcherTree{
		Input:    in,
		TreeType: &match.Matcher_MatcherTree_ExactMatchMap{ExactMatchMap: &match.Matcher_MatcherTree_MatchMap{Map: m}},
	}
}

func deny() *match.Matcher_OnMatch {
	return &match.Matcher_OnMatch{OnMatch: &match.Matcher_OnMatch_Action{
		Action: input("envoy.filters.rbac.action", &rbac.Action{Name: "revoked", Action: rbac.RBAC_DENY}),
	}}
}

func allow() *match.Matcher_OnMatch {
	return &match.Matcher_OnMatch{OnMatch: &match.Matcher_OnMatch_Action{
		Action: input("envoy.filters.rbac.action", &rbac.Action{Name: "admitted", Action: rbac.RBAC_ALLOW}),
	}}
}

func uriNames() *cncf.TypedExtensionConfig {
	return input("envoy.matching.inputs.uri_san", &ssl.UriSanInput{})
}

func input(name string, m proto.Message) *cncf.TypedExtensionConfig {
	return &cncf.TypedExtensionConfig{Name: name, TypedConfig: toAny(m)}
}
