package rib

import (
	"encoding/binary"
	"hash/maphash"
)

// An interner keeps byte strings once each under dense numbers, in memory that the garbage collector need not scan:
// records in chunks of bytes, entries by number, and an index of numbers. Numbers are reused after release; bytes
// never move while they are in use, save when compact moves a whole chunk.
type interner struct {
	seed    maphash.Seed
	chunks  []chunk
	vacant  []uint32 // indices of chunks that gave their memory back
	hand    int      // where compact goes on
	filling uint32   // index of the chunk that is being filled
	index   index
	// By number; the arrays grow in step.
	refs   []ref
	counts []uint32 // owners; 0 is a free number
	free   []uint32
	tried  int    // free numbers when cutFree last looked
	limit  uint32 // numbers from here on are not given out again; none for no limit
	live   int    // bytes in use, record headers included
	size   int    // bytes held
}

// A ref says where a record's bytes are.
type ref struct {
	chunk  uint32
	offset uint16
	length uint16
}

type chunk struct {
	buf  []byte
	live int
}

const (
	chunkSize  = 64 << 10
	headerSize = 6 // number (4 bytes) and length (2) before each record's bytes
	none       = ^uint32(0)
)

func newInterner() *interner {
	return &interner{seed: maphash.MakeSeed(), limit: none}
}

// bytes returns the record of a number in use. The result is never changed, but is valid only until the number is
// released or compact is called.
func (in *interner) bytes(id uint32) []byte {
	r := in.refs[id]
	return in.chunks[r.chunk].buf[r.offset : int(r.offset)+int(r.length) : int(r.offset)+int(r.length)]
}

// find returns the number of b, or none.
func (in *interner) find(b []byte) uint32 {
	return in.index.find(uint32(maphash.Bytes(in.seed, b)),
		func(id uint32) bool { return string(in.bytes(id)) == string(b) })
}

// intern returns the number of b with one more owner, and whether it is new. b is copied; it is at most 64 KiB less a
// header.
func (in *interner) intern(b []byte) (id uint32, fresh bool) {
	h := uint32(maphash.Bytes(in.seed, b))
	if id = in.index.find(h, func(id uint32) bool { return string(in.bytes(id)) == string(b) }); id != none {
		in.counts[id]++
		return id, false
	}
	if n := len(in.free); n > 0 {
		id = in.free[n-1]
		in.free = in.free[:n-1]
	} else {
		if in.limit != none {
			in.unrestrict()
			return in.intern(b)
		}
		id = uint32(len(in.refs))
		in.refs = append(in.refs, ref{})
		in.counts = append(in.counts, 0)
	}
	in.refs[id] = in.store(id, b)
	in.counts[id] = 1
	in.index.insert(h, id, in.hash)
	return id, true
}

func (in *interner) retain(id uint32) { in.counts[id]++ }

// release gives one owner up, and tells whether it was the last, so that the number is free now.
func (in *interner) release(id uint32) bool {
	if in.counts[id]--; in.counts[id] > 0 {
		return false
	}
	in.index.remove(in.hash(id), id, in.hash)
	r := in.refs[id]
	in.refs[id].length = 0
	in.drop(r)
	if id < in.limit {
		in.free = append(in.free, id)
	}
	return true
}

func (in *interner) hash(id uint32) uint32 { return uint32(maphash.Bytes(in.seed, in.bytes(id))) }

func (in *interner) store(id uint32, b []byte) ref {
	need := headerSize + len(b)
	if len(in.chunks) == 0 || chunkSize-len(in.chunks[in.filling].buf) < need {
		in.open()
	}
	c := &in.chunks[in.filling]
	c.buf = binary.LittleEndian.AppendUint32(c.buf, id)
	c.buf = binary.LittleEndian.AppendUint16(c.buf, uint16(len(b)))
	r := ref{chunk: in.filling, offset: uint16(len(c.buf)), length: uint16(len(b))}
	c.buf = append(c.buf, b...)
	c.live += need
	in.live += need
	return r
}

// open makes another chunk the one that is filled.
func (in *interner) open() {
	if n := len(in.vacant); n > 0 {
		in.filling = in.vacant[n-1]
		in.vacant = in.vacant[:n-1]
	} else {
		in.filling = uint32(len(in.chunks))
		in.chunks = append(in.chunks, chunk{})
	}
	in.chunks[in.filling].buf = make([]byte, 0, chunkSize)
	in.size += chunkSize
}

// drop takes a record out of its chunk's books; a chunk without records gives its memory back.
func (in *interner) drop(r ref) {
	c := &in.chunks[r.chunk]
	need := headerSize + int(r.length)
	c.live -= need
	in.live -= need
	if c.live == 0 && r.chunk != in.filling {
		in.vacate(r.chunk)
	}
}

func (in *interner) vacate(i uint32) {
	in.chunks[i] = chunk{}
	in.vacant = append(in.vacant, i)
	in.size -= chunkSize
}

// compact moves the live records of at most one chunk that is less than half in use, when less than half of all is.
// Called once a batch, it keeps memory proportional to use at a cost that does not depend on the table.
func (in *interner) compact() {
	const look = 64 // chunks inspected a call
	if in.size < 4*chunkSize || in.live*2 > in.size {
		return
	}
	for range look {
		in.hand = (in.hand + 1) % len(in.chunks)
		c := &in.chunks[in.hand]
		if uint32(in.hand) == in.filling || c.buf == nil || c.live*2 > len(c.buf) {
			continue
		}
		in.evacuate(uint32(in.hand))
		return
	}
}

// evacuate stores the live records of a chunk anew and gives its memory back.
func (in *interner) evacuate(i uint32) {
	buf := in.chunks[i].buf
	for at := 0; at < len(buf); {
		id := binary.LittleEndian.Uint32(buf[at:])
		n := int(binary.LittleEndian.Uint16(buf[at+4:]))
		at += headerSize
		// A record that was released has a number that is another's now, or that was cut off.
		if int(id) < len(in.refs) && in.counts[id] > 0 && in.refs[id].chunk == i && int(in.refs[id].offset) == at {
			in.refs[id] = in.store(id, buf[at:at+n])
			in.live -= headerSize + n // it was counted already
		}
		at += n
	}
	in.vacate(i)
}

// An index finds numbers by hash: open addressing in shards that grow one at a time, so that no insertion pays for
// the whole table.
type index struct {
	shards [shardCount]shard
}

const shardCount = 256

type shard struct {
	slots []uint32 // number + 1; 0 is empty
	used  int
}

func (x *index) find(hash uint32, equal func(id uint32) bool) uint32 {
	s := &x.shards[hash%shardCount]
	if len(s.slots) == 0 {
		return none
	}
	mask := uint32(len(s.slots) - 1)
	for i := (hash / shardCount) & mask; s.slots[i] != 0; i = (i + 1) & mask {
		if id := s.slots[i] - 1; equal(id) {
			return id
		}
	}
	return none
}

func (x *index) insert(hash, id uint32, hashOf func(id uint32) uint32) {
	s := &x.shards[hash%shardCount]
	if (s.used+1)*4 > len(s.slots)*3 {
		old := s.slots
		s.slots = make([]uint32, max(8, 2*len(old)))
		for _, slot := range old {
			if slot != 0 {
				s.place(hashOf(slot-1), slot)
			}
		}
	}
	s.place(hash, id+1)
	s.used++
}

func (s *shard) place(hash, slot uint32) {
	mask := uint32(len(s.slots) - 1)
	i := (hash / shardCount) & mask
	for s.slots[i] != 0 {
		i = (i + 1) & mask
	}
	s.slots[i] = slot
}

// remove takes id out and closes the gap by moving later ones of its run forward, so that no tombstones collect.
func (x *index) remove(hash, id uint32, hashOf func(id uint32) uint32) {
	s := &x.shards[hash%shardCount]
	mask := uint32(len(s.slots) - 1)
	i := (hash / shardCount) & mask
	for s.slots[i] != id+1 {
		i = (i + 1) & mask
	}
	for j := i; ; {
		s.slots[i] = 0
		for {
			j = (j + 1) & mask
			if s.slots[j] == 0 {
				s.used--
				s.fit(hashOf)
				return
			}
			home := (hashOf(s.slots[j]-1) / shardCount) & mask
			if (j-home)&mask >= (j-i)&mask {
				break
			}
		}
		s.slots[i] = s.slots[j]
		i = j
	}
}
