package filter

import (
	"fmt"
	"slices"
	"strings"

	"github.com/catalyst-router/catalyst/bgp"
)

// The wildcards of a path pattern.
const (
	oneOrg  = "?" // one organisation, whichever
	anyOrgs = "*" // any number of them, none included
)

// maxPathPattern is the most elements of a path pattern.
const maxPathPattern = 2 * bgp.MaxHops

// checkPath tells what is wrong with a pattern of the organisation path; nil if nothing is.
func checkPath(pattern string) error {
	words := strings.Fields(pattern)
	if len(words) > maxPathPattern {
		return fmt.Errorf("has %d elements: the limit is %d", len(words), maxPathPattern)
	}
	for _, w := range words {
		if w == oneOrg || w == anyOrgs {
			continue
		}
		if org, err := bgp.ParseOrg(w); err != nil || string(org) != w {
			return fmt.Errorf("has %q: want organisations in lower case, ? for one and * for any number, nearest first", w)
		}
	}
	return nil
}

// meetsPath tells whether an organisation path, nearest first, meets one of the patterns.
func meetsPath(patterns []string, path []bgp.Org) bool {
	return slices.ContainsFunc(patterns, func(p string) bool { return matchPath(strings.Fields(p), path) })
}

// matchPath goes over the path once, coming back to the last "*" where what follows it does not fit: the cost is at
// most the product of both lengths.
func matchPath(pattern []string, path []bgp.Org) bool {
	at, star, mark := 0, -1, 0
	for i := 0; i < len(path); {
		switch {
		case at < len(pattern) && pattern[at] == anyOrgs:
			star, mark = at, i
			at++
		case at < len(pattern) && (pattern[at] == oneOrg || pattern[at] == string(path[i])):
			at++
			i++
		case star >= 0:
			mark++
			at, i = star+1, mark
		default:
			return false
		}
	}
	for at < len(pattern) && pattern[at] == anyOrgs {
		at++
	}
	return at == len(pattern)
}
