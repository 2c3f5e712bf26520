package operator

import "context"

// GraphBackend does what the API is asked for about the graph.
type GraphBackend interface {
	Graph(ctx context.Context) (*Graph, error)
	GraphHistory(ctx context.Context, first int) ([]Composition, error)
	Plan(ctx context.Context, query, operationName string) (string, error)
	CheckSubgraph(ctx context.Context, name, sdl string) (*GraphCheck, error)
	RefreshGraph(ctx context.Context) (bool, error)
}

func (r *resolver) Graph() GraphResolver { return graph{r} }

type graph struct{ *resolver }

// History implements GraphResolver. Whoever may see the graph may see how it came to be.
func (g graph) History(ctx context.Context, _ *Graph, first int) ([]Composition, error) {
	return g.b.GraphHistory(ctx, first)
}

func (q query) Graph(ctx context.Context) (*Graph, error) {
	return allowed(ctx, q.resolver, "graph", func() (*Graph, error) { return q.b.Graph(ctx) })
}

func (q query) Plan(ctx context.Context, text, operationName string) (string, error) {
	return allowed(ctx, q.resolver, "plan", func() (string, error) { return q.b.Plan(ctx, text, operationName) })
}

func (q query) CheckSubgraph(ctx context.Context, name, sdl string) (*GraphCheck, error) {
	return allowed(ctx, q.resolver, "checkSubgraph",
		func() (*GraphCheck, error) { return q.b.CheckSubgraph(ctx, name, sdl) })
}

func (m mutation) RefreshGraph(ctx context.Context) (bool, error) {
	return allowed(ctx, m.resolver, "refreshGraph", func() (bool, error) { return m.b.RefreshGraph(ctx) })
}
