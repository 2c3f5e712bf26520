// Package shorthand reads the schemas of the tests' archives, which are written briefly.
package shorthand

import (
	"fmt"
	"strings"
)

// Expand writes the first line of a schema out if it is short for a @link: "#2.9 @key @shareable" links version 2.9 of
// the federation specification and imports the two directives.
func Expand(sdl string) string {
	first, rest, _ := strings.Cut(sdl, "\n")
	if !strings.HasPrefix(first, "#2.") {
		return sdl
	}
	words := strings.Fields(strings.TrimPrefix(first, "#"))
	imports := make([]string, 0, len(words))
	for _, w := range words[1:] {
		imports = append(imports, `"`+w+`"`)
	}
	return fmt.Sprintf("extend schema @link(url: \"https://specs.apollo.dev/federation/v%s\", import: [%s])\n%s",
		words[0], strings.Join(imports, ", "), rest)
}
