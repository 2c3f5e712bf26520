package tap

// ring keeps calls up to a number of bytes; the oldest go first.
type ring struct {
	most, bytes int
	calls       []*Call // oldest first, from head on
	head        int
}

func (r *ring) add(c *Call) {
	r.calls = append(r.calls, c)
	for r.bytes += c.size(); r.bytes > r.most && r.head < len(r.calls); r.head++ {
		r.bytes -= r.calls[r.head].size()
		r.calls[r.head] = nil
	}
	if r.head > len(r.calls)/2 {
		n := copy(r.calls, r.calls[r.head:])
		clear(r.calls[n:])
		r.calls, r.head = r.calls[:n], 0
	}
}

// newest calls yield with the calls, newest first, until it returns false.
func (r *ring) newest(yield func(*Call) bool) {
	for i := len(r.calls) - 1; i >= r.head; i-- {
		if !yield(r.calls[i]) {
			return
		}
	}
}
