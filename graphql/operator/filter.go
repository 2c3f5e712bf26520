package operator

import "context"

// FilterBackend answers what concerns rules and attestations of origins. Each of its methods is called by the field of
// its name in filter.graphqls.
type FilterBackend interface {
	FilterDiff(ctx context.Context, in FilterInput) (*FilterDiff, error)
	FilterExplain(ctx context.Context, in FilterInput, service string) ([]FilterTrace, error)
	PeerRoutes(ctx context.Context, node, view string, match []string, after, first int) (*PeerRoutePage, error)
	Attestations(ctx context.Context) ([]Attestation, error)
	TrustOrigin(ctx context.Context, organisation, keys string) (bool, error)
	Attest(ctx context.Context, set string) (*Attestation, error)
}

func (q query) FilterDiff(ctx context.Context, in FilterInput) (*FilterDiff, error) {
	return allowed(ctx, q.resolver, "filterDiff", func() (*FilterDiff, error) { return q.b.FilterDiff(ctx, in) })
}

func (q query) FilterExplain(ctx context.Context, in FilterInput, service string) ([]FilterTrace, error) {
	return allowed(ctx, q.resolver, "filterExplain", func() ([]FilterTrace, error) {
		return q.b.FilterExplain(ctx, in, service)
	})
}

func (q query) PeerRoutes(ctx context.Context, node, view string, match []string, after, first int) (
	*PeerRoutePage, error,
) {
	return allowed(ctx, q.resolver, "peerRoutes", func() (*PeerRoutePage, error) {
		return q.b.PeerRoutes(ctx, node, view, match, after, first)
	})
}

func (q query) Attestations(ctx context.Context) ([]Attestation, error) {
	return allowed(ctx, q.resolver, "attestations", func() ([]Attestation, error) { return q.b.Attestations(ctx) })
}

func (m mutation) TrustOrigin(ctx context.Context, organisation, keys string) (bool, error) {
	return allowed(ctx, m.resolver, "trustOrigin", func() (bool, error) {
		return m.b.TrustOrigin(ctx, organisation, keys)
	})
}

func (m mutation) Attest(ctx context.Context, set string) (*Attestation, error) {
	return allowed(ctx, m.resolver, "attest", func() (*Attestation, error) { return m.b.Attest(ctx, set) })
}
