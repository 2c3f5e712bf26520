package operator

import "context"

// DiscoverBackend does what the API is asked for about services that were found.
type DiscoverBackend interface {
	Discovery(ctx context.Context) ([]Discovery, error)
}

func (q query) Discovery(ctx context.Context) ([]Discovery, error) {
	return allowed(ctx, q.resolver, "discovery", func() ([]Discovery, error) { return q.b.Discovery(ctx) })
}
