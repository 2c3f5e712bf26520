package supergraph

import "slices"

// Compose merges subgraphs. Their order decides the order of fields and, where the specification leaves a choice, who
// wins.
func Compose(subgraphs []Subgraph, opts Options) *Result { return NewComposer(opts).compose(subgraphs) }

func (c *Composer) compose(subgraphs []Subgraph) *Result {
	subs, errs := c.prepare(subgraphs)
	if len(errs) == 0 {
		errs = c.opts.Limits.together(subs)
	}
	if len(errs) > 0 {
		return &Result{Errors: errs}
	}
	m := merge(subs, c.opts, c.past)
	if len(m.errs) == 0 {
		m.satisfiable()
	}
	if len(m.errs) > 0 {
		return &Result{Errors: m.errs, Hints: m.hints}
	}
	sdl, doc := m.supergraph()
	c.past = m.remember()
	r := &Result{SDL: sdl, Document: doc, Hints: m.hints}
	if c.opts.Accept != nil {
		if err := c.opts.Accept(r); err != nil {
			return &Result{Errors: []Error{{Code: UnreadableGraph, Message: err.Error()}}, Hints: m.hints}
		}
	}
	return r
}

// misnamed reports whether the schema's @link applications or its definitions of federation's directives are wrong:
// what else looks wrong of it would follow from that.
func (l *loader) misnamed() bool {
	return slices.ContainsFunc(l.errs, func(e Error) bool {
		switch e.Code {
		case InvalidLinkDirectiveUsage, InvalidLinkIdentifier, UnknownFederationLinkVersion, DirectiveDefinitionInvalid,
			TypeDefinitionInvalid:
			return true
		}
		return false
	})
}

// prepare loads every schema, upgrades the old ones, and validates each by itself. Of those that are known nothing is
// left to do.
func (c *Composer) prepare(in []Subgraph) ([]*subgraph, []Error) {
	errs := names(in)
	fresh := make([]*loader, len(in)) // nil for those that are known
	subs := make([]*subgraph, len(in))
	for i, s := range in {
		if subs[i] = c.known(s); subs[i] != nil {
			subs[i].index = i
			continue
		}
		fresh[i] = load(i, s, c.opts.Limits)
		subs[i] = fresh[i].s
	}
	for _, l := range fresh {
		if l != nil && l.doc != nil && !l.misnamed() {
			l.check()
		}
	}
	for _, l := range fresh {
		if l != nil {
			errs = append(errs, l.errs...)
		}
	}
	if len(errs) > 0 {
		return subs, errs
	}
	for i, s := range in {
		if fresh[i] == nil && subs[i].influenced(subs) { // it was upgraded beside others
			fresh[i] = load(i, s, c.opts.Limits)
			fresh[i].check()
			subs[i] = fresh[i].s
		}
	}
	for _, l := range fresh {
		if l != nil && !l.s.federated() {
			l.upgrade(subs)
		}
	}
	for i, l := range fresh {
		if l == nil {
			continue
		}
		l.rules()
		l.s.survey()
		if len(l.errs)+len(l.selections) == 0 && !l.s.influenced(subs) {
			c.keep(in[i], l.s)
		}
		errs = append(errs, l.errs...)
		errs = append(errs, l.selections...)
	}
	enums(subs)
	return subs, errs
}
