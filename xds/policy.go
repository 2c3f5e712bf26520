package xds

import (
	"time"

	cluster "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	mutation "github.com/envoyproxy/go-control-plane/envoy/config/common/mutation_rules/v3"
	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpoint "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	listener "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	route "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	authz "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/ext_authz/v3"
	router "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/router/v3"
	hcm "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	early "github.com/envoyproxy/go-control-plane/envoy/extensions/http/early_header_mutation/header_mutation/v3"
	matcher "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/catalyst-router/catalyst/bgp"
)

// PolicyCheck has Envoy ask the node before it lets a request or a connection through (envoy.service.auth.v3).
type PolicyCheck struct {
	Socket          string // path of the Unix socket where the node answers; required
	Ingress, Egress bool   // where it is asked: of what other nodes send, of what callers beside this node do
	// Connections is the path of the Unix socket on which Envoy takes, from itself, the connections that callers beside
	// this node make to TCP services, to ask about them; required with Egress.
	Connections string
	// Hold says that the node ends the requests under way whose right ends (package extproc).
	Hold bool
}

const (
	policyName    = "policy"
	askedName     = "tcp-asked"
	policyFilter  = "envoy.filters.http.ext_authz"
	policyTimeout = 5 * time.Second
)

// ServiceHeader is the header by which Envoy chooses the routes of a request. It sets the header itself, to the
// service's name, over whatever the caller sent, so that a decision that goes by it is about what the route leads to.
const ServiceHeader = serviceHeader

// CallerKey is the metadata of a check by which this node's Envoy says how it knows who calls: by the certificate of
// the connection, which has to be there then, not at all (a caller beside the node), or by the SPIFFE id of the node
// at the other end of a tunnel.
const (
	CallerKey     = "x-catalyst-caller"
	byCertificate = "certificate"
	besideNode    = "local"
)

// asks tells whether Envoy asks at a listener.
func (c *Compiler) asks(name string) bool {
	p := c.cfg.Policy
	return p != nil && (name == ingressName && p.Ingress || name == egressName && p.Egress)
}

// askPolicy has a listener ask, and sees to it that what is decided is what is forwarded: paths are normalised, and
// those refused that a workload could read in another way.
func (c *Compiler) askPolicy(name, caller string, m *hcm.HttpConnectionManager) {
	if c.cfg.Policy != nil {
		m.EarlyHeaderMutationExtensions = append(m.EarlyHeaderMutationExtensions,
			extension("envoy.http.early_header_mutation.header_mutation", withoutIdentity()))
	}
	if !c.asks(name) {
		return
	}
	m.NormalizePath, m.MergeSlashes = wrapperspb.Bool(true), true
	m.PathWithEscapedSlashesAction = hcm.HttpConnectionManager_REJECT_REQUEST
	m.CommonHttpProtocolOptions.HeadersWithUnderscoresAction = core.HttpProtocolOptions_REJECT_REQUEST
	m.HttpFilters = append(m.HttpFilters, httpFilter(policyFilter, &authz.ExtAuthz{
		Services: &authz.ExtAuthz_GrpcService{GrpcService: &core.GrpcService{
			TargetSpecifier: &core.GrpcService_EnvoyGrpc_{
				EnvoyGrpc: &core.GrpcService_EnvoyGrpc{ClusterName: hopsPrefix + policyName},
			},
			Timeout: durationpb.New(policyTimeout), RetryPolicy: whileItRestarts(),
			InitialMetadata: []*core.HeaderValue{{Key: CallerKey, Value: caller}},
		}},
		TransportApiVersion: core.ApiVersion_V3, StatPrefix: policyName,
		StatusOnError:     &typev3.HttpStatus{Code: typev3.StatusCode_ServiceUnavailable},
		ValidateMutations: true,
		DecoderHeaderMutationRules: &mutation.HeaderMutationRules{
			DisallowAll: wrapperspb.Bool(true), DisallowIsError: wrapperspb.Bool(true),
			AllowExpression: &matcher.RegexMatcher{Regex: "^(x-catalyst-(principal|peer|decision|hold)|authorization)$"},
		},
		IncludePeerCertificate: true, IncludeTlsSession: true, EncodeRawHeaders: true,
	}))
	if c.cfg.Policy.Hold {
		m.HttpFilters = append(m.HttpFilters, c.holdLong(), c.holdOpen())
	}
}

// asksConnections tells whether Envoy asks about connections that callers beside this node make to TCP services.
func (c *Compiler) asksConnections() bool { return c.asks(egressName) }

// askedListener takes the connections that callers beside this node make to TCP services, each as a CONNECT stream from
// the service's own listener, and asks about it before it goes on to a next hop or a workload. ext_authz as a network
// filter would not do: it asks when the caller has sent a byte, and what a server says first has gone through by then.
func (c *Compiler) askedListener() *listener.Listener {
	m := c.manager(egressName)
	m.StatPrefix, m.AccessLog = askedName, nil // the service's listener tells of the connection
	m.CodecType, m.Http2ProtocolOptions = hcm.HttpConnectionManager_HTTP2, c.http2(hopStreams)
	m.UpgradeConfigs = []*hcm.HttpConnectionManager_UpgradeConfig{{UpgradeType: "CONNECT"}}
	m.EarlyHeaderMutationExtensions = append(m.EarlyHeaderMutationExtensions, c.ownCaller())
	c.askPolicy(egressName, besideNode, m)
	m.HttpFilters = append(m.HttpFilters, httpFilter("envoy.filters.http.router", &router.Router{}))
	return c.fromItself(askedName, c.cfg.Policy.Connections, m)
}

// askedCluster leads there.
func (c *Compiler) askedCluster() *cluster.Cluster {
	return c.toItself(hopsPrefix+askedName, c.cfg.Policy.Connections)
}

// whileItRestarts has a check wait for a node that is being restarted: its socket is away for a moment, and calls are
// delayed by that instead of failed.
func whileItRestarts() *core.RetryPolicy {
	return &core.RetryPolicy{
		RetryOn: "connect-failure,reset,unavailable", NumRetries: wrapperspb.UInt32(20),
		RetryBackOff: &core.BackoffStrategy{
			BaseInterval: durationpb.New(50 * time.Millisecond),
			MaxInterval:  durationpb.New(500 * time.Millisecond),
		},
	}
}

// identityHeaders are set by whoever decides, and by nobody else.
func identityHeaders() []string {
	return []string{"x-catalyst-principal", "x-catalyst-peer", "x-catalyst-decision", holdHeader}
}

// withoutIdentity removes them from what a caller sends, before anything looks at the request.
func withoutIdentity() *early.HeaderMutation {
	out := &early.HeaderMutation{}
	for _, name := range identityHeaders() {
		out.Mutations = append(out.Mutations, &mutation.HeaderMutation{Action: &mutation.HeaderMutation_Remove{Remove: name}})
	}
	return out
}

// policyCluster leads to the node.
func (c *Compiler) policyCluster() *cluster.Cluster {
	const name = hopsPrefix + policyName
	return &cluster.Cluster{
		Name:                          name,
		ConnectTimeout:                durationpb.New(connectTimeout),
		ClusterDiscoveryType:          &cluster.Cluster_Type{Type: cluster.Cluster_STATIC},
		TypedExtensionProtocolOptions: c.http2Upstream(nil), CircuitBreakers: c.hopBreakers(),
		LoadAssignment: &endpoint.ClusterLoadAssignment{
			ClusterName: name,
			Endpoints: []*endpoint.LocalityLbEndpoints{{LbEndpoints: []*endpoint.LbEndpoint{{
				HostIdentifier: &endpoint.LbEndpoint_Endpoint{Endpoint: &endpoint.Endpoint{Address: pipe(c.cfg.Policy.Socket)}},
			}}}},
		},
	}
}

// aboutService tells whoever decides which service the routes of a scope lead to.
func (c *Compiler) aboutService(routes *route.RouteConfiguration, svc bgp.Service) {
	if c.cfg.Policy == nil {
		return
	}
	for _, host := range routes.VirtualHosts {
		perFilter(host, policyFilter, toAny(&authz.ExtAuthzPerRoute{Override: &authz.ExtAuthzPerRoute_CheckSettings{
			CheckSettings: &authz.CheckSettings{ContextExtensions: map[string]string{"service": string(svc)}}}}))
	}
}
