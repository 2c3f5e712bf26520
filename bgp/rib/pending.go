package rib

// A pendingSet holds the services whose newest state somebody has yet to hear of: each at most once, whatever happens
// to it meanwhile, so that its size is bounded by the table and not by the churn. It begins with a scan over all
// services, in slices, and needs no memory for that.
//
// Services are told of in the order in which they changed, as long as few wait. Where one source changes many at
// once, what is beyond the first laneRoom of them waits in a lane of its own, and messages are taken from the common
// queue and from the lanes in turn. So a new service is told of within a few messages, although a million of another
// node wait.
type pendingSet struct {
	bits     []uint64
	common   fifo
	counts   [countSlots]uint16 // by peer, of what entered the common queue since it was last empty
	lanes    []lane             // none is empty
	turn     int                // 0: the common queue; n: lanes[n-1]
	waiting  int                // in the queue and the lanes
	tail     *fifo              // what mark entered last
	cut      bool               // a batch ended with what was popped
	scanning bool
	at       uint32 // the scan's next service
}

const (
	batchEnd   = 1 << 31 // in a fifo: the last of a batch
	laneRoom   = 1000    // services of one source that enter the common queue
	maxLanes   = 256
	countSlots = 64
)

// source says whose doing a change is: the peer that announced it and, of 64 classes, the one of the service's
// originator. The class is only what the announcing peer says: one that makes originators up has at most as many
// lanes as there are classes.
type source struct {
	by     PeerID
	origin string // worked out to a class when it is needed
}

// slot returns the peer's place among the counts. Two peers may have the same.
func (s *source) slot() uint32 { return uint32(s.by) * 2654435761 >> 26 }

// lane returns the number of the source's lane.
func (s *source) lane() uint32 { return uint32(s.by)<<6 | originHash(s.origin)>>16%64 }

// originHash is the same at each start, as a replay wants it.
func originHash(origin string) uint32 {
	h := uint32(2166136261) // FNV-1a
	for i := range len(origin) {
		h = (h ^ uint32(origin[i])) * 16777619
	}
	return (h ^ h>>15) * 2246822519 // so that a last letter counts (xxHash)
}

// lane holds what one source has changed beyond its room in the common queue.
type lane struct {
	of uint32
	fifo
}

// fifo is a queue of services.
type fifo struct {
	queue []uint32
	head  int
}

func (q *fifo) empty() bool { return q.head == len(q.queue) }

// pop takes the service that waits longest, and tells whether a batch ended with it.
func (q *fifo) pop() (svc uint32, last bool) {
	svc = q.queue[q.head] &^ batchEnd
	last = svc != q.queue[q.head]
	q.head++
	switch {
	case q.head == len(q.queue):
		q.queue, q.head = q.queue[:0], 0
		if cap(q.queue) > 1<<16 {
			q.queue = nil
		}
	case q.head > 1<<12 && q.head*2 > len(q.queue):
		q.queue = q.queue[:copy(q.queue, q.queue[q.head:])]
		q.head = 0
	}
	return svc, last
}

// mark enters a service that a source has changed, and tells whether it was not there. What the scan has still to
// come by is not entered while many wait, unless the service is held already, since then its end would be missed.
func (s *pendingSet) mark(svc uint32, held bool, by *source) bool {
	if s.scanning && svc >= s.at && !held && s.waiting >= laneRoom {
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
	s.tail = s.queueOf(by)
	s.tail.queue = append(s.tail.queue, svc)
	s.waiting++
	return true
}

// queueOf returns where the next service of a source waits.
func (s *pendingSet) queueOf(by *source) *fifo {
	if n := &s.counts[by.slot()]; *n < laneRoom {
		*n++
		return &s.common
	}
	number := by.lane()
	for i := range s.lanes {
		if s.lanes[i].of == number {
			return &s.lanes[i].fifo
		}
	}
	if len(s.lanes) == maxLanes {
		return &s.lanes[number%maxLanes].fifo
	}
	s.lanes = append(s.lanes, lane{of: number})
	return &s.lanes[len(s.lanes)-1].fifo
}

// rotate has the next queue's turn begin: whoever makes a message of what is popped calls it before.
func (s *pendingSet) rotate() { s.turn = (s.turn + 1) % (len(s.lanes) + 1) }

// pop takes the service that waits longest in the queue whose turn it is, or in the next one if that is empty.
func (s *pendingSet) pop() (uint32, bool) {
	if s.waiting == 0 {
		return 0, false
	}
	if s.turn > len(s.lanes) || s.turn == 0 && s.common.empty() {
		s.turn = min(1, len(s.lanes))
	}
	q := &s.common
	if s.turn > 0 {
		q = &s.lanes[s.turn-1].fifo
	}
	svc, last := q.pop()
	s.cut = s.cut || last
	s.bits[svc/64] &^= 1 << (svc % 64)
	s.waiting--
	if q.empty() {
		s.emptied()
	}
	return svc, true
}

// emptied follows when the queue whose turn it is has become empty: a lane goes, and the next one has its turn.
func (s *pendingSet) emptied() {
	s.tail = nil
	if s.turn == 0 {
		clear(s.counts[:])
		s.turn = min(1, len(s.lanes))
		return
	}
	last := len(s.lanes) - 1
	s.lanes[s.turn-1] = s.lanes[last]
	s.lanes[last] = lane{}
	s.lanes = s.lanes[:last]
	if s.turn > last {
		s.turn = 0
	}
}

// queues returns everything that waits.
func (s *pendingSet) queues() [][]uint32 {
	all := [][]uint32{s.common.queue[s.common.head:]}
	for i := range s.lanes {
		all = append(all, s.lanes[i].queue[s.lanes[i].head:])
	}
	return all
}

// waits tells whether a service is yet to be told of.
func (s *pendingSet) waits(svc uint32) bool {
	return s.scanning && svc >= s.at || int(svc/64) < len(s.bits) && s.bits[svc/64]&(1<<(svc%64)) != 0
}

// endBatch marks that what was entered last was the last of many that changed together.
func (s *pendingSet) endBatch() {
	if q := s.tail; q != nil && !q.empty() {
		q.queue[len(q.queue)-1] |= batchEnd
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
	if s.scanning {
		return s.waiting + max(0, n-int(s.at))
	}
	return s.waiting
}
