package operator

import (
	"context"
	"net/http"
	"time"

	"github.com/99designs/gqlgen/graphql/handler"
	"github.com/99designs/gqlgen/graphql/handler/extension"
	"github.com/99designs/gqlgen/graphql/handler/transport"
)

// Backend does what the API is asked for. Its errors are shown to the operator as they are.
type Backend interface {
	GraphBackend
	PolicyBackend
	TrustBackend
	FilterBackend
	TapBackend
	DiscoverBackend
	SeenBackend
	Node(ctx context.Context) (*Node, error)
	Peers(ctx context.Context) ([]Peer, error)
	Peer(ctx context.Context, node string) (*Peer, error)
	Routes(ctx context.Context, after, first int) (*RoutePage, error)
	Route(ctx context.Context, service string) (*Route, error)
	Services(ctx context.Context) ([]Service, error)
	Service(ctx context.Context, service string) (*Service, error)
	Envoys(ctx context.Context) ([]Envoy, error)
	Ports(ctx context.Context) (*Ports, error)
	Table(ctx context.Context) (*Table, error)
	Traffic(ctx context.Context) (*Traffic, error)
	// Names returns a page of what is answered over DNS, after a name.
	Names(ctx context.Context, after string, first int) (*NamePage, error)
	Resolve(ctx context.Context, name string) (*Resolution, error)
	SetPeer(ctx context.Context, in PeerInput) (*Peer, error)
	RemovePeer(ctx context.Context, node, text string) (bool, error)
	ResetPeer(ctx context.Context, node, text string) (bool, error)
	SetService(ctx context.Context, in ServiceInput, create bool) (*Service, error)
	RemoveService(ctx context.Context, service string) (bool, error)
	PinPort(ctx context.Context, service string, port int) (*Port, error)
	FreePort(ctx context.Context, service string) (bool, error)
	UseService(ctx context.Context, service string) (bool, error)
	ForgetService(ctx context.Context, service string) (bool, error)
	AgreeName(ctx context.Context, service, node string) (bool, error)
	Drain(ctx context.Context, on bool) (bool, error)
	// RenewCertificate returns when the new one ends (RFC 3339).
	RenewCertificate(ctx context.Context) (string, error)
	Apply(ctx context.Context, in ApplyInput) ([]Applied, error)
	Explain(ctx context.Context, service string, ask bool) (*Explanation, error)
	Trace(ctx context.Context, service string) (*Trace, error)
	Changes(ctx context.Context, match []string, peers bool) (<-chan *Change, error)
}

// The largest requests, in bytes: of the node's own operator, who applies files of services, and of others, who only
// read.
const (
	LargestOwn   = 16 << 20
	LargestQuery = 256 << 10
)

// mostTokens is how many tokens a document may have. What is applied stands in its variables.
const mostTokens = 20_000

// Handler serves the API. A request has at most maxBody bytes, and queries are limited in complexity, since even an
// operator mistypes.
//
// A backend that is an Auditor is told of what is ordered.
func Handler(b Backend, a Authorizer, maxBody int64) http.Handler {
	auditor, _ := b.(Auditor)
	srv := handler.New(NewExecutableSchema(Config{Resolvers: &resolver{b, a, auditor, rights()}}))
	srv.AddTransport(transport.SSE{KeepAlivePingInterval: 10 * time.Second})
	srv.AddTransport(transport.POST{})
	srv.SetErrorPresenter(present)
	srv.Use(extension.Introspection{})
	srv.Use(extension.FixedComplexityLimit(20_000))
	srv.SetParserTokenLimit(mostTokens)
	return http.MaxBytesHandler(srv, maxBody)
}

type resolver struct {
	b       Backend
	a       Authorizer
	auditor Auditor // nil for nobody

	rights map[string]func(args) []right // by operation
}

func (r *resolver) Query() QueryResolver               { return query{r} }
func (r *resolver) Mutation() MutationResolver         { return mutation{r} }
func (r *resolver) Subscription() SubscriptionResolver { return subscription{r} }

type query struct{ *resolver }

func (q query) Node(ctx context.Context) (*Node, error) {
	return allowed(ctx, q.resolver, "node", func() (*Node, error) { return q.b.Node(ctx) })
}

func (q query) Peers(ctx context.Context) ([]Peer, error) {
	return allowed(ctx, q.resolver, "peers", func() ([]Peer, error) { return q.b.Peers(ctx) })
}

func (q query) Peer(ctx context.Context, node string) (*Peer, error) {
	return allowed(ctx, q.resolver, "peer", func() (*Peer, error) { return q.b.Peer(ctx, node) })
}

func (q query) Routes(ctx context.Context, after, first int) (*RoutePage, error) {
	return allowed(ctx, q.resolver, "routes", func() (*RoutePage, error) { return q.b.Routes(ctx, after, first) })
}

func (q query) Route(ctx context.Context, service string) (*Route, error) {
	return allowed(ctx, q.resolver, "route", func() (*Route, error) { return q.b.Route(ctx, service) })
}

func (q query) Services(ctx context.Context) ([]Service, error) {
	return allowed(ctx, q.resolver, "services", func() ([]Service, error) { return q.b.Services(ctx) })
}

func (q query) Service(ctx context.Context, service string) (*Service, error) {
	return allowed(ctx, q.resolver, "service", func() (*Service, error) { return q.b.Service(ctx, service) })
}

func (q query) Envoys(ctx context.Context) ([]Envoy, error) {
	return allowed(ctx, q.resolver, "envoys", func() ([]Envoy, error) { return q.b.Envoys(ctx) })
}

func (q query) Table(ctx context.Context) (*Table, error) {
	return allowed(ctx, q.resolver, "table", func() (*Table, error) { return q.b.Table(ctx) })
}

func (q query) Ports(ctx context.Context) (*Ports, error) {
	return allowed(ctx, q.resolver, "ports", func() (*Ports, error) { return q.b.Ports(ctx) })
}

func (q query) Traffic(ctx context.Context) (*Traffic, error) {
	return allowed(ctx, q.resolver, "traffic", func() (*Traffic, error) { return q.b.Traffic(ctx) })
}

func (q query) Names(ctx context.Context, after string, first int) (*NamePage, error) {
	return allowed(ctx, q.resolver, "names", func() (*NamePage, error) { return q.b.Names(ctx, after, first) })
}

func (q query) Resolve(ctx context.Context, name string) (*Resolution, error) {
	return allowed(ctx, q.resolver, "resolve", func() (*Resolution, error) { return q.b.Resolve(ctx, name) })
}

func (q query) Explain(ctx context.Context, service string, ask bool) (*Explanation, error) {
	return allowed(ctx, q.resolver, "explain", func() (*Explanation, error) { return q.b.Explain(ctx, service, ask) })
}

func (q query) Trace(ctx context.Context, service string) (*Trace, error) {
	return allowed(ctx, q.resolver, "trace", func() (*Trace, error) { return q.b.Trace(ctx, service) })
}

type mutation struct{ *resolver }

func (m mutation) SetPeer(ctx context.Context, input PeerInput) (*Peer, error) {
	return allowed(ctx, m.resolver, "setPeer", func() (*Peer, error) { return m.b.SetPeer(ctx, input) })
}

func (m mutation) RemovePeer(ctx context.Context, node, text string) (bool, error) {
	return allowed(ctx, m.resolver, "removePeer", func() (bool, error) { return m.b.RemovePeer(ctx, node, text) })
}

func (m mutation) ResetPeer(ctx context.Context, node, text string) (bool, error) {
	return allowed(ctx, m.resolver, "resetPeer", func() (bool, error) { return m.b.ResetPeer(ctx, node, text) })
}

func (m mutation) SetService(ctx context.Context, input ServiceInput, create bool) (*Service, error) {
	return allowed(ctx, m.resolver, "setService", func() (*Service, error) { return m.b.SetService(ctx, input, create) })
}

func (m mutation) RemoveService(ctx context.Context, service string) (bool, error) {
	return allowed(ctx, m.resolver, "removeService", func() (bool, error) { return m.b.RemoveService(ctx, service) })
}

func (m mutation) PinPort(ctx context.Context, service string, port int) (*Port, error) {
	return allowed(ctx, m.resolver, "pinPort", func() (*Port, error) { return m.b.PinPort(ctx, service, port) })
}

func (m mutation) UseService(ctx context.Context, service string) (bool, error) {
	return allowed(ctx, m.resolver, "useService", func() (bool, error) { return m.b.UseService(ctx, service) })
}

func (m mutation) ForgetService(ctx context.Context, service string) (bool, error) {
	return allowed(ctx, m.resolver, "forgetService", func() (bool, error) { return m.b.ForgetService(ctx, service) })
}

func (m mutation) FreePort(ctx context.Context, service string) (bool, error) {
	return allowed(ctx, m.resolver, "freePort", func() (bool, error) { return m.b.FreePort(ctx, service) })
}

func (m mutation) AgreeName(ctx context.Context, service, node string) (bool, error) {
	return allowed(ctx, m.resolver, "agreeName", func() (bool, error) { return m.b.AgreeName(ctx, service, node) })
}

func (m mutation) RenewCertificate(ctx context.Context) (string, error) {
	return allowed(ctx, m.resolver, "renewCertificate", func() (string, error) { return m.b.RenewCertificate(ctx) })
}

func (m mutation) Drain(ctx context.Context, on bool) (bool, error) {
	return allowed(ctx, m.resolver, "drain", func() (bool, error) { return m.b.Drain(ctx, on) })
}

func (m mutation) Apply(ctx context.Context, input ApplyInput) ([]Applied, error) {
	return allowed(ctx, m.resolver, "apply", func() ([]Applied, error) { return m.b.Apply(ctx, input) })
}

type subscription struct{ *resolver }

func (s subscription) Changes(ctx context.Context, match []string, peers bool) (<-chan *Change, error) {
	return allowed(ctx, s.resolver, "changes", func() (<-chan *Change, error) { return s.b.Changes(ctx, match, peers) })
}
