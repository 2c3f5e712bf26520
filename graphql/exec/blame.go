package exec

import (
	"slices"
	"strconv"

	"github.com/catalyst-router/catalyst/graphql/plan"
	"github.com/catalyst-router/catalyst/graphql/plan/graph"
)

// place is a source, or an index if key is "", of a path in the merged tree.
type place struct {
	key   string
	index int
}

// translate turns a path of the merged tree into the client's. It ends before what the client did not ask for; the
// function reports whether it went all the way.
func (r *execution) translate(sc *scope, places []place, p *clientPath) bool {
	if sc.block != nil && r.below(sc.block, places, p) {
		return true
	}
	p.reset()
	r.unsure = condition{}
	return r.follow(places, r.plan.Response, r.tree.root, p)
}

// condition is what the report of an error depends on: that a field of shape o which prints source is printed for
// object node. Which type the object is of may be learned later than the error.
type condition struct {
	node   uint32
	shape  *plan.Object
	source string
}

// holds reports whether the field is printed; an object of unknown type is given the benefit of the doubt.
func (c *condition) holds(t *tree) bool {
	if c.shape == nil {
		return true
	}
	id, known := t.typeOf(c.node)
	if !known {
		return true
	}
	return slices.ContainsFunc(c.shape.Fields, func(f plan.Field) bool {
		return f.Source == c.source && (f.On == nil || f.On.Has(id))
	})
}

// below translates a path that leads into a deferred fragment. It returns false if it does not, or not all the way.
func (r *execution) below(b *plan.Block, places []place, p *clientPath) bool {
	p.reset()
	r.unsure = condition{}
	n := r.tree.root
	for _, s := range b.Path {
		if len(places) == 0 || places[0].key != s.Source {
			return false
		}
		p.key(s.ClientKey)
		n = r.child(n, places[0])
		for places = places[1:]; len(places) > 0 && places[0].key == ""; places = places[1:] {
			p.index(places[0].index)
			n = r.child(n, places[0])
		}
	}
	return r.follow(places, b.Response, n, p)
}

// follow translates a path from object n, which is printed with shape o.
func (r *execution) follow(places []place, o *plan.Object, n uint32, p *clientPath) bool {
	for _, pl := range places {
		if pl.key == "" {
			p.index(pl.index)
		} else {
			f := r.printed(o, n, pl.key)
			if f == nil {
				return false
			}
			p.key(f.Key)
			if f.On != nil && r.unsure.shape == nil && r.tree.nodes[n].kind == kindObject {
				r.unsure = condition{n, o, pl.key}
			}
			o = f.Object
		}
		n = r.child(n, pl)
	}
	return true
}

// printed returns the field of o that prints source for object n, preferring one that is printed for n's type.
func (r *execution) printed(o *plan.Object, n uint32, source string) *plan.Field {
	if o == nil {
		return nil
	}
	var id graph.TypeID
	known := false
	if r.tree.nodes[n].kind == kindObject {
		id, known = r.tree.typeOf(n)
	}
	var any *plan.Field
	for i := range o.Fields {
		f := &o.Fields[i]
		if f.Source != source || f.Source == "" {
			continue
		}
		if f.On == nil || known && f.On.Has(id) {
			return f
		}
		if any == nil {
			any = f
		}
	}
	return any
}

func (r *execution) child(n uint32, pl place) uint32 {
	if pl.key == "" {
		return r.tree.element(n, pl.index)
	}
	if r.tree.nodes[n].kind != kindObject {
		return 0
	}
	return r.tree.field(n, pl.key, 0)
}

// entities is what the errors of an entity request are about: the groups and the targets of each.
type entities struct {
	fetch   *plan.EntityFetch
	batches []*batch // by group; nil where the group is not in this request
}

// subgraphErrors reports the errors of an answer.
func (r *execution) subgraphErrors(sc *scope, x *exchange, list uint32, en *entities) {
	for c := r.tree.nodes[list].from; c != 0; c = r.tree.nodes[c].next {
		x.result.Errors++
		if len(sc.errs.entries) >= sc.errs.max {
			sc.errs.dropped++
			continue
		}
		path := uint32(0)
		if r.tree.nodes[c].kind == kindObject {
			path = r.tree.field(c, "path", 0)
		}
		switch {
		case r.tree.nodes[path].kind != kindList:
			r.pathless(sc, x, c, en)
		case en == nil:
			r.places = r.appendPlaces(r.places[:0], r.tree.nodes[path].from)
			r.blame(sc, x, c)
		default:
			r.blameEntity(sc, x, c, path, en)
		}
	}
}

// pathless reports an error without a path: for entities, at the place they were asked for.
func (r *execution) pathless(sc *scope, x *exchange, errNode uint32, en *entities) {
	if en != nil {
		for g, b := range en.batches {
			if b != nil && len(b.targets) > 0 {
				r.region(sc, &en.fetch.Groups[g], b.targets)
				sc.errs.fail(r.path.last())
				r.report(sc, x, errNode, &r.path)
				return
			}
		}
	}
	r.report(sc, x, errNode, nil)
}

// blame reports an error at r.places.
func (r *execution) blame(sc *scope, x *exchange, errNode uint32) {
	if !r.translate(sc, r.places, &r.path) {
		sc.errs.fail(r.path.last())
	}
	before := len(sc.errs.entries)
	r.report(sc, x, errNode, &r.path)
	if len(sc.errs.entries) > before {
		sc.errs.entries[before].only = r.unsure
	}
}

// blameEntity reports an error of an entity at each position of the entity.
func (r *execution) blameEntity(sc *scope, x *exchange, errNode, path uint32, en *entities) {
	first := r.tree.nodes[path].from
	if en.fetch.Root {
		r.blameBelow(sc, x, errNode, first, en)
		return
	}
	second := r.tree.nodes[first].next
	g := en.group(&r.tree, first)
	if g < 0 {
		r.pathless(sc, x, errNode, en)
		return
	}
	if r.tree.nodes[second].kind != kindNumber {
		r.pathless(sc, x, errNode, en)
		return
	}
	rep, err := strconv.Atoi(string(r.tree.text(second)))
	b, found := en.batches[g], false
	for i := 0; err == nil && i < len(b.targets) && len(sc.errs.entries) < sc.errs.max; i++ {
		t := b.targets[i]
		if int(t.rep) != rep {
			continue
		}
		found = true
		r.places, _ = r.locate(r.places[:0], en.fetch.Groups[g].Paths[t.path], r.tree.root, t.node)
		r.translate(sc, r.places, &r.path)
		sc.errs.fail(r.path.last())
		r.places = r.appendPlaces(r.places, r.tree.nodes[second].next)
		r.blame(sc, x, errNode)
	}
	if !found {
		r.pathless(sc, x, errNode, en)
	}
}

// blameBelow reports an error of root fields below the root at each object that they were asked for.
func (r *execution) blameBelow(sc *scope, x *exchange, errNode, path uint32, en *entities) {
	b := en.batches[0]
	for i := 0; i < len(b.targets) && len(sc.errs.entries) < sc.errs.max; i++ {
		t := b.targets[i]
		r.places, _ = r.locate(r.places[:0], en.fetch.Groups[0].Paths[t.path], r.tree.root, t.node)
		r.places = r.appendPlaces(r.places, path)
		r.blame(sc, x, errNode)
	}
}

// group returns the group whose key the node is, or -1.
func (en *entities) group(t *tree, n uint32) int {
	if t.nodes[n].kind != kindString {
		return -1
	}
	key := t.text(n)
	for g := range en.fetch.Groups {
		if string(key[1:len(key)-1]) == en.fetch.Groups[g].Key && en.batches[g] != nil {
			return g
		}
	}
	return -1
}

// appendPlaces appends a path of an error from element n on.
func (r *execution) appendPlaces(dst []place, n uint32) []place {
	for ; n != 0; n = r.tree.nodes[n].next {
		text := r.tree.text(n)
		switch r.tree.nodes[n].kind {
		case kindString:
			dst = append(dst, place{key: unquote(text[1 : len(text)-1])})
		case kindNumber:
			i, err := strconv.Atoi(string(text))
			if err != nil || i < 0 {
				return dst
			}
			dst = append(dst, place{index: i})
		default:
			return dst
		}
	}
	return dst
}

// locate appends the path from n to the object want, which is reached by following path.
func (r *execution) locate(dst []place, path plan.Path, n, want uint32) ([]place, bool) {
	switch r.tree.nodes[n].kind {
	case kindList:
		i := 0
		for c := r.tree.nodes[n].from; c != 0; c = r.tree.nodes[c].next {
			if got, ok := r.locate(append(dst, place{index: i}), path, c, want); ok {
				return got, true
			}
			i++
		}
	case kindObject:
		if len(path) == 0 {
			return dst, n == want
		}
		if c := r.tree.field(n, path[0].Source, 0); c != 0 {
			return r.locate(append(dst, place{key: path[0].Source}), path[1:], c, want)
		}
	}
	return dst, false
}

// report writes an error of a subgraph: its message, the client's path and its extensions.
func (r *execution) report(sc *scope, x *exchange, n uint32, path *clientPath) {
	l := &sc.errs
	if path != nil {
		l.tell(path)
	}
	if !l.room() {
		return
	}
	begin := len(l.buf)
	b := append(l.buf, `{"message":`...)
	message, extensions := uint32(0), uint32(0)
	if r.tree.nodes[n].kind == kindObject {
		message, extensions = r.tree.field(n, "message", 0), r.tree.field(n, "extensions", 0)
	}
	switch {
	case l.mode == Masked:
		b = appendQuoted(b, maskedText)
	case r.tree.nodes[message].kind == kindString:
		b = append(b, r.tree.text(message)...)
	default:
		b = appendQuoted(b, "Subgraph '"+x.req.Service+"' reported an error without a message.")
	}
	b = appendPath(b, path)
	b = append(b, `,"extensions":{`...)
	b = r.appendExtensions(b, extensions, l.mode == Masked)
	if l.mode != Masked {
		b = append(b, `,"serviceName":`...)
		b = appendQuoted(b, x.req.Service)
	}
	l.buf = append(b, "}}"...)
	l.entries = append(l.entries, errorEntry{
		request:  x.req.ID,
		begin:    begin,
		end:      len(l.buf),
		subgraph: true,
		service:  x.req.Service,
	})
}

// appendExtensions appends the members of a subgraph's extensions but serviceName, and a code if there is none.
func (r *execution) appendExtensions(b []byte, n uint32, codeOnly bool) []byte {
	open := len(b)
	coded := false
	if r.tree.nodes[n].kind == kindObject {
		for c := r.tree.nodes[n].from; c != 0; c = r.tree.nodes[c].next {
			code := r.tree.hasKey(c, "code")
			if r.tree.hasKey(c, "serviceName") || codeOnly && !code {
				continue
			}
			coded = coded || code
			if len(b) > open {
				b = append(b, ',')
			}
			b = r.tree.appendMember(b, c)
		}
	}
	if !coded {
		if len(b) > open {
			b = append(b, ',')
		}
		b = append(b, `"code":"`+CodeDownstream+`"`...)
	}
	return b
}
