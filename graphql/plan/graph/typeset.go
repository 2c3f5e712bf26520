package graph

import (
	"iter"
	"math/bits"
	"slices"
)

// TypeID is the dense number of an object type of a supergraph. Only object types have one: they are what a value can
// be at run time.
type TypeID uint32

// TypeSet is an immutable set of object types. The nil set is empty; it is never used for "all types".
// Sets of one Graph may be compared and combined with each other only.
type TypeSet []uint64

// SetOf returns the set of the given ids.
func SetOf(ids ...TypeID) TypeSet {
	if len(ids) == 0 {
		return nil
	}
	s := make(TypeSet, slices.Max(ids)/64+1)
	for _, id := range ids {
		s[id/64] |= 1 << (id % 64)
	}
	return s
}

// Has reports whether id is in the set.
func (s TypeSet) Has(id TypeID) bool {
	w := int(id / 64)
	return w < len(s) && s[w]&(1<<(id%64)) != 0
}

// Len is the number of types in the set.
func (s TypeSet) Len() int {
	n := 0
	for _, w := range s {
		n += bits.OnesCount64(w)
	}
	return n
}

// Empty reports whether the set has no type.
func (s TypeSet) Empty() bool {
	for _, w := range s {
		if w != 0 {
			return false
		}
	}
	return true
}

// And returns the types in both sets.
func (s TypeSet) And(o TypeSet) TypeSet {
	n := min(len(s), len(o))
	out := make(TypeSet, n)
	for i := range n {
		out[i] = s[i] & o[i]
	}
	return out.trim()
}

// Or returns the types in either set.
func (s TypeSet) Or(o TypeSet) TypeSet {
	if len(s) < len(o) {
		s, o = o, s
	}
	out := make(TypeSet, len(s))
	copy(out, s)
	for i, w := range o {
		out[i] |= w
	}
	return out.trim()
}

// Minus returns the types in s that are not in o.
func (s TypeSet) Minus(o TypeSet) TypeSet {
	out := make(TypeSet, len(s))
	copy(out, s)
	for i := range min(len(s), len(o)) {
		out[i] &^= o[i]
	}
	return out.trim()
}

// Contains reports whether every type of o is in s.
func (s TypeSet) Contains(o TypeSet) bool {
	for i, w := range o {
		var v uint64
		if i < len(s) {
			v = s[i]
		}
		if w&^v != 0 {
			return false
		}
	}
	return true
}

// Overlaps reports whether the sets have a type in common.
func (s TypeSet) Overlaps(o TypeSet) bool {
	for i := range min(len(s), len(o)) {
		if s[i]&o[i] != 0 {
			return true
		}
	}
	return false
}

// Equal reports whether both sets have the same types.
func (s TypeSet) Equal(o TypeSet) bool { return s.Contains(o) && o.Contains(s) }

// IDs lists the types in ascending order.
func (s TypeSet) IDs() []TypeID {
	out := make([]TypeID, 0, s.Len())
	for i, w := range s {
		for ; w != 0; w &= w - 1 {
			out = append(out, TypeID(i*64+bits.TrailingZeros64(w)))
		}
	}
	return out
}

// All yields the types in ascending order.
func (s TypeSet) All() iter.Seq[TypeID] {
	return func(yield func(TypeID) bool) {
		for i, w := range s {
			for ; w != 0; w &= w - 1 {
				if !yield(TypeID(i*64 + bits.TrailingZeros64(w))) {
					return
				}
			}
		}
	}
}

func (s TypeSet) trim() TypeSet {
	for len(s) > 0 && s[len(s)-1] == 0 {
		s = s[:len(s)-1]
	}
	return s
}
