package xds

import (
	"fmt"
	"strings"

	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	route "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	lua "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/lua/v3"
	hcm "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/catalyst-router/catalyst/bgp"
)

// Where an Envoy has the scopes of those services alone that are called through it, the first call of any other finds
// no route. The cold filter asks the node then, which gives this Envoy what it lacks and answers when Envoy has
// acknowledged that. Envoy acknowledges on its main thread, before its workers have it: so the filter looks again for
// the route and for the cluster of it, on the worker that will use them, and asks once more while one of them is not
// there. A call goes on when its own worker has all of it, and not before.
//
// Routes of services that are there switch the filter off: a warm call costs nothing. Those of services that are
// watched leave it on; it tells the node that the service is called, and the call does not wait for that.

// What Envoy asks its node by: a gRPC method without a message. The service stands in ServiceHeader; how often the
// call has asked before, in AskRound.
const (
	AskService = "catalyst.demand.v1.Demand"
	AskMethod  = "Ask"
	AskRound   = "x-catalyst-round"
	// AskUsed is set, to anything, where nobody waits for the answer: the service is there, and was called.
	AskUsed = "x-catalyst-used"
)

const (
	coldFilter   = "catalyst.cold"
	coldState    = "state"   // of a route: one of the next two
	coldKnown    = "known"   // the filter is off
	coldWatched  = "watched" // the filter tells of the call
	coldCluster  = "cluster" // of a route: where it leads to
	coldRounds   = 40        // questions of one call at most
	coldTimeout  = 5000      // milliseconds, for one answer
	coldRetries  = 40        // tries of one question while the node restarts; up to 250 ms lie between two
	watchPrefix  = viaPrefix + "watched/"
	askAuthority = "catalyst"
)

// askWhenCold is the cold filter; nil where an Envoy has all services. A request of an application that a pattern has a
// route for is asked about as well: there may be a service of that very name. One of another node goes by the pattern,
// as it was let in.
func (c *Compiler) askWhenCold(listener string) []*hcm.HttpFilter {
	if !c.cfg.OnDemand {
		return nil
	}
	return []*hcm.HttpFilter{httpFilter(coldFilter, &lua.Lua{DefaultSourceCode: luaSource(c.coldScript(listener))})}
}

func (c *Compiler) coldScript(listener string) string {
	return fmt.Sprintf(`
local function has(request, cluster)
  -- Without headers the call is refused before it is made; that the cluster is missing is said first.
  local _, why = pcall(request.httpCall, request, cluster, {}, nil, 1)
  return not tostring(why):find("cluster invalid", 1, true)
end

local function there(request)
  local route = request:metadata()
  local state, cluster = route:get("%[1]s"), route:get("%[2]s")
  return state, state ~= nil and (cluster == nil or has(request, cluster))
end

function envoy_on_request(request)
  local state, ready = there(request)
  local headers = request:headers()
  local pattern = headers:get("%[15]s")
  if ready and (state == "%[3]s" or pattern) and not (pattern and %[16]t) then return end
  local ask = {
    [":method"] = "POST", [":path"] = "/%[4]s/%[5]s", [":authority"] = "%[6]s",
    ["content-type"] = "application/grpc", ["te"] = "trailers",
    ["%[7]s"] = headers:get(pattern and ":authority" or "%[7]s") or "",
  }
  if ready and not pattern then
    ask["%[8]s"] = "1"
    request:httpCall("%[9]s", ask, "\0\0\0\0\0", 1000, true)
    return
  end
  ask["x-envoy-retry-on"] = "connect-failure,reset,refused-stream"
  ask["x-envoy-retry-grpc-on"] = "unavailable"
  ask["x-envoy-max-retries"] = "%[10]d"
  local why
  for round = 1, %[11]d do
    ask["%[12]s"] = tostring(round)
    local answer = request:httpCall("%[9]s", ask, "\0\0\0\0\0", %[13]d)
    local code = answer["grpc-status"] or "0"
    if answer[":status"] ~= "200" or code == "14" then -- UNAVAILABLE, as Envoy itself says of a node that is away
      why = "the node did not answer"
      break
    elseif code == "5" then
      return -- nobody announces it
    elseif code ~= "0" then
      why = answer["grpc-message"] or "the node did not say why"
      break
    end
    if pattern then
      headers:remove("%[15]s")
      headers:replace("%[7]s", headers:get(":authority"))
    end
    request:clearRouteCache()
    state, ready = there(request)
    if ready then return end
    why = "Envoy did not take it in time"
  end
  request:respond({[":status"] = "503", ["content-type"] = "text/plain", ["retry-after"] = "1"},
    "the service was not in use at %[14]s before this call, and could not be made ready: " .. why .. ".\n")
end`, coldState, coldCluster, coldKnown, AskService, AskMethod, askAuthority, serviceHeader, AskUsed, AdsCluster,
		coldRetries, coldRounds, AskRound, coldTimeout, c.cfg.Self, patternHeader, listener == egressName)
}

// warm marks routes as there, so that the cold filter leaves their calls alone, or tells of them.
func (c *Compiler) warm(rc *route.RouteConfiguration, target string, watched bool) *route.RouteConfiguration {
	if !c.cfg.OnDemand {
		return rc
	}
	state := coldKnown
	if watched {
		state = coldWatched
	}
	for _, host := range rc.GetVirtualHosts() {
		if !watched {
			perFilter(host, coldFilter, toAny(&route.FilterConfig{Disabled: true}))
		}
		for _, r := range host.GetRoutes() {
			if r.Metadata == nil {
				r.Metadata = &core.Metadata{FilterMetadata: map[string]*structpb.Struct{}}
			}
			r.Metadata.FilterMetadata[coldFilter] = &structpb.Struct{Fields: map[string]*structpb.Value{
				coldState: structpb.NewStringValue(state), coldCluster: structpb.NewStringValue(target),
			}}
		}
	}
	return rc
}

// ScopeOf is the scope of a service: an Envoy that has it has the service.
func ScopeOf(svc bgp.Service) Ref { return Ref{TypeScope, routePrefix + string(svc)} }

// Scoped returns the service whose scope a resource is; false for any other resource.
func Scoped(ref Ref) (bgp.Service, bool) {
	name, ok := strings.CutPrefix(ref.Name, routePrefix)
	return bgp.Service(name), ok && ref.Type == TypeScope
}
