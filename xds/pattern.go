package xds

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	mutation "github.com/envoyproxy/go-control-plane/envoy/config/common/mutation_rules/v3"
	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	route "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	lua "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/lua/v3"
	hcm "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/catalyst-router/catalyst/bgp"
)

// Another organisation may tell of its services below a name in one, as *.eu.acme.example. Such a route has a scope
// like any other, with the pattern as its key. Scopes are told apart by exact keys, so that a request for
// books.eu.acme.example finds none: then the pattern filter looks for *.eu.acme.example, and so on up, and the first
// that is there has the request. Its authority stays the name that it came with.
//
// At the border that tells of a pattern itself, it stands for services that have scopes of their own there. What is
// left has no service: whoever is told of the pattern is answered 404, in words.

const (
	patternFilter = "catalyst.pattern"
	// patternHeader says by which pattern a request has its route, if by one. It is removed from what comes in.
	patternHeader = "x-catalyst-pattern"
	patternRoute  = "there" // the name of the routes of services: what has a name is a route
	absentPrefix  = "absent/"
)

// byPattern is the place of the pattern filter in a listener. Which patterns there are is given apart, so that it
// changes without draining connections, as with the guard. Routes of services switch the filter off: a call of a name
// that has a route of its own does not pass through it.
func byPattern() *hcm.HttpFilter { return discovered(patternFilter, &lua.Lua{}) }

// pattern is the pattern filter. It knows the patterns: a script cannot try one after the other, since Envoy keeps what
// request:metadata() returns for as long as the script runs.
func (c *Compiler) pattern(b *builder) {
	known := make([]string, 0, len(c.wildcards)+len(c.absentees))
	for svc := range c.wildcards {
		known = append(known, string(svc))
	}
	for svc := range c.absentees {
		known = append(known, string(svc))
	}
	slices.Sort(known)
	list := make([]string, 0, len(known))
	for _, pattern := range slices.Compact(known) {
		list = append(list, fmt.Sprintf("[%q] = true", pattern))
	}
	script := fmt.Sprintf(`local patterns = {%[3]s}

function envoy_on_request(request)
  request:metadata() -- has the route chosen
  if request:streamInfo():routeName() ~= "" then return end
  local headers = request:headers()
  local name = headers:get("%[1]s") or ""
  local rest = name:match("^[^.]*%%.(.+)$")
  while rest do
    if patterns["*." .. rest] then
      headers:replace("%[2]s", "*." .. rest)
      headers:replace("%[1]s", "*." .. rest)
      request:clearRouteCache()
      return
    end
    rest = rest:match("^[^.]*%%.(.+)$")
  end
end`, serviceHeader, patternHeader, strings.Join(list, ", "))
	b.set(TypeExtension, patternFilter, extension(patternFilter, &lua.Lua{DefaultSourceCode: luaSource(script)}))
}

// withoutPattern removes what a request says of the pattern by which it found its route, and of where its workload is.
func withoutPattern() *core.TypedExtensionConfig {
	return earlyMutation(&mutation.HeaderMutation{Action: &mutation.HeaderMutation_Remove{Remove: patternHeader}},
		&mutation.HeaderMutation{Action: &mutation.HeaderMutation_Remove{Remove: destinationHeader}})
}

// found marks routes as those of a service, for the pattern filter.
func found(host *route.VirtualHost) {
	for _, r := range host.GetRoutes() {
		r.Name = patternRoute
	}
	perFilter(host, patternFilter, toAny(&route.FilterConfig{Disabled: true}))
}

// perFilter says what a filter does with the requests of a virtual host.
func perFilter(host *route.VirtualHost, filter string, config *anypb.Any) {
	if host.TypedPerFilterConfig == nil {
		host.TypedPerFilterConfig = map[string]*anypb.Any{}
	}
	host.TypedPerFilterConfig[filter] = config
}

// patterns are those of an admitted node's services that stand for others.
func (c *Compiler) patterns(p *Admitted) []bgp.Service {
	return slices.DeleteFunc(slices.Clone(p.Services), func(svc bgp.Service) bool {
		return !svc.IsWildcard() || c.isOwnOnDemand(svc)
	})
}

// isOwnOnDemand tells whether a name is a pattern of this organisation's at a node that gives services on demand.
// Nobody is let in by it: a service that this Envoy has not been given yet would be taken for one that is not there.
func (c *Compiler) isOwnOnDemand(svc bgp.Service) bool {
	return c.cfg.OnDemand && svc.IsWildcard() && svc.Below(c.cfg.Self.Org)
}

// absent has names below the patterns that this node tells others of, and that no service has, answered in words.
func (c *Compiler) absent(b *builder) {
	now := map[bgp.Service]bool{}
	for i := range c.cfg.Admission.Peers {
		for _, svc := range c.patterns(&c.cfg.Admission.Peers[i]) {
			if svc.Below(c.cfg.Self.Org) { // any other has a route
				now[svc] = true
			}
		}
	}
	for _, svc := range slices.Sorted(maps.Keys(now)) {
		s := scope(absentPrefix+string(svc), string(svc))
		text := fmt.Sprintf("%s has no service of this name: what it offers below %s is told of as %s.\n", c.cfg.Self.Org,
			svc[2:], svc)
		host := &route.VirtualHost{
			Name: "absent", Domains: []string{"*"},
			Routes: []*route.Route{absentRoute(anything(), text), absentRoute(connect(), text)},
		}
		found(host)
		s.RouteConfiguration = &route.RouteConfiguration{Name: s.GetName(), VirtualHosts: []*route.VirtualHost{host}}
		b.set(TypeScope, s.GetName(), s)
	}
	for _, svc := range slices.Sorted(maps.Keys(c.absentees)) {
		if ref := (Ref{TypeScope, absentPrefix + string(svc)}); !now[svc] {
			delete(c.sent, ref)
			b.d.Removed = append(b.d.Removed, ref)
		}
	}
	c.absentees = now
}

func absentRoute(m *route.RouteMatch, text string) *route.Route {
	return &route.Route{Match: m, Action: &route.Route_DirectResponse{DirectResponse: &route.DirectResponseAction{
		Status: 404, Body: &core.DataSource{Specifier: &core.DataSource_InlineString{InlineString: text}},
	}}}
}
