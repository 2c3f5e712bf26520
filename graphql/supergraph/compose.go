package supergraph

// Compose merges subgraphs. Their order decides the order of fields and, where the specification leaves a choice, who wins.
func Compose(subgraphs []Subgraph, opts Options) *Result {
	_, _ = subgraphs, opts
	return &Result{}
}

// ComposeLargest composes as many of the subgraphs as it can.
func ComposeLargest(subgraphs []Subgraph, previous []string, opts Options) (r *Result, excluded map[string][]Error) {
	_ = previous
	return Compose(subgraphs, opts), nil
}
