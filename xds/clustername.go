package xds

import (
	"fmt"
	"regexp"

	xdsmatcher "github.com/cncf/xds/go/xds/type/matcher/v3"
	hcm "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	matcher "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
)

// clusterName gives the name of its service to a request that a Pod sends to a Service of Kubernetes in the namespace
// into which this node brings services (package imported). Such a name is the label of the Service, alone, with the
// namespace, or with svc and the cluster's domain as well; its dots are hyphens there, and its hyphens two:
//
//	books-acme-example, books-acme-example.catalyst, books-acme-example.catalyst.svc.cluster.local
//
// Whatever comes after this filter sees the name of the service, as if it had been called by it.
func (c *Compiler) clusterName() []*hcm.HttpFilter {
	if c.cfg.ClusterNamespace == "" {
		return nil
	}
	const script = `function envoy_on_request(request)
  local label = request:headers():get(":authority"):match("^[^.]*")
  local name = label:gsub("%-%-", "_"):gsub("%-", "."):gsub("_", "-")
  request:headers():replace(":authority", name)
  request:headers():replace("` + serviceHeader + `", name)
  request:clearRouteCache()
end`
	of := onlyIf(typed("authority", &matcher.HttpRequestHeaderMatchInput{HeaderName: ":authority"}),
		&xdsmatcher.StringMatcher{MatchPattern: &xdsmatcher.StringMatcher_SafeRegex{SafeRegex: &xdsmatcher.RegexMatcher{
			Regex:      fmt.Sprintf(`[a-z0-9-]+(\.%s(\.svc(\..*)?)?)?`, regexp.QuoteMeta(c.cfg.ClusterNamespace)),
			EngineType: &xdsmatcher.RegexMatcher_GoogleRe2{GoogleRe2: &xdsmatcher.RegexMatcher_GoogleRE2{}},
		}}})
	return []*hcm.HttpFilter{luaUnless("cluster-name", script, not(of))}
}
