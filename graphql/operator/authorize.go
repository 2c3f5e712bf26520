package operator

import (
	"context"
	"fmt"

	"github.com/99designs/gqlgen/graphql"

	"github.com/catalyst-router/catalyst/policy"
)

// Request is one right that an operation of the API needs: may this caller do this to that?
type Request struct {
	// Principal is whoever calls; the zero value if nobody has said who that is, which no authorizer permits.
	Principal policy.Bearer
	// Operation is the field of Query, Mutation or Subscription that is called, such as setPeer; for logs and errors.
	Operation string
	// Action is one of the actions of the policies' schema, such as PEER_CREATE.
	Action   string
	Resource Resource
}

// Resource is what an action is done to.
type Resource struct {
	Kind string // Peer, Route, Gateway, or AdminPanel: the node itself and all that it lists
	ID   string // the peer or the service as the caller wrote it; AllID or GatewayID for those two
}

// IDs of resources of which a node has one.
const (
	AllID     = "admin-panel"
	GatewayID = "gateway"
)

// Authorizer decides whether the caller may do something.
type Authorizer interface {
	// Authorize returns nil if the request is permitted. An operation that needs several rights asks for each, before it
	// changes anything. A subscription is asked for once, when it begins.
	Authorize(ctx context.Context, r Request) error
}

// Forbidden is the code of refusals: extensions.code of the answer.
const Forbidden = "FORBIDDEN"

// DeniedError says that the caller may not do what he asked for. It names the right that he lacks, and no policy.
type DeniedError struct {
	Request  Request
	Decision string // by whose id the operator of the node finds the reason; "" if none was kept
}

func (e DeniedError) Error() string {
	r := e.Request
	text := fmt.Sprintf("%s is not permitted to you: it needs %s on %s %q", r.Operation, r.Action, r.Resource.Kind,
		r.Resource.ID)
	if e.Decision != "" {
		text += "; the operator of this node finds the reason as decision " + e.Decision
	}
	return text
}

type principalKey struct{}

// As returns a context in which the API is called by p. Whoever has verified the caller's token or certificate calls
// it.
func As(ctx context.Context, p policy.Bearer) context.Context {
	return context.WithValue(ctx, principalKey{}, p)
}

// Caller is who calls the API in a context of As; false for the node's owner, on its socket.
func Caller(ctx context.Context) (policy.Bearer, bool) {
	p, ok := ctx.Value(principalKey{}).(policy.Bearer)
	return p, ok
}

// right is an action on a resource.
type right struct {
	action   string
	resource Resource
}

// args are the arguments of an operation as gqlgen has decoded them.
type args map[string]any

func (a args) text(name string) string {
	s, _ := a[name].(string)
	return s
}

func onAll(action string) []right { return []right{{action, Resource{"AdminPanel", AllID}}} }

// all is the rights of operations that are about the node as a whole.
func all(action string) func(args) []right {
	return func(args) []right { return onAll(action) }
}

// of is the rights of operations about the one resource that an argument names.
func of(action, kind, argument string) func(args) []right {
	return func(a args) []right { return []right{{action, Resource{kind, a.text(argument)}}} }
}

// rights says, for every operation of the schema, what it needs. An operation that is not in it is permitted to
// nobody, and a test fails. IBGP_* are not here, since peers open sessions by their certificates, and TOKEN_* are
// those of the auth service.
func rights() map[string]func(args) []right {
	gateway := func(args) []right { return []right{{"GATEWAY_CONFIG_UPDATE", Resource{"Gateway", GatewayID}}} }
	return map[string]func(args) []right{
		"node": all("LOGIN"), "envoys": all("LOGIN"), "traffic": all("LOGIN"),

		"peers": all("PEER_LIST"), "peer": of("PEER_LIST", "Peer", "node"),
		"setPeer":    func(a args) []right { in, _ := a["input"].(PeerInput); return setPeer(in) },
		"removePeer": of("PEER_DELETE", "Peer", "node"), "resetPeer": of("PEER_UPDATE", "Peer", "node"),

		"peerings": all("PEER_LIST"), "peering": all("PEER_LIST"), "invitations": all("PEER_LIST"),
		"ledger":         all("PEER_LIST"),
		"readInvitation": all("PEER_LIST"), "ownBundle": all("PEER_LIST"),
		"peeringTokens": all("PEER_LIST"),
		"offerPeering":  all("MANAGE"), "acceptPeering": all("MANAGE"), "setPeering": all("MANAGE"),
		"endPeering": all("MANAGE"), "withdrawInvitation": all("MANAGE"),
		"proposedPeering": all("MANAGE"), // the node dials what it is given

		"routes": all("ROUTE_LIST"), "services": all("ROUTE_LIST"), "table": all("ROUTE_LIST"), "ports": all("ROUTE_LIST"),
		"names": all("ROUTE_LIST"), "resolve": all("ROUTE_LIST"), "discovery": all("ROUTE_LIST"),
		"route": of("ROUTE_LIST", "Route", "service"), "service": of("ROUTE_LIST", "Route", "service"),
		"explain": of("ROUTE_LIST", "Route", "service"), "trace": of("ROUTE_LIST", "Route", "service"),
		"setService":    func(a args) []right { in, _ := a["input"].(ServiceInput); return setService(in) },
		"removeService": of("ROUTE_DELETE", "Route", "service"),
		"pinPort":       of("ROUTE_CREATE", "Route", "service"), "freePort": of("ROUTE_DELETE", "Route", "service"),
		"useService": of("ROUTE_CREATE", "Route", "service"), "forgetService": of("ROUTE_DELETE", "Route", "service"),
		"agreeName": of("ROUTE_CREATE", "Route", "service"),
		"changes":   changes, "apply": apply,

		"peerRoutes": of("PEER_LIST", "Peer", "node"),
		"filterDiff": filtered, "filterExplain": filtered, "attestations": all("PEER_LIST"),
		"trustOrigin": all("MANAGE"), "attest": all("MANAGE"),

		"graph": all("ROUTE_LIST"), "plan": all("ROUTE_LIST"), "checkSubgraph": all("ROUTE_LIST"), "refreshGraph": gateway,

		"calls": all("MANAGE"), "callEdges": all("MANAGE"), "tap": all("MANAGE"), "callParts": all("MANAGE"),
		"audit": all("MANAGE"), "credentials": all("MANAGE"),

		"drain": all("MANAGE"), "renewCertificate": all("MANAGE"), "policy": all("MANAGE"),
		"policyVersions": all("MANAGE"), "policyNodes": all("MANAGE"), "policyVersion": all("MANAGE"),
		"checkPolicy": all("MANAGE"), "decisions": all("MANAGE"), "why": all("MANAGE"), "simulatePolicy": all("MANAGE"),
		"applyPolicy": all("MANAGE"), "rollbackPolicy": all("MANAGE"),
	}
}

// filtered shows what a peer announces and is told.
func filtered(a args) []right {
	in, _ := a["input"].(FilterInput)
	return []right{{"PEER_LIST", Resource{"Peer", in.Node}}}
}

// setPeer adds a peer or replaces it: whether there is one may change until it is done, so both rights are needed.
func setPeer(in PeerInput) []right {
	peer := Resource{"Peer", in.Node}
	return []right{{"PEER_CREATE", peer}, {"PEER_UPDATE", peer}}
}

func setService(in ServiceInput) []right {
	return []right{{"ROUTE_CREATE", Resource{"Route", in.Service}}}
}

// changes shows routes, and what sessions do if the caller wants that too.
func changes(a args) []right {
	out := onAll("ROUTE_LIST")
	if peers, _ := a["peers"].(bool); peers {
		out = append(out, onAll("PEER_LIST")...)
	}
	return out
}

// apply needs the rights of everything that it is given. What prune removes is named by nobody, so that needs the
// right to remove anything. An input of nothing needs LOGIN.
func apply(a args) []right {
	in, _ := a["input"].(ApplyInput)
	var out []right
	for _, p := range in.Peers {
		out = append(out, setPeer(p)...)
	}
	for _, s := range in.Services {
		out = append(out, setService(s)...)
	}
	if in.Prune {
		out = append(append(out, onAll("PEER_DELETE")...), onAll("ROUTE_DELETE")...)
	}
	if len(out) == 0 {
		out = onAll("LOGIN")
	}
	return out
}

// allowed runs do if the caller may do operation to what its arguments name.
func allowed[T any](ctx context.Context, r *resolver, operation string, do func() (T, error)) (T, error) {
	needs, known := r.rights[operation]
	if !known {
		var zero T
		return zero, fmt.Errorf("%s is permitted to nobody: no right is defined for it", operation)
	}
	o := Order{Operation: operation}
	var given args
	if f := graphql.GetFieldContext(ctx); f != nil {
		given = f.Args
		o.audited = f.Object == "Mutation" || looksAtCalls(operation)
	}
	o.rights, o.given = needs(given), given
	principal, _ := ctx.Value(principalKey{}).(policy.Bearer)
	for _, n := range o.rights {
		if err := r.a.Authorize(ctx, Request{principal, operation, n.action, n.resource}); err != nil {
			var zero T
			o.Refused = true
			r.ordered(ctx, o, err)
			return zero, err
		}
	}
	out, err := do()
	r.ordered(ctx, o, err)
	return out, err
}
