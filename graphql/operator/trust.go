package operator

import "context"

// TrustBackend does what the API is asked for about other organisations.
type TrustBackend interface {
	Peerings(ctx context.Context) ([]Peering, error)
	Peering(ctx context.Context, organisation string) (*Peering, error)
	Invitations(ctx context.Context) ([]Invitation, error)
	ReadInvitation(ctx context.Context, invitation string) (*Invitation, error)
	ProposedPeering(ctx context.Context, organisation, at string) (*PeeringProposal, error)
	PeeringTokens(ctx context.Context, organisation string) ([]TokenUse, error)
	OwnBundle(ctx context.Context) (string, error)
	Ledger(ctx context.Context, organisation, service string) (*Ledger, error)
	OfferPeering(ctx context.Context, in OfferInput) (*Invitation, error)
	AcceptPeering(ctx context.Context, in AcceptInput) (*Peering, error)
	SetPeering(ctx context.Context, in PeeringInput) (*Peering, error)
	EndPeering(ctx context.Context, organisation, text string) (bool, error)
	WithdrawInvitation(ctx context.Context, id string) (bool, error)
}

func (q query) Peerings(ctx context.Context) ([]Peering, error) {
	return allowed(ctx, q.resolver, "peerings", func() ([]Peering, error) { return q.b.Peerings(ctx) })
}

func (q query) Peering(ctx context.Context, organisation string) (*Peering, error) {
	return allowed(ctx, q.resolver, "peering", func() (*Peering, error) { return q.b.Peering(ctx, organisation) })
}

func (q query) Invitations(ctx context.Context) ([]Invitation, error) {
	return allowed(ctx, q.resolver, "invitations", func() ([]Invitation, error) { return q.b.Invitations(ctx) })
}

func (q query) ReadInvitation(ctx context.Context, invitation string) (*Invitation, error) {
	return allowed(ctx, q.resolver, "readInvitation",
		func() (*Invitation, error) { return q.b.ReadInvitation(ctx, invitation) })
}

func (q query) ProposedPeering(ctx context.Context, organisation, at string) (*PeeringProposal, error) {
	return allowed(ctx, q.resolver, "proposedPeering",
		func() (*PeeringProposal, error) { return q.b.ProposedPeering(ctx, organisation, at) })
}

func (q query) PeeringTokens(ctx context.Context, organisation string) ([]TokenUse, error) {
	return allowed(ctx, q.resolver, "peeringTokens",
		func() ([]TokenUse, error) { return q.b.PeeringTokens(ctx, organisation) })
}

func (q query) OwnBundle(ctx context.Context) (string, error) {
	return allowed(ctx, q.resolver, "ownBundle", func() (string, error) { return q.b.OwnBundle(ctx) })
}

func (q query) Ledger(ctx context.Context, organisation, service string) (*Ledger, error) {
	return allowed(ctx, q.resolver, "ledger", func() (*Ledger, error) { return q.b.Ledger(ctx, organisation, service) })
}

func (m mutation) OfferPeering(ctx context.Context, in OfferInput) (*Invitation, error) {
	return allowed(ctx, m.resolver, "offerPeering", func() (*Invitation, error) { return m.b.OfferPeering(ctx, in) })
}

func (m mutation) AcceptPeering(ctx context.Context, in AcceptInput) (*Peering, error) {
	return allowed(ctx, m.resolver, "acceptPeering", func() (*Peering, error) { return m.b.AcceptPeering(ctx, in) })
}

func (m mutation) SetPeering(ctx context.Context, in PeeringInput) (*Peering, error) {
	return allowed(ctx, m.resolver, "setPeering", func() (*Peering, error) { return m.b.SetPeering(ctx, in) })
}

func (m mutation) EndPeering(ctx context.Context, organisation, text string) (bool, error) {
	return allowed(ctx, m.resolver, "endPeering",
		func() (bool, error) { return m.b.EndPeering(ctx, organisation, text) })
}

func (m mutation) WithdrawInvitation(ctx context.Context, id string) (bool, error) {
	return allowed(ctx, m.resolver, "withdrawInvitation",
		func() (bool, error) { return m.b.WithdrawInvitation(ctx, id) })
}
