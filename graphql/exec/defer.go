package exec

import (
	"context"
	"io"
	"slices"
	"strconv"

	"github.com/catalyst-router/catalyst/graphql/plan"
)

// deferred is the stream of an operation with @defer or @stream.
type deferred struct {
	stream *Stream
	r      *execution
	root   *plan.Defer

	begun  bool
	blocks []blockState
	ready  chan int // blocks whose data is there; each one at most once
	// left is the number of blocks that are neither delivered nor dropped.
	left int
	ids  int // of ByID
	// lists are those that the first payload has the beginning of; they follow at once.
	lists []held
	// nulled has the hashes of positions that the first payload has as null though there is data: nothing is delivered
	// below them.
	nulled map[uint64]struct{}
}

// blockState is a deferred fragment on its way.
type blockState struct {
	scope     scope
	fetched   bool
	announced bool // its positions are known: what it stands on is delivered
	delivered bool
	positions []position
	nulled    map[uint64]struct{} // as deferred.nulled
}

// position is an object that a deferred fragment stands on.
type position struct {
	node uint32
	path clientPath
	id   int
}

func (d *deferred) next(ctx context.Context) (*Response, error) {
	if !d.begun {
		d.begun = true
		return d.initial(), nil
	}
	if len(d.lists) > 0 {
		return d.elements(), nil
	}
	if d.left == 0 {
		return nil, io.EOF
	}
	select {
	case i := <-d.ready:
		d.blocks[i].fetched = true
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-d.r.ctx.Done():
		return nil, d.r.ctx.Err()
	}
	for more := true; more; {
		select {
		case i := <-d.ready:
			d.blocks[i].fetched = true
		default:
			more = false
		}
	}
	if !d.deliverable() { // it waits for its parent
		return d.next(ctx)
	}
	return d.incremental(), nil
}

// deliverable reports whether there is a block to deliver.
func (d *deferred) deliverable() bool {
	for i := range d.blocks {
		if b := &d.blocks[i]; b.fetched && b.announced && !b.delivered {
			return true
		}
	}
	return false
}

// initial carries out the primary part and prints the first payload.
func (d *deferred) initial() *Response {
	r := d.r
	d.blocks = make([]blockState, len(d.root.Blocks))
	d.ready = make(chan int, len(d.root.Blocks))
	d.nulled = map[uint64]struct{}{}
	d.left = len(d.blocks)
	for i := range d.blocks {
		d.blocks[i].scope.block = &d.root.Blocks[i]
		d.blocks[i].nulled = map[uint64]struct{}{}
		d.blocks[i].scope.errs.reset(r.e.cfg.MaxErrors, r.e.cfg.ErrorMode)
	}
	if d.root.Primary != nil {
		r.main.turn = firstElements
		r.run(&r.main, d.root.Primary)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	out := r.e.newBuffer(0)
	p := r.printer(&r.main, out)
	p.nulled, p.streaming = d.nulled, true
	p.out = append(p.out, `{"data":`...)
	null := p.data(r.tree.root, r.plan.Response)
	if null {
		d.nulled[pathSeed] = struct{}{}
	}
	p.tail(r.req.Extensions)
	told := p.errs.count()
	p.errs.flush()
	d.lists, p.held = p.held, nil
	p.out = appendList(p.out, "pending", d.announceLists(d.announce(nil, -1)))
	if d.left > 0 && !d.start() {
		d.left, d.lists = 0, nil
	}
	hasNext := d.left > 0 || len(d.lists) > 0
	p.out = appendHasNext(p.out, hasNext)
	res := r.response(out, p, null)
	res.Errors, res.HasNext, res.Answers = told, hasNext, slices.Clone(res.Answers)
	return res
}

// appendHasNext ends a payload.
func appendHasNext(b []byte, hasNext bool) []byte {
	if len(b) > 1 {
		b = append(b, ',')
	}
	b = append(b, `"hasNext":`...)
	return append(strconv.AppendBool(b, hasNext), '}')
}

// announce finds the positions of the blocks that stand on what block parent (or the first payload, -1) has
// delivered. Blocks without positions are dropped, and those inside them. It appends the elements of `pending` for
// ByID.
func (d *deferred) announce(out []byte, parent int) []byte {
	for i := range d.blocks {
		b, def := &d.blocks[i], &d.root.Blocks[i]
		if def.Parent != parent || b.announced {
			continue
		}
		b.announced = true
		var cur clientPath
		cur.reset()
		d.find(i, def.Path, d.r.tree.root, &cur)
		if len(b.positions) == 0 {
			d.drop(i)
		} else if d.r.req.Incremental == ByID {
			out = d.appendPending(out, b, def)
		}
	}
	return out
}

func (d *deferred) appendPending(out []byte, b *blockState, def *plan.Block) []byte {
	for k := range b.positions {
		pos := &b.positions[k]
		pos.id = d.ids
		d.ids++
		out = appendComma(out)
		out = append(out, `{"id":"`...)
		out = strconv.AppendInt(out, int64(pos.id), 10)
		out = append(out, `","path":[`...)
		out = append(out, pos.path.json...)
		out = append(out, ']')
		out = appendLabel(out, def.Label)
		out = append(out, '}')
	}
	return out
}

func appendComma(out []byte) []byte {
	if len(out) > 0 {
		out = append(out, ',')
	}
	return out
}

func appendLabel(out []byte, label string) []byte {
	if label == "" {
		return out
	}
	return appendQuoted(append(out, `,"label":`...), label)
}

// drop gives up a block, and those inside it, because what it stands on is not in the response.
func (d *deferred) drop(i int) {
	d.blocks[i].delivered = true
	d.left--
	for k := range d.blocks {
		if d.root.Blocks[k].Parent == i {
			d.blocks[k].announced = true
			d.drop(k)
		}
	}
}

// find adds the positions of block i that are below n, whose response path is cur.
func (d *deferred) find(i int, path plan.Path, n uint32, cur *clientPath) {
	if d.isNull(i, cur.last()) {
		return
	}
	t := &d.r.tree
	switch t.nodes[n].kind {
	case kindList:
		k := 0
		for c := t.nodes[n].from; c != 0; c = t.nodes[c].next {
			cur.index(k)
			d.find(i, path, c, cur)
			cur.pop()
			k++
		}
	case kindObject:
		d.findIn(i, path, n, cur)
	}
}

// findIn is find for an object.
func (d *deferred) findIn(i int, path plan.Path, n uint32, cur *clientPath) {
	t := &d.r.tree
	on := d.root.Blocks[i].On
	if len(path) > 0 {
		on = path[0].On
	}
	if on != nil {
		if id, ok := t.typeOf(n); !ok || !on.Has(id) {
			return
		}
	}
	if len(path) == 0 {
		pos := position{node: n}
		pos.path.set(cur)
		d.blocks[i].positions = append(d.blocks[i].positions, pos)
		return
	}
	if c := t.field(n, path[0].Source, 0); c != 0 {
		cur.key(path[0].ClientKey)
		d.find(i, path[1:], c, cur)
		cur.pop()
	}
}

// isNull reports whether what block i stands on has null at the position with hash h.
func (d *deferred) isNull(i int, h uint64) bool {
	for p := d.root.Blocks[i].Parent; p >= 0; p = d.root.Blocks[p].Parent {
		if _, ok := d.blocks[p].nulled[h]; ok {
			return true
		}
	}
	_, ok := d.nulled[h]
	return ok
}

// gone is isNull for block i as its printer wants it.
func (d *deferred) gone(i int) func(h uint64) bool {
	some := len(d.nulled) > 0
	for p := d.root.Blocks[i].Parent; p >= 0 && !some; p = d.root.Blocks[p].Parent {
		some = len(d.blocks[p].nulled) > 0
	}
	if !some {
		return nil
	}
	return func(h uint64) bool { return d.isNull(i, h) }
}

// start begins to fetch the blocks that have not been dropped, each one after its parent. It returns false if the
// executor is closed.
func (d *deferred) start() bool {
	fetched := make([]chan struct{}, len(d.blocks))
	for i := range fetched {
		fetched[i] = make(chan struct{})
	}
	for i := range d.blocks {
		if d.blocks[i].delivered {
			close(fetched[i])
			continue
		}
		def := &d.root.Blocks[i]
		ok := d.stream.spawn(func() {
			defer close(fetched[i])
			if def.Parent >= 0 {
				select {
				case <-fetched[def.Parent]:
				case <-d.r.ctx.Done():
				}
			}
			if def.Node != nil {
				d.r.run(&d.blocks[i].scope, def.Node)
			}
			d.ready <- i
		})
		if !ok {
			return false
		}
	}
	return true
}

// payload is an incremental payload in the making.
type payload struct {
	entries, completed, pending []byte
	errors                      int
}

// incremental prints a payload with all blocks that can be delivered.
func (d *deferred) incremental() *Response {
	r := d.r
	r.mu.Lock()
	defer r.mu.Unlock()
	out := r.e.newBuffer(0)
	p := r.printer(&r.main, out)
	var pl payload
	for d.deliverable() {
		for i := range d.blocks {
			b := &d.blocks[i]
			if !b.fetched || !b.announced || b.delivered {
				continue
			}
			b.delivered = true
			d.left--
			p.gone = d.gone(i)
			for k := range b.positions {
				d.deliver(p, b, &b.positions[k], &pl)
			}
			if list := d.announce(nil, i); len(list) > 0 {
				pl.pending = append(appendComma(pl.pending), list...)
			}
		}
	}
	p.errs = &r.main.errs
	p.out = append(p.out[:0], '{')
	p.out = appendList(p.out, "pending", pl.pending)
	p.out = appendList(p.out, "incremental", pl.entries)
	p.out = appendList(p.out, "completed", pl.completed)
	p.out = appendHasNext(p.out, d.left > 0)
	res := r.response(out, p, false)
	res.Errors, res.HasNext, res.Answers = pl.errors, d.left > 0, slices.Clone(res.Answers)
	return res
}

// deliver prints one position of a block. The errors of the block's requests come with its first position.
func (d *deferred) deliver(p *printer, b *blockState, pos *position, pl *payload) {
	p.out, p.errs, p.base, p.nulled = p.out[:0], &b.scope.errs, &pos.path, b.nulled
	null := p.data(pos.node, b.scope.block.Response)
	if null {
		b.nulled[pos.path.last()] = struct{}{}
	}
	data := len(p.out)
	p.tail(nil)
	pl.errors += p.errs.count()
	p.errs.flush()
	if d.r.req.Incremental == ByPath || !null {
		pl.entries = append(appendComma(pl.entries), `{"data":`...)
		pl.entries = append(pl.entries, p.out...)
	}
	if d.r.req.Incremental == ByPath {
		pl.entries = append(pl.entries, `,"path":[`...)
		pl.entries = append(pl.entries, pos.path.json...)
		pl.entries = append(pl.entries, ']')
		pl.entries = append(appendLabel(pl.entries, b.scope.block.Label), '}')
		return
	}
	if !null {
		pl.entries = append(appendID(append(pl.entries, ','), pos.id), '}')
	}
	pl.completed = appendID(append(appendComma(pl.completed), '{'), pos.id)
	if null {
		pl.completed = append(pl.completed, p.out[data:]...)
	}
	pl.completed = append(pl.completed, '}')
}

func appendID(out []byte, id int) []byte {
	out = append(out, `"id":"`...)
	return append(strconv.AppendInt(out, int64(id), 10), '"')
}

// appendList appends a member with a list, unless it is empty.
func appendList(out []byte, name string, elements []byte) []byte {
	if len(elements) == 0 {
		return out
	}
	if len(out) > 1 {
		out = append(out, ',')
	}
	out = append(out, '"')
	out = append(out, name...)
	out = append(out, `":[`...)
	out = append(out, elements...)
	return append(out, ']')
}
