package ports

import (
	"encoding/json"
	"errors"
	"fmt"
)

// Pool is the ports that may be given to services, in order. The zero value has none.
type Pool struct{ ranges [][2]uint16 }

// Parse reads the syntax of a pool: a JSON list of ports and of [first, last] pairs, such as [8000, [9000, 9010]].
func Parse(s string) (Pool, error) {
	var items []json.RawMessage
	if err := json.Unmarshal([]byte(s), &items); err != nil {
		return Pool{}, fmt.Errorf("%q: want a list of ports and [first, last] pairs, such as [8000, [9000, 9010]]", s)
	}
	var p Pool
	for _, item := range items {
		var one uint16
		var pair []uint16
		switch {
		case json.Unmarshal(item, &one) == nil && one > 0:
			p.ranges = append(p.ranges, [2]uint16{one, one})
		case json.Unmarshal(item, &pair) == nil && len(pair) == 2 && pair[0] > 0 && pair[0] <= pair[1]:
			p.ranges = append(p.ranges, [2]uint16{pair[0], pair[1]})
		default:
			return Pool{}, fmt.Errorf("%s: want a port of 1 to 65535, or [first, last]", item)
		}
	}
	seen := map[uint16]bool{}
	for _, port := range p.Ports() {
		if seen[port] {
			return Pool{}, errors.New("a port stands in it twice")
		}
		seen[port] = true
	}
	return p, nil
}

// Ports returns every port of the pool, in order.
func (p Pool) Ports() []uint16 {
	var all []uint16
	for _, r := range p.ranges {
		for port := int(r[0]); port <= int(r[1]); port++ {
			all = append(all, uint16(port))
		}
	}
	return all
}

// list is what a file holds: ports and pairs.
func (p Pool) list() []any {
	all := make([]any, 0, len(p.ranges))
	for _, r := range p.ranges {
		if r[0] == r[1] {
			all = append(all, r[0])
		} else {
			all = append(all, []uint16{r[0], r[1]})
		}
	}
	return all
}

// MarshalYAML returns the list that Parse reads.
func (p Pool) MarshalYAML() (any, error) { return p.list(), nil }

// MarshalJSON returns the list that Parse reads.
func (p Pool) MarshalJSON() ([]byte, error) { return json.Marshal(p.list()) }

// String returns what Parse reads.
func (p Pool) String() string {
	b, err := p.MarshalJSON()
	if err != nil {
		panic(fmt.Sprintf("ports: %v", err)) // numbers cannot fail
	}
	return string(b)
}
