package graph

// TypeIndex numbers the object types of a supergraph, in the order of their names. It is immutable.
type TypeIndex struct {
	names []string
	ids   map[string]TypeID
}

// NewTypeIndex numbers the given names, which must be distinct, in their order.
func NewTypeIndex(names []string) *TypeIndex {
	ix := &TypeIndex{names: names, ids: make(map[string]TypeID, len(names))}
	for i, n := range names {
		ix.ids[n] = TypeID(i)
	}
	return ix
}

// Lookup returns the number of an object type. It does not allocate.
func (ix *TypeIndex) Lookup(name []byte) (TypeID, bool) {
	id, ok := ix.ids[string(name)]
	return id, ok
}

// ID is Lookup for a string.
func (ix *TypeIndex) ID(name string) (TypeID, bool) {
	id, ok := ix.ids[name]
	return id, ok
}

// Name returns the name of a number handed out by this index.
func (ix *TypeIndex) Name(id TypeID) string { return ix.names[id] }

// Len is the number of types.
func (ix *TypeIndex) Len() int { return len(ix.names) }
