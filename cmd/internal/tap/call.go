package tap

import (
	"context"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	data "github.com/envoyproxy/go-control-plane/envoy/data/accesslog/v3"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/catalyst-router/catalyst/bgp"
	"github.com/catalyst-router/catalyst/xds"
)

// Outcome is how a call ended, in one word.
type Outcome string

// The outcomes.
const (
	OK     Outcome = "ok"
	Denied Outcome = "denied" // by policy, by its token, or as nobody who may come in
	Failed Outcome = "failed" // 5xx, a gRPC status that says so, or a reason of Envoy's
)

// Call is one request, or one connection to a TCP service, as one Envoy saw it. It is not changed once it is kept.
type Call struct {
	Seq       uint64    // counts calls at this node since it was started
	At        time.Time // when it began
	Took      time.Duration
	Seen      string // where: xds.TapEgress, TapIngress or TapTCP
	Envoy     string // node id of the Envoy
	Service   bgp.Service
	Method    string // CONNECT for a stream to a TCP service that another node sends, "" for a connection
	Path      string // without its query
	Status    int    // of HTTP; 0 if there was no answer
	GRPC      string // grpc-status, "" for no gRPC
	Flags     []string
	Reason    string // Envoy's details of the answer, such as via_upstream
	Outcome   Outcome
	Caller    string       // SPIFFE id of the node that sent it; "" for an application beside this node
	Org       bgp.Org      // whose caller it is, as the border says
	Crossed   []bgp.NodeID // nodes before this one, first first
	Upstream  string       // IP:PORT that it went to, "" if it went nowhere
	Workload  bool         // that is a workload beside this node, as far as it is known
	Sent      uint64       // bytes of the answer's body, or to the application
	Received  uint64
	Trace     string // trace id (W3C), "" for none
	ID        string // x-request-id, the same at every node; "" for a connection
	Principal string // of the policy's decision, as are the next two
	Policies  string
	Decision  string

	span trace.SpanContext // in which it was made; zero for none
}

// spanOf reads a traceparent (W3C Trace Context).
func spanOf(traceparent string) trace.SpanContext {
	if traceparent == "" {
		return trace.SpanContext{}
	}
	return trace.SpanContextFromContext(propagation.TraceContext{}.Extract(context.Background(),
		propagation.MapCarrier{"traceparent": traceparent}))
}

// maxText bounds what a caller may have kept of its own words.
const maxText = 512

func clip(s string) string {
	if len(s) > maxText {
		s = s[:maxText] + "…"
	}
	return bgp.Printable(s)
}

// clipTo is clip to so many bytes, without a sign that there was more.
func clipTo(s string, most int) string { return bgp.Printable(s[:min(len(s), most)]) }

// size is about what a call takes of memory.
func (c *Call) size() int {
	n := 400 + len(c.Envoy) + len(c.Service) + len(c.Method) + len(c.Path) + len(c.Reason) + len(c.Caller) + len(c.Org) +
		len(c.Upstream) + len(c.Trace) + len(c.Principal) + len(c.Policies) + len(c.Decision) + len(c.ID) + 16*len(c.Flags)
	for _, node := range c.Crossed {
		n += 32 + len(node.Org) + len(node.Name)
	}
	return n
}

// ofRequest reads what Envoy tells of a request.
func ofRequest(e *data.HTTPAccessLogEntry) *Call {
	req, resp := e.GetRequest(), e.GetResponse()
	c := ofCommon(e.GetCommonProperties())
	c.Service = bgp.Service(clip(strings.ToLower(req.GetAuthority())))
	if m := req.GetRequestMethod(); m != core.RequestMethod_METHOD_UNSPECIFIED {
		c.Method = m.String()
	}
	c.Path = withoutQuery(clip(req.GetPath()))
	c.ID = clipTo(req.GetRequestId(), bgp.MaxCallID)
	c.Status = int(resp.GetResponseCode().GetValue())
	c.Reason = clip(resp.GetResponseCodeDetails())
	c.Sent, c.Received = resp.GetResponseBodyBytes(), req.GetRequestBodyBytes()
	c.GRPC = clip(resp.GetResponseTrailers()["grpc-status"])
	if s := resp.GetResponseHeaders()["grpc-status"]; c.GRPC == "" {
		c.GRPC = clip(s)
	}
	headers := req.GetRequestHeaders()
	c.Org = bgp.Org(clip(headers[xds.TapOrganisation]))
	c.Crossed = crossed(headers[xds.TapPath])
	if c.span = spanOf(headers[xds.TapTrace]); c.span.IsValid() {
		c.Trace = c.span.TraceID().String()
	}
	c.Outcome = c.outcome()
	return c
}

// withoutQuery leaves out what is most likely to hold a secret.
func withoutQuery(path string) string {
	if before, _, found := strings.Cut(path, "?"); found {
		return before + "?…"
	}
	return path
}

// crossed reads the nodes of the path header, which has each in angle brackets. An Envoy that has sent the request on
// has put its own name at the end.
func crossed(header string) (all []bgp.NodeID) {
	for part := range strings.SplitSeq(header, "<") {
		name, _, ok := strings.Cut(part, ">")
		if !ok {
			continue
		}
		org, node, ok := strings.Cut(name, "/")
		if !ok || len(all) == xds.MaxHops {
			continue
		}
		all = append(all, bgp.NodeID{Org: bgp.Org(clip(org)), Name: clip(node)})
	}
	return all
}

// ofConnection reads what Envoy tells of a connection to a TCP service.
func ofConnection(e *data.TCPAccessLogEntry, at func(netip.AddrPort) bgp.Service) *Call {
	common := e.GetCommonProperties()
	c := ofCommon(common)
	// Envoy does not name the service: its listeners share their loggers, and its next hops their clusters.
	local := common.GetDownstreamLocalAddress().GetSocketAddress()
	if ip, err := netip.ParseAddr(local.GetAddress()); err == nil {
		c.Service = at(netip.AddrPortFrom(ip, uint16(local.GetPortValue()))) //nolint:gosec // Envoy's own port
	}
	c.Sent, c.Received = e.GetConnectionProperties().GetSentBytes(), e.GetConnectionProperties().GetReceivedBytes()
	c.Reason = clip(common.GetConnectionTerminationDetails())
	c.Outcome = c.outcome()
	return c
}

func ofCommon(p *data.AccessLogCommon) *Call {
	c := &Call{At: p.GetStartTime().AsTime(), Took: took(p), Flags: flags(p.GetResponseFlags())}
	for _, san := range p.GetTlsProperties().GetPeerCertificateProperties().GetSubjectAltName() {
		if c.Caller == "" {
			c.Caller = clip(san.GetUri())
		}
	}
	if a := p.GetUpstreamRemoteAddress().GetSocketAddress(); a != nil {
		c.Upstream = clip(a.GetAddress()) + ":" + strconv.Itoa(int(a.GetPortValue()))
	} else if pipe := p.GetUpstreamRemoteAddress().GetPipe(); pipe != nil {
		c.Upstream = clip(pipe.GetPath())
	}
	facts := p.GetMetadata().GetFilterMetadata()[xds.PolicyFilter].GetFields()
	text := func(name string) string { return clip(facts[name].GetStringValue()) }
	c.Principal, c.Decision, c.Policies = text("principal"), text("decision"), clip(list(facts["policies"]))
	return c
}

func list(v *structpb.Value) string {
	if all := v.GetListValue().GetValues(); len(all) > 0 {
		var names []string
		for _, one := range all {
			names = append(names, one.GetStringValue())
		}
		return strings.Join(names, ", ")
	}
	return v.GetStringValue()
}

// took is from the first byte of a call to the last one of its answer.
func took(p *data.AccessLogCommon) time.Duration {
	if d := p.GetDuration(); d != nil {
		return d.AsDuration()
	}
	return p.GetTimeToLastDownstreamTxByte().AsDuration()
}

// flags are Envoy's reasons (%RESPONSE_FLAGS_LONG%), by the names of the protobuf definition.
func flags(f *data.ResponseFlags) (all []string) {
	if f == nil {
		return nil
	}
	f.ProtoReflect().Range(func(field protoreflect.FieldDescriptor, _ protoreflect.Value) bool {
		all = append(all, string(field.Name()))
		return true
	})
	slices.Sort(all)
	return all
}

const (
	refusedByPolicy = "unauthorized_details"              //nolint:misspell // Envoy's word: ext_authz said no
	callerLeft      = "downstream_connection_termination" // nobody's fault
	callerReset     = "downstream_remote_reset"
	rbacRefused     = "rbac_access_denied" // begins the details of whom the list of peers keeps out
	grpcDenied      = "7"
	grpcUnknown     = "16" // UNAUTHENTICATED
	statusUnknown   = 401
	statusDenied    = 403
	statusFailed    = 500
)

// failures are the gRPC statuses of a server or a way that failed; what a caller did wrong is none.
func failures() []string { return []string{"2", "4", "8", "13", "14", "15"} }

func (c *Call) outcome() Outcome {
	switch {
	case slices.Contains(c.Flags, refusedByPolicy), strings.HasPrefix(c.Reason, rbacRefused),
		c.Status == statusUnknown, c.Status == statusDenied, c.GRPC == grpcDenied, c.GRPC == grpcUnknown:
		return Denied
	case c.Status >= statusFailed, slices.Contains(failures(), c.GRPC):
		return Failed
	}
	for _, f := range c.Flags {
		if f != callerLeft && f != callerReset {
			return Failed
		}
	}
	return OK
}

// Sender is the node that sent it; zero for an application beside this node.
func (c *Call) Sender() bgp.NodeID { return c.callerNode() }

// callerNode is the node of the caller's certificate; zero for an application beside this node.
func (c *Call) callerNode() bgp.NodeID {
	if c.Caller == "" {
		return bgp.NodeID{}
	}
	if e, err := bgp.ParseEnvoyID(c.Caller); err == nil {
		return e.Node // its Envoy on another machine
	}
	n, _ := bgp.ParseNodeID(c.Caller) // zero if it is none
	return n
}
