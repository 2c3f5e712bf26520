package extauthz

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"net"
	"slices"
	"strings"
	"time"

	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	auth "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	lru "github.com/hashicorp/golang-lru/v2"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"
	status "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/encoding"
	protocodec "google.golang.org/grpc/encoding/proto"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/catalyst-router/catalyst/policy"
)

// Headers that a request goes on with. Whatever the caller sent under these names is removed.
const (
	PrincipalHeader = "x-catalyst-principal" // TYPE::"id" of whom the policies took the caller for
	PeerHeader      = "x-catalyst-peer"      // SPIFFE id of the calling node; absent for a caller beside the node
	DecisionHeader  = "x-catalyst-decision"  // for catalyst policy why
	// HoldHeader names, by its decision, a request that may last however short its answer is: package extproc watches
	// it from its beginning, and removes the header. It never leaves Envoy.
	HoldHeader = "x-catalyst-hold"
)

// BoundClaim is the claim, among those that policies see, with the SHA-256 of the certificate that a token is bound to
// (x5t#S256, RFC 8705); tokens that are not bound have none.
const BoundClaim = "cnf"

// callerKey is metadata by which this node's own Envoy says how it knows who calls: "certificate", "local", or the
// SPIFFE id of the node at the other end of a tunnel, whose connection has no certificate here. Without it (an Envoy
// of somebody's own), a caller without a certificate is a workload.
const callerKey = "x-catalyst-caller"

// Keys of context_extensions that a route may carry.
const (
	ServiceKey       = "service"       // full name of the service that the route leads to
	OrganisationKey  = "organisation"  // that it belongs to; the name without its first label if absent
	PortKey          = "port"          // of a connection, which Envoy may have stripped from the authority
	AuthorizationKey = "authorization" // "keep": the workload wants to see the token itself
)

// Decider answers requests; a policy.Engine does.
type Decider interface {
	Decide(r policy.Request) policy.Decision
}

// Shown is a bearer token as it was shown.
type Shown struct {
	Token       string
	Certificate []byte // SHA-256 of the leaf of the connection that it came over; nil without one
	Service     string // full name of the service that was asked for
}

// Tokens verifies bearer tokens.
type Tokens interface {
	// Verify returns whom the token names. An error that wraps ErrUnavailable is a failure of ours, any other the
	// caller's.
	Verify(ctx context.Context, s Shown) (*policy.Bearer, error)
}

// ErrUnavailable tells that tokens cannot be verified at the moment.
var ErrUnavailable = errors.New("tokens cannot be verified at the moment") //nolint:gochecknoglobals // a sentinel

// Config is what a server needs.
type Config struct {
	Engine Decider      // required
	Log    *slog.Logger // required
	Tokens Tokens       // nil: tokens are not looked at, and go on to the workload
	// ServiceHeader is a header that Envoy itself sets to the service's name before it chooses the route by it; "" if
	// the routes say it (ServiceKey).
	ServiceHeader string
	// Headers are the names, in lower case, of those that policies may look at.
	Headers []string
	// Shadow has everything let through, whatever is decided and whatever fails: what would have been denied is recorded.
	Shadow bool
	// Hold has Envoy keep what a request is let through by (see Held), for package extproc to watch it.
	Hold bool
	// Also registers what else Envoy asks at the same address; nil for nothing.
	Also func(*grpc.Server)
	// Record is told of each decision; nil for nobody. It must not block.
	Record func(policy.Record)
	// Age is how long ago the policies in force were confirmed by whoever sets them; nil for now.
	Age func() time.Duration
	// TimeMatters tells whether the answer to a call may be another later by the same policies; nil for never.
	TimeMatters func() bool
	// Tracer has each check traced by a span of its own; nil for none.
	Tracer trace.Tracer
	// Now is the clock; nil for time.Now.
	Now func() time.Time
}

// Server implements Envoy's authorization service.
type Server struct {
	auth.UnimplementedAuthorizationServer
	cfg          Config
	headers      map[string]bool // that policies may look at
	reads        map[string]bool // that anybody looks at
	certificates *lru.Cache[string, identity]
}

const (
	maxCertificates = 4096
	maxMessage      = 1 << 20 // bytes of a CheckRequest; Envoy's headers are 60 KiB
	// connWindow is how many bytes Envoy may send before it is told that some were read. Of a fixed size, gRPC does not
	// go on measuring the path with a ping for each few checks, which both sides pay for.
	connWindow   = 16 << 20
	pingInterval = 5 * time.Second
	// workers answer checks one after the other, so that not each has to grow a stack for Cedar; when all of them wait,
	// such as for the keys of a token, a check gets a goroutine of its own.
	workers = 16
)

var _ auth.AuthorizationServer = (*Server)(nil)

// New returns a server.
func New(cfg Config) *Server {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if _, nobody := cfg.Tracer.(noop.Tracer); nobody {
		cfg.Tracer = nil // it would not look at what begin looks for
	}
	s := &Server{cfg: cfg, headers: map[string]bool{}, reads: map[string]bool{}}
	for _, h := range cfg.Headers {
		s.headers[h] = true
	}
	for _, h := range slices.Concat(readHeaders(), cfg.Headers, []string{cfg.ServiceHeader}) {
		s.reads[h] = true
	}
	s.certificates, _ = lru.New[string, identity](maxCertificates) // its only error is a size below 1
	return s
}

// Serve answers on a listener until ctx ends.
func (s *Server) Serve(ctx context.Context, l net.Listener, opts ...grpc.ServerOption) error {
	opts = append(opts, grpc.MaxRecvMsgSize(maxMessage), grpc.NumStreamWorkers(workers), s.codec(),
		grpc.StaticStreamWindowSize(maxMessage), grpc.StaticConnWindowSize(connWindow),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: pingInterval, PermitWithoutStream: true}))
	srv := grpc.NewServer(opts...)
	auth.RegisterAuthorizationServer(srv, s)
	if s.cfg.Also != nil {
		s.cfg.Also(srv)
	}
	stop := context.AfterFunc(ctx, srv.Stop)
	defer stop()
	return srv.Serve(l)
}

// codec has gRPC read and write checks in a short way.
func (s *Server) codec() grpc.ServerOption {
	reads := maps.Clone(s.reads)
	if s.cfg.Tracer != nil {
		reads[traceparent] = true
	}
	return grpc.ForceServerCodecV2(codec{encoding.GetCodecV2(protocodec.Name), reads})
}

// Check implements auth.AuthorizationServer. It never returns an error: Envoy would take it for a failure to reach us.
func (s *Server) Check(ctx context.Context, req *auth.CheckRequest) (*auth.CheckResponse, error) {
	began := s.cfg.Now()
	ctx, span := s.begin(ctx, req)
	v := s.judge(ctx, req, began)
	v.principal = v.record.Call.Principal()
	v.record.ID, v.record.At, v.record.Took = policy.NewID(), began, s.cfg.Now().Sub(began)
	v.record.Shadow = s.cfg.Shadow
	finish(span, &v)
	if s.cfg.Record != nil {
		s.cfg.Record(v.record)
	}
	if s.cfg.Shadow {
		return s.allowed(v), nil
	}
	switch v.outcome {
	case allow:
		v.held = s.cfg.Hold
		return s.allowed(v), nil
	case failed:
		return refusal(codes.Unavailable, typev3.StatusCode_ServiceUnavailable, v, true), nil
	case unknown:
		//nolint:misspell // the API spells it so
		return refusal(codes.Unauthenticated, typev3.StatusCode_Unauthorized, v, false), nil
	}
	return refusal(codes.PermissionDenied, typev3.StatusCode_Forbidden, v, false), nil
}

type outcome int

const (
	deny    outcome = iota // 403: it may not
	unknown                // 401: who it is was not shown as it has to be
	failed                 // 503: it cannot be decided here now
	allow
)

// verdict is a decision with what the answer needs of the request. The zero value denies.
type verdict struct {
	outcome   outcome
	record    policy.Record
	principal string // whom the policies took the caller for
	bearer    bool   // a token was verified
	keep      bool   // whoever is next wants to see it
	held      bool   // the request ends with its right
	lasts     bool   // it may last however short its answer is
	token     string
}

// judge decides a request.
func (s *Server) judge(ctx context.Context, req *auth.CheckRequest, now time.Time) (v verdict) {
	r, err := s.read(ctx, req)
	r.call.Time = now
	if s.cfg.Age != nil {
		r.call.PolicyAge = int(s.cfg.Age() / time.Second)
	}
	v.record.Call, v.keep, v.lasts = r.call, r.keep, r.lasts
	if err != nil {
		v.record.Decision.Errors = []string{err.Error()}
		return v
	}
	if r.token != "" && s.cfg.Tokens != nil {
		bearer, err := s.cfg.Tokens.Verify(ctx, Shown{r.token, r.identity.thumbprint, r.call.Service})
		if err != nil {
			v.outcome = unknown
			if errors.Is(err, ErrUnavailable) {
				v.outcome = failed
			}
			v.record.Decision.Errors = []string{"token: " + err.Error()}
			return v
		}
		v.bearer, r.call.Bearer = true, bearer
		v.token = r.token
		// On its way to another node a token goes along, for the policies there; one that is bound to the certificate of
		// this connection is worth nothing there.
		v.keep = r.keep || r.transit && bearer.Claims[BoundClaim] == ""
		v.record.Call = r.call
	}
	v.record.Decision = s.cfg.Engine.Decide(r.call.Request())
	switch {
	case v.record.Decision.Allow:
		v.outcome = allow
	case v.record.Decision.Snapshot == "":
		v.outcome = failed // nothing is in force yet
	}
	return v
}

// grant is all that an answer which lets a request through consists of, in one piece: what Envoy waits for is mostly
// that such pieces are found and written.
type grant struct {
	response auth.CheckResponse
	http     auth.CheckResponse_OkResponse
	ok       auth.OkHttpResponse
	status   status.Status
	options  [4]core.HeaderValueOption
	headers  [4]core.HeaderValue
	set      [4]*core.HeaderValueOption
	remove   [4]string
}

func (s *Server) allowed(v verdict) *auth.CheckResponse {
	g := &grant{}
	g.ok.Headers, g.ok.HeadersToRemove = g.set[:0], g.remove[:0]
	set := func(name, value string) {
		if value == "" {
			g.ok.HeadersToRemove = append(g.ok.HeadersToRemove, name)
			return
		}
		n := len(g.ok.Headers)
		g.headers[n].Key, g.headers[n].Value = name, value
		g.options[n].Header, g.options[n].AppendAction = &g.headers[n], overwrite
		g.ok.Headers = append(g.ok.Headers, &g.options[n])
	}
	set(PrincipalHeader, v.principal)
	set(PeerHeader, v.record.Call.Peer)
	set(DecisionHeader, v.record.ID)
	if v.held && v.lasts {
		set(HoldHeader, v.record.ID)
	}
	if v.bearer && !v.keep {
		g.ok.HeadersToRemove = append(g.ok.HeadersToRemove, "authorization")
	}
	g.http.OkResponse = &g.ok
	g.response.Status, g.response.HttpResponse, g.response.DynamicMetadata = &g.status, &g.http, facts(v)
	return &g.response
}

const overwrite = core.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD

func header(name, value string) *core.HeaderValueOption {
	return &core.HeaderValueOption{Header: &core.HeaderValue{Key: name, Value: value}, AppendAction: overwrite}
}

// refusal says nothing of the reason: whoever may know it has the decision's id.
func refusal(code codes.Code, http typev3.StatusCode, v verdict, ours bool) *auth.CheckResponse {
	denied := &auth.DeniedHttpResponse{
		Status:  &typev3.HttpStatus{Code: http},
		Headers: []*core.HeaderValueOption{header(DecisionHeader, v.record.ID)},
		Body:    "not permitted; the operator of this node finds the reason as decision " + v.record.ID + ".\n",
	}
	if http == typev3.StatusCode_Unauthorized { //nolint:misspell // the API spells it so
		denied.Headers = append(denied.Headers, header("www-authenticate", `Bearer error="invalid_token"`))
	}
	out := &auth.CheckResponse{
		Status:          &status.Status{Code: int32(code), Message: "decision " + v.record.ID},
		DynamicMetadata: facts(v),
	} //nolint:gosec // codes are small
	if ours {
		denied.Body = "it cannot be decided at the moment whether this is permitted; decision " + v.record.ID + ".\n"
		out.HttpResponse = &auth.CheckResponse_ErrorResponse{ErrorResponse: denied}
		return out
	}
	out.HttpResponse = &auth.CheckResponse_DeniedResponse{DeniedResponse: denied}
	return out
}

// facts go to access logs, and to those who listen in. Each costs Envoy some microseconds with every request, so that
// there are few: what is not said to be denied is allowed, and the set of policies is in the decision's record.
func facts(v verdict) *structpb.Struct {
	f := &factsOf{}
	f.fields.Fields = make(map[string]*structpb.Value, len(f.values))
	f.add("decision", v.record.ID)
	if v.outcome != allow {
		f.add("result", "deny")
	}
	f.add("principal", v.principal)
	f.add("policies", strings.Join(v.record.Decision.Policies, ","))
	if v.held {
		f.add(heldKey, heldOf(v).text())
	}
	return &f.fields
}

// factsOf are facts in one piece (see grant).
type factsOf struct {
	fields structpb.Struct
	values [5]structpb.Value
	texts  [5]structpb.Value_StringValue
}

func (f *factsOf) add(name, text string) {
	n := len(f.fields.Fields)
	f.texts[n].StringValue = text
	f.values[n].Kind = &f.texts[n]
	f.fields.Fields[name] = &f.values[n]
}
