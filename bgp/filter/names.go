package filter

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/catalyst-router/catalyst/bgp"
)

// Names is a set of services: exact names, and "*." patterns for all below a name. A look-up costs one step a label.
// It is not changed once made.
type Names struct {
	exact map[bgp.Service]struct{} // patterns as well
	below map[string]struct{}      // of the patterns, without "*."
}

// NewNames returns the set of the given names and patterns.
func NewNames(list []bgp.Service) *Names {
	n := &Names{exact: map[bgp.Service]struct{}{}, below: map[string]struct{}{}}
	for _, s := range list {
		s = bgp.Service(strings.Clone(string(s)))
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

// Difference returns the exact names that only one of two sets has, sorted, and whether the two differ in a pattern
// as well, so that any name may be concerned. Nil is the set of all.
func Difference(a, b *Names) (names []bgp.Service, patterns bool) {
	if a == nil || b == nil {
		return nil, (a == nil) != (b == nil)
	}
	if !maps.Equal(a.below, b.below) {
		return nil, true
	}
	for s := range a.exact {
		if _, both := b.exact[s]; !both {
			names = append(names, s)
		}
	}
	for s := range b.exact {
		if _, both := a.exact[s]; !both {
			names = append(names, s)
		}
	}
	slices.Sort(names)
	return names, false
}

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
