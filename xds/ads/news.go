package ads

// What happens is told to observers, the store and the log after the lock is released, in the order in which it
// happened, and by one goroutine at a time. So an observer may be slow, or ask the server something, and no Envoy
// waits for it. An example: two Envoys acknowledge the versions 1 and 2 of a resource one after the other, each in
// its own goroutine; the store is told of 1 before 2, whichever of the goroutines tells.

// tell keeps something to be told until the lock is released. The caller holds mu.
func (b *books) tell(what func()) { b.news = append(b.news, what) }

// unlock releases mu and tells what there is, unless another goroutine is telling: that one goes on until nothing is
// left.
func (b *books) unlock() {
	if b.telling {
		b.mu.Unlock()
		return
	}
	b.telling = true
	for len(b.news) > 0 {
		news := b.news
		b.news = nil
		b.mu.Unlock()
		for _, what := range news {
			what()
		}
		b.mu.Lock()
	}
	b.telling = false
	b.mu.Unlock()
}
