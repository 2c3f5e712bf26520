package rib

// A wreck is what a session leaves behind when it ends: the sets that the peer held, and the names that it had yet to
// hear of. It is cleared away in slices, so that the end of a session with a million routes holds nothing up.
type wreck struct {
	out   []uint32 // as peer.out
	more  map[uint32][]sent
	queue []uint32 // what the peer had yet to hear of
}

// wreck takes away what a peer's session was. Its place is empty then, for a new one.
func (t *Table) wreck(p *peer) {
	w := wreck{out: p.out, more: p.more}
	t.forgetMembers(p)
	for i, queue := range p.dirty.queues() {
		if i == 0 {
			w.queue = queue
			continue
		}
		w.queue = append(w.queue, queue...)
	}
	p.out, p.more, p.dirty = nil, nil, pendingSet{}
	if len(w.out) > 0 || len(w.more) > 0 || len(w.queue) > 0 {
		t.wrecks = append(t.wrecks, w)
	}
}

// clearWrecks clears about budget looks' worth away, and returns what is left of the budget.
func (t *Table) clearWrecks(budget int) int {
	for len(t.wrecks) > 0 && budget > 0 {
		w := &t.wrecks[0]
		looks := w.clear(t, budget)
		if looks == 0 {
			t.wrecks[0] = wreck{}
			t.wrecks = t.wrecks[1:]
			continue
		}
		t.effort += uint64(looks)
		budget -= looks
	}
	return budget
}

// clear clears away what at most so many looks are worth, and returns how many it took: 0 when nothing was left.
func (w *wreck) clear(t *Table, looks int) int {
	n := min(looks*marksPerLook, len(w.out))
	for _, held := range w.out[:n] {
		if held != 0 {
			t.releaseSet(held - 1)
		}
	}
	w.out = w.out[n:]
	k := min(looks*marksPerLook-n, len(w.queue))
	for _, svc := range w.queue[:k] {
		t.releaseName(svc &^ batchEnd)
	}
	w.queue = w.queue[k:]
	n += k
	for svc, list := range w.more {
		if n >= looks*marksPerLook {
			break
		}
		for _, s := range list {
			t.releaseSet(s.set)
			n++
		}
		delete(w.more, svc)
	}
	return (n + marksPerLook - 1) / marksPerLook
}
