// Package nearest finds what somebody may have meant who misspelt a name.
package nearest

import (
	"iter"

	"github.com/agnivade/levenshtein"
)

// To returns the known name that is fewest edits (Levenshtein) from word, the first of several; "" if all are limit
// edits or more away. For example, "prot" is 1 from "port", and 4 from "protocol".
func To(word string, limit int, known iter.Seq[string]) string {
	best, far := "", limit
	for name := range known {
		if d := levenshtein.ComputeDistance(word, name); d < far {
			best, far = name, d
		}
	}
	return best
}

// Hint is To as the end of an error: "; did you mean NAME?", with prefix before the name, or "".
func Hint(word string, limit int, prefix string, known iter.Seq[string]) string {
	best := To(word, limit, known)
	if best == "" {
		return ""
	}
	return "; did you mean " + prefix + best + "?"
}
