package attest

import (
	"errors"
	"fmt"
	"hash/maphash"
	"strings"
	"unsafe"

	"github.com/catalyst-router/catalyst/bgp"
)

// index finds the entries of a name. Of a list of 100,000 names it holds numbers and the chunks as they came: what else
// entries say is most often the same, and is held once. So a long list leaves the garbage collector nothing to scan.
type index struct {
	seed   maphash.Seed
	chunks [][]byte
	refs   []ref
	// slots are a hash table with room to spare: an entry's number, plus 1, stands where the hash of its key says, or in
	// the next slot that was free, so that entries of one name keep their order. 0 is free.
	slots []uint32
	mask  uint32  // of hashes; in a test all can be one
	rules []Entry // without names
}

// ref is an entry: where its names stand, and what it says.
type ref struct {
	at    uint32 // of the names in their chunk
	rules uint32
	hash  uint32 // of its key (see place)
	chunk uint16
	size  uint8 // bytes of the names; a longer name is none
}

// newIndex reads the chunks of a set, which it keeps, and checks every entry.
func newIndex(org bgp.Org, chunks [][]byte) (index, error) {
	ix := index{seed: maphash.MakeSeed(), chunks: chunks, slots: make([]uint32, fewestSlots), mask: 1<<32 - 1}
	seen := map[string]uint32{} // rules by their encoding
	for n, c := range chunks {
		if len(c) > MaxChunk {
			return ix, fmt.Errorf("chunk of %d bytes: the limit is %d", len(c), MaxChunk)
		}
		err := fields(c, noNumber, func(f int, v []byte) error {
			if f != fieldEntry {
				return fmt.Errorf("field %d is not allowed", f)
			}
			return ix.add(org, uint16(n), cap(c)-cap(v), v, seen) //nolint:gosec // at most MaxChunks
		})
		if err != nil {
			return ix, fmt.Errorf("chunk: %w", err)
		}
	}
	return ix, nil
}

// add enters an entry, which begins at an offset of its chunk.
func (ix *index) add(org bgp.Org, chunk uint16, at int, entry []byte, seen map[string]uint32) error {
	tag, n := uvarint(entry)
	size, m := uint64(0), 0
	if n > 0 && tag == fieldNames<<3|wireBytes {
		size, m = uvarint(entry[n:])
	}
	if m == 0 || size > bgp.MaxNameLength || size > uint64(len(entry)-n-m) {
		return errors.New("entry: does not begin with names, or they are too long")
	}
	name, rest := entry[n+m:n+m+int(size)], entry[n+m+int(size):]
	if err := checkNames(text(name), org); err != nil {
		return err
	}
	rules, known := seen[string(rest)]
	if !known {
		e, err := decodeRules(rest)
		if err == nil {
			err = e.checkRules()
		}
		if err != nil {
			return err
		}
		rules = uint32(len(ix.rules)) //nolint:gosec // bounded by the chunks
		ix.rules = append(ix.rules, e)
		seen[string(rest)] = rules
	}
	key, _ := place(text(name))
	ix.refs = append(ix.refs, ref{
		chunk: chunk, at: uint32(at + n + m), size: uint8(size), rules: rules, //nolint:gosec // bounded by a chunk
		hash: ix.hash(key),
	})
	if 2*len(ix.refs) > len(ix.slots) {
		return ix.resize(4 * len(ix.slots))
	}
	return ix.enter(len(ix.refs))
}

const (
	fewestSlots = 16
	// maxAlike bounds the entries of one name, and of what is below it: each is looked at for every route of that name.
	maxAlike = 128
)

//nolint:gochecknoglobals // a sentinel
var errAlike = fmt.Errorf("there are more than %d entries of one name and of what is below it: put them together",
	maxAlike)

func (ix *index) hash(key string) uint32 {
	return uint32(maphash.String(ix.seed, key)) & ix.mask //nolint:gosec // half of it is enough
}

// resize enters all entries into another number of slots, a power of two.
func (ix *index) resize(slots int) error {
	ix.slots = make([]uint32, slots)
	for i := range ix.refs {
		if err := ix.enter(i + 1); err != nil {
			return err
		}
	}
	return nil
}

// enter puts an entry into the first free slot from where it belongs.
func (ix *index) enter(number int) error {
	i, alike := ix.refs[number-1].hash, 0
	for ; ix.slot(i) != 0; i++ {
		if ix.refs[ix.slot(i)-1].hash == ix.refs[number-1].hash {
			alike++
		}
	}
	if alike >= maxAlike {
		return fmt.Errorf("entry: %w", errAlike)
	}
	ix.slots[int(i)&(len(ix.slots)-1)] = uint32(number) //nolint:gosec // bounded by the chunks
	return nil
}

// slot is what stands in a slot; behind the last comes the first.
func (ix *index) slot(i uint32) uint32 { return ix.slots[int(i)&(len(ix.slots)-1)] }

// place is what an entry stands under: a service, or what "*." stands before.
func place(names string) (key string, wild bool) { return strings.CutPrefix(names, "*.") }

// text is bytes as a string that aliases them.
func text(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

// find calls yield with the entries that cover a name, the closest first, until it returns false. It costs a look-up a
// label, and allocates nothing.
func (ix *index) find(svc bgp.Service, yield func(*Entry) bool) {
	key, wild := place(string(svc))
	for more := ix.each(key, wild, yield); more; more = ix.each(key, true, yield) {
		dot := strings.IndexByte(key, '.')
		if dot < 0 {
			return
		}
		key = key[dot+1:]
	}
}

// each calls yield with the entries of one name; false if it did not want another.
func (ix *index) each(key string, wild bool, yield func(*Entry) bool) bool {
	hash := ix.hash(key)
	for i := hash; len(ix.slots) > 0 && ix.slot(i) != 0; i++ {
		r := &ix.refs[ix.slot(i)-1]
		if r.hash != hash {
			continue
		}
		names := text(ix.chunks[r.chunk][r.at : int(r.at)+int(r.size)])
		if k, w := place(names); k == key && w == wild && !yield(&ix.rules[r.rules]) {
			return false
		}
	}
	return true
}
