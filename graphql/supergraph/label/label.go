// Package label knows what may label a progressive override.
package label

import (
	"strconv"
	"strings"
)

// Valid reports whether a string may label a progressive override: a name with _ - : . and /, or percent(0 to
// 100).
func Valid(s string) bool {
	if p, ok := strings.CutPrefix(s, "percent("); ok {
		p, ok = strings.CutSuffix(p, ")")
		return ok && percentage(p)
	}
	for i, r := range s {
		letter := r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z'
		if !letter && (i == 0 || !strings.ContainsRune("0123456789_-:./", r)) {
			return false
		}
	}
	return s != ""
}

func percentage(s string) bool {
	if s == "100" {
		return true
	}
	whole, fraction, dot := strings.Cut(s, ".")
	if len(whole) < 1 || len(whole) > 2 || dot && (len(fraction) < 1 || len(fraction) > 8) {
		return false
	}
	_, err1 := strconv.ParseUint(whole, 10, 32)
	_, err2 := strconv.ParseUint("0"+fraction, 10, 64)
	return err1 == nil && err2 == nil
}
