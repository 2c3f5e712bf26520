package rib

// A pendingSet holds the services whose newest state somebody has yet to hear of: each at most once, whatever happens to it
// meanwhile, so that its size is bounded by the table and not by the churn. It begins with a scan over all services, in
// slices, and needs no memory for that.
type pendingSet struct {
	bits     []uint64
	queue    []uint32 // of bits; popped from head; batchEnd marks the last of a batch
	head     int
	cut      bool // a batch ended with what was popped
	scanning bool
	at       uint32 // the scan's next service
}

const batchEnd = 1 << 31

// mark enters a service and tells whether it was not there. While the scan has still to come by, nothing is entered, unless the
// service is held already, since then its end would be missed.
func (s *pendingSet) mark(svc uint32, held bool) bool {
	if s.scanning && svc >= s.at && !held {
		return false
	}
	word, bit := svc/64, uint64(1)<<(svc%64)
	for int(word) >= len(s.bits) {
		s.bits = append(s.bits, 0)
	}
	if s.bits[word]&bit != 0 {
		return false
	}
	s.bits[word] |= bit
	s.queue = append(s.queue, svc)
	return true
}

// pop takes the service that waits longest.
func (s *pendingSet) pop() (uint32, bool) {
	if s.head == len(s.queue) {
		return 0, false
	}
	svc := s.queue[s.head] &^ batchEnd
	s.cut = s.cut || s.queue[s.head] != svc
	s.head++
	s.bits[svc/64] &^= 1 << (svc % 64)
	if s.head == len(s.queue) {
		s.queue, s.head = s.queue[:0], 0
		if cap(s.queue) > 1<<16 {
			s.queue = nil
		}
	} else if s.head > 1<<12 && s.head*2 > len(s.queue) {
		s.queue = s.queue[:copy(s.queue, s.queue[s.head:])]
		s.head = 0
	}
	return svc, true
}

// waits tells whether a service is yet to be told of.
func (s *pendingSet) waits(svc uint32) bool {
	return s.scanning && svc >= s.at || int(svc/64) < len(s.bits) && s.bits[svc/64]&(1<<(svc%64)) != 0
}

// endBatch marks that what waits last was the last of many that changed together.
func (s *pendingSet) endBatch() {
	if s.head < len(s.queue) {
		s.queue[len(s.queue)-1] |= batchEnd
	}
}

// rescan begins the scan (again).
func (s *pendingSet) rescan() { s.scanning, s.at = true, 0 }

// scan returns the scan's next service; false when all n have been seen.
func (s *pendingSet) scan(n int) (uint32, bool) {
	if !s.scanning {
		return 0, false
	}
	if int(s.at) >= n {
		s.scanning = false
		return 0, false
	}
	s.at++
	return s.at - 1, true
}

// left returns how many services wait, the rest of a scan over n included.
func (s *pendingSet) left(n int) int {
	waiting := len(s.queue) - s.head
	if s.scanning {
		waiting += max(0, n-int(s.at))
	}
	return waiting
}
