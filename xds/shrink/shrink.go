// Package shrink gives back the memory of maps that were large once. A Go map keeps the room of all that it ever
// held: after 200,000 services were withdrawn, the dozen maps that are kept of them would hold some 100 MB for
// nothing.
//
//	m = shrink.Map(m, &most)      // before entries are removed: it learns how many there were
//	delete(m, key)
//	m = shrink.Map(m, &most)      // afterwards
package shrink

const (
	// A map is copied when it has less than a quarter of what it once had, so that each entry is copied at most once for
	// every three that are removed.
	part = 4
	// least is what is not worth a copy.
	least = 1024
)

// Map returns m, or a copy of it that has no more room than it needs. *most is the most entries that m was seen to
// have, and belongs to m.
func Map[K comparable, V any](m map[K]V, most *int) map[K]V {
	*most = max(*most, len(m))
	if *most < least || len(m) >= *most/part {
		return m
	}
	small := make(map[K]V, len(m))
	for k, v := range m {
		small[k] = v
	}
	*most = len(small)
	return small
}
