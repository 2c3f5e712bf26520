package filter

import (
	"fmt"
	"maps"
	"strings"

	"github.com/catalyst-router/catalyst/bgp"
)

// Names is a set of services: exact names, and "*." patterns for all below a name. A look-up costs one step a label.
// It is not changed once made.
type Names struct {
	list  []bgp.Service
	exact map[bgp.Service]struct{} // patterns as well
	below map[string]struct{}      // of the patterns, without "*."
}

// NewNames returns the set of the given names and patterns, which keeps the list.
func NewNames(list []bgp.Service) *Names {
	n := &Names{list: list, exact: make(map[bgp.Service]struct{}, len(list)), below: map[string]struct{}{}}
	for _, s := range list {
		if suffix, ok := strings.CutPrefix(string(s), "*."); ok {
			n.below[suffix] = struct{}{}
		}
		n.exact[s] = struct{}{}
	}
	return n
}

// Has tells whether a service is in the set. A route for a whole suffix ("*.x") is in the set of whoever wants a name
// that it serves.
func (n *Names) Has(svc bgp.Service) bool {
	if _, ok := n.exact[svc]; ok {
		return true
	}
	if svc.IsWildcard() {
		return n.servedBy(svc)
	}
	for rest := string(svc); ; {
		dot := strings.IndexByte(rest, '.')
		if dot < 0 {
			return false
		}
		rest = rest[dot+1:]
		if _, ok := n.below[rest]; ok {
			return true
		}
	}
}

// servedBy tells whether the suffix route of a pattern meets any name of the set.
func (n *Names) servedBy(pattern bgp.Service) bool {
	suffix := string(pattern)[2:]
	for name := range n.exact {
		name := strings.TrimPrefix(string(name), "*.")
		if name == suffix || strings.HasSuffix(name, "."+suffix) || strings.HasSuffix(suffix, "."+name) && n.isBelow(name) {
			return true
		}
	}
	return false
}

func (n *Names) isBelow(suffix string) bool { _, ok := n.below[suffix]; return ok }

// Len returns how many names and patterns there are.
func (n *Names) Len() int { return len(n.exact) }

// PatternsDiffer tells whether two sets differ in a pattern, or one of them is that of all (nil), so that any name may
// be in one and not in the other. Otherwise they differ in what each Lacks of the other.
func PatternsDiffer(a, b *Names) bool {
	if a == nil || b == nil {
		return a != b
	}
	return !maps.Equal(a.below, b.below)
}

// Lacks looks at up to most places of the other set's list, beginning at from, and calls yield for each name there
// that n does not have. It returns the place to go on at, which is the list's length at its end.
func (n *Names) Lacks(other *Names, from, most int, yield func(bgp.Service)) int {
	end := min(from+most, len(other.list))
	for _, name := range other.list[from:end] {
		if _, both := n.exact[name]; !both {
			yield(name)
		}
	}
	return end
}

// Listed returns how many places the set's list has.
func (n *Names) Listed() int { return len(n.list) }

// CheckNames tells what is wrong with a list of names to subscribe to; nil if nothing is. A list has to fit into one
// message.
func CheckNames(list []bgp.Service) error {
	size := 0
	for _, s := range list {
		if err := s.Check(); err != nil {
			return fmt.Errorf("%q: %w", string(s), err)
		}
		size += len(s) + 3
	}
	if len(list) > bgp.MaxSubscriptions {
		return fmt.Errorf("%d names: the limit is %d", len(list), bgp.MaxSubscriptions)
	}
	if limit := bgp.MaxMessageSize - 64; size > limit {
		return fmt.Errorf("the names take %d bytes: the limit is %d", size, limit)
	}
	return nil
}
