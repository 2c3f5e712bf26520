package api

import (
	"context"
	"fmt"

	"github.com/catalyst-router/catalyst/graphql/operator"
	"github.com/catalyst-router/catalyst/policy"
)

// owner is whoever can open the node's Unix socket. He owns its files, so no policy can bind him, and he must be able
// to put policies right that permit nothing.
type owner struct{}

// Authorize implements operator.Authorizer.
func (owner) Authorize(context.Context, operator.Request) error { return nil }

// Decider decides by the policies in force, and keeps why. judge.Judge is one.
type Decider interface {
	// Order decides on an order.
	Order(o policy.Order) policy.Record
	// Refuse keeps a refusal that no policy made.
	Refuse(o policy.Order, why error) policy.Record
}

// byPolicy permits what the node's policies permit to the caller, at the time of the call.
type byPolicy struct {
	api     *API
	decider Decider
}

// ByPolicy returns what decides on callers who are not the node's owner: operator.As says who they are.
func (a *API) ByPolicy() operator.Authorizer { return a.byPolicy() }

func (a *API) byPolicy() byPolicy { return byPolicy{a, a.cfg.Judge} }

// Authorize implements operator.Authorizer.
func (b byPolicy) Authorize(_ context.Context, r operator.Request) error {
	o, err := b.order(r)
	if err != nil {
		return err
	}
	d := b.decider.Order(o)
	if d.Decision.Allow {
		return nil
	}
	return operator.DeniedError{Request: r, Decision: d.ID}
}

// order is a right that is needed, as policies see it. They know this node by its name (trustedNodes), and by its
// organisation (trustedDomains).
func (b byPolicy) order(r operator.Request) (policy.Order, error) {
	id, err := b.api.resource(r.Resource)
	node := b.api.cfg.Node
	return policy.Order{
		Bearer: r.Principal, Action: r.Action, Kind: r.Resource.Kind, ID: id, Node: node.Name, Domain: string(node.Org),
	}, err
}

// refuse keeps a refusal that no policy made.
func (b byPolicy) refuse(r operator.Request, why error) error {
	denied := operator.DeniedError{Request: r}
	if o, err := b.order(r); err == nil {
		denied.Decision = b.decider.Refuse(o, why).ID
	}
	return fmt.Errorf("%s: %w: %w", r.Operation, why, denied)
}

// resource is the one name that policies have for what a caller may write in several ways: "b", "acme.example/b" and
// "spiffe://acme.example/node/b" are one peer.
func (a *API) resource(r operator.Resource) (string, error) {
	switch r.Kind {
	case "Peer":
		id, err := a.node(r.ID)
		return id.String(), err
	case "Route":
		svc, err := a.service(r.ID)
		return string(svc), err
	}
	return r.ID, nil
}

// readOnly offers what is read over the mesh, of what next permits.
type readOnly struct{ next operator.Authorizer }

// Authorize implements operator.Authorizer.
func (o readOnly) Authorize(ctx context.Context, r operator.Request) error {
	switch r.Operation {
	case "node", "peers", "peer", "routes", "route", "services", "envoys", "ports", "graph":
		return o.next.Authorize(ctx, r)
	}
	return fmt.Errorf("%s is not offered over the mesh: use the node's own socket", r.Operation)
}
