package ports

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
)

// Parse reads the syntax of a pool: a JSON list of ports and of [first, last] pairs, such as [8000, [9000, 9010]].
func Parse(s string) ([]uint16, error) {
	var items []json.RawMessage
	if err := json.Unmarshal([]byte(s), &items); err != nil {
		return nil, fmt.Errorf("%q: want a list of ports and [first, last] pairs, such as [8000, [9000, 9010]]", s)
	}
	var ports []uint16
	for _, item := range items {
		var one uint16
		var pair []uint16
		switch {
		case json.Unmarshal(item, &one) == nil && one > 0:
			ports = append(ports, one)
		case json.Unmarshal(item, &pair) == nil && len(pair) == 2 && pair[0] > 0 && pair[0] <= pair[1]:
			for p := int(pair[0]); p <= int(pair[1]); p++ {
				ports = append(ports, uint16(p))
			}
		default:
			return nil, fmt.Errorf("%s: want a port of 1 to 65535, or [first, last]", item)
		}
	}
	sorted := slices.Sorted(slices.Values(ports))
	if len(slices.Compact(sorted)) != len(ports) {
		return nil, errors.New("a port stands in it twice")
	}
	return ports, nil
}
