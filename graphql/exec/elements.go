package exec

import (
	"slices"
	"strconv"

	"github.com/catalyst-router/catalyst/graphql/plan"
)

// held is the part of a list that the first payload does not have.
type held struct {
	node  uint32 // the first element that is left out
	index int    // its index
	field *plan.Field
	wrap  []plan.Wrap // of the elements
	path  clientPath  // of the list
	id    int
}

// initial is how many elements of a list come in the first payload. vars gives the JSON of the client's variables.
func initial(s *plan.Stream, vars func(name string) []byte) int {
	if s.Variable == "" {
		return s.Initial
	}
	n, err := strconv.Atoi(string(vars(s.Variable)))
	if err != nil || n < 0 {
		return 0
	}
	return n
}

// hold notes that a list goes on with node n. The last step of the path is an index.
func (p *printer) hold(n uint32, f *plan.Field, wrap []plan.Wrap, index int) {
	h := held{node: n, index: index, field: f, wrap: wrap}
	c := p.clientPath()
	c.pop()
	h.path.set(c)
	p.held = append(p.held, h)
}

// announceLists appends the elements of `pending` for the lists that go on, for ByID.
func (d *deferred) announceLists(out []byte) []byte {
	if d.r.req.Incremental != ByID {
		return out
	}
	for i := range d.lists {
		h := &d.lists[i]
		h.id = d.ids
		d.ids++
		out = appendID(append(appendComma(out), '{'), h.id)
		out = append(append(append(out, `,"path":[`...), h.path.json...), ']')
		out = append(appendLabel(out, h.field.Stream.Label), '}')
	}
	return out
}

// elements completes the rest of all lists, and prints a payload with it.
func (d *deferred) elements() *Response {
	r := d.r
	if d.root.Primary != nil {
		r.main.turn = laterElements
		r.run(&r.main, d.root.Primary)
		r.main.turn = allElements
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	out := r.e.newBuffer(0)
	p := r.printer(&r.main, out)
	p.nulled = d.nulled
	var pl payload
	for i := range d.lists {
		d.rest(p, &d.lists[i], &pl)
		p.errs.flush()
	}
	d.lists = nil
	p.out = append(p.out[:0], '{')
	p.out = appendList(p.out, "incremental", pl.entries)
	p.out = appendList(p.out, "completed", pl.completed)
	p.out = appendHasNext(p.out, d.left > 0)
	res := r.response(out, p, false)
	res.Errors, res.HasNext, res.Answers = pl.errors, d.left > 0, slices.Clone(res.Answers)
	return res
}

// rest prints the rest of one list.
func (d *deferred) rest(p *printer, h *held, pl *payload) {
	p.out, p.base = append(p.out[:0], '['), &h.path
	p.path = append(p.path[:0], step{})
	ok := true
	index := h.index
	for c := h.node; c != 0 && ok; c = d.r.tree.nodes[c].next {
		if index > h.index {
			p.out = append(p.out, ',')
		}
		p.path[0].index = index
		ok = p.value(c, h.field, h.wrap) && !p.over
		index++
	}
	p.path = p.path[:0]
	if ok {
		p.out = append(p.out, ']')
	} else {
		p.out = append(p.out[:0], "null"...)
	}
	data := len(p.out)
	p.tail(nil)
	pl.errors += p.errs.count()
	byPath := d.r.req.Incremental == ByPath
	if byPath || ok {
		pl.entries = append(appendComma(pl.entries), `{"items":`...)
		pl.entries = append(pl.entries, p.out...)
	}
	if byPath {
		pl.entries = append(append(pl.entries, `,"path":[`...), h.path.json...)
		pl.entries = strconv.AppendInt(append(pl.entries, ','), int64(h.index), 10)
		pl.entries = append(appendLabel(append(pl.entries, ']'), h.field.Stream.Label), '}')
		return
	}
	if ok {
		pl.entries = append(appendID(append(pl.entries, ','), h.id), '}')
	}
	pl.completed = appendID(append(appendComma(pl.completed), '{'), h.id)
	if !ok {
		pl.completed = append(pl.completed, p.out[data:]...)
	}
	pl.completed = append(pl.completed, '}')
}
