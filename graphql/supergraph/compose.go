package supergraph

// Compose merges subgraphs. Their order decides the order of fields and, where the specification leaves a choice, who wins.
func Compose(subgraphs []Subgraph, opts Options) *Result {
	subs, errs := prepare(subgraphs)
	if len(errs) > 0 {
		return &Result{Errors: errs}
	}
	m := merge(subs, opts)
	if len(m.errs) == 0 {
		m.satisfiable()
	}
	if len(m.errs) > 0 {
		return &Result{Errors: m.errs, Hints: m.hints}
	}
	sdl, doc := m.supergraph()
	return &Result{SDL: sdl, Document: doc, Hints: m.hints}
}

// prepare loads every schema, upgrades the old ones, and validates each by itself.
func prepare(in []Subgraph) ([]*subgraph, []Error) {
	errs := names(in)
	loaders := make([]*loader, len(in))
	subs := make([]*subgraph, len(in))
	for i, s := range in {
		loaders[i] = load(i, s)
		subs[i] = loaders[i].s
	}
	for _, l := range loaders {
		if l.doc != nil {
			l.check()
		}
	}
	for _, l := range loaders {
		errs = append(errs, l.errs...)
	}
	if len(errs) > 0 {
		return subs, errs
	}
	for _, l := range loaders {
		if !l.s.federated() {
			l.upgrade(subs)
		}
	}
	for _, l := range loaders {
		l.rules()
		errs = append(errs, l.errs...)
		errs = append(errs, l.selections...)
	}
	enums(subs)
	return subs, errs
}
