package api

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/catalyst-router/catalyst/bgp"
	"github.com/catalyst-router/catalyst/graphql/operator"
	"github.com/catalyst-router/catalyst/policy"
)

// owner is whoever can open the node's Unix socket. He owns its files, so no policy can bind him, and he must be able
// to put policies right that permit nothing.
type owner struct{}

// Authorize implements operator.Authorizer.
func (owner) Authorize(context.Context, operator.Request) error { return nil }

// Decider decides by the policies in force. judge.Judge is one.
type Decider interface {
	Decide(r policy.Request) policy.Decision
}

// byPolicy permits what the node's policies permit to the caller, at the time of the call.
type byPolicy struct {
	api     *API
	decider Decider
	log     *slog.Logger
}

// ByPolicy returns what decides on callers who are not the node's owner: operator.As says who they are.
func (a *API) ByPolicy() operator.Authorizer { return byPolicy{a, a.cfg.Judge, a.cfg.Log} }

// Authorize implements operator.Authorizer. Policies know this node by its name (trustedNodes), and by its
// organisation (trustedDomains).
func (b byPolicy) Authorize(_ context.Context, r operator.Request) error {
	id, err := b.api.resource(r.Resource)
	if err != nil {
		return err
	}
	node := b.api.cfg.Node
	order := policy.Order{
		Bearer: r.Principal, Action: r.Action, Kind: r.Resource.Kind, ID: id, Node: node.Name, Domain: string(node.Org),
	}
	d := b.decider.Decide(order.Request())
	if d.Allow {
		return nil
	}
	b.log.Info("an order was denied", "operation", r.Operation, "principal", r.Principal.Principal,
		"subject", bgp.Printable(r.Principal.Subject), "action", r.Action, "resource", r.Resource.Kind, "id", id,
		"policies", d.Policies, "errors", d.Errors, "snapshot", d.Snapshot)
	return operator.DeniedError{Request: r}
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
