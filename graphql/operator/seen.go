package operator

import "context"

// SeenBackend does what the API is asked for about what was ordered of the node, and by what it is known.
type SeenBackend interface {
	Audit(ctx context.Context, first int, f AuditFilter) ([]AuditEntry, error)
	Credentials(ctx context.Context) (*Credentials, error)
	CallParts(ctx context.Context, service, id string) (*CallParts, error)
}

func (q query) Audit(ctx context.Context, first int, filter AuditFilter) ([]AuditEntry, error) {
	return allowed(ctx, q.resolver, "audit", func() ([]AuditEntry, error) { return q.b.Audit(ctx, first, filter) })
}

func (q query) Credentials(ctx context.Context) (*Credentials, error) {
	return allowed(ctx, q.resolver, "credentials", func() (*Credentials, error) { return q.b.Credentials(ctx) })
}

func (q query) CallParts(ctx context.Context, service, id string) (*CallParts, error) {
	return allowed(ctx, q.resolver, "callParts", func() (*CallParts, error) { return q.b.CallParts(ctx, service, id) })
}
