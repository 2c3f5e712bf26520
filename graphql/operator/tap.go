package operator

import "context"

// TapBackend does what the API is asked for about calls.
type TapBackend interface {
	Calls(ctx context.Context, f CallFilter, first int) ([]Call, error)
	CallEdges(ctx context.Context, f CallFilter) ([]CallEdge, error)
	Tap(ctx context.Context, f CallFilter) (<-chan *Tapped, error)
}

func (q query) Calls(ctx context.Context, filter CallFilter, first int) ([]Call, error) {
	return allowed(ctx, q.resolver, "calls", func() ([]Call, error) { return q.b.Calls(ctx, filter, first) })
}

func (q query) CallEdges(ctx context.Context, filter CallFilter) ([]CallEdge, error) {
	return allowed(ctx, q.resolver, "callEdges", func() ([]CallEdge, error) { return q.b.CallEdges(ctx, filter) })
}

func (s subscription) Tap(ctx context.Context, filter CallFilter) (<-chan *Tapped, error) {
	return allowed(ctx, s.resolver, "tap", func() (<-chan *Tapped, error) { return s.b.Tap(ctx, filter) })
}
