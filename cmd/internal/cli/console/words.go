package console

import (
	"strings"
	"time"
)

// Colon puts a colon before a reason; nothing where there is none.
func Colon(text string) string {
	if text == "" {
		return ""
	}
	return ": " + text
}

// Since says how long ago a time was.
func Since(stamp string) string {
	t, err := time.Parse(time.RFC3339Nano, stamp)
	if err != nil {
		return ""
	}
	return time.Since(t).Round(time.Second).String()
}

// ShortPath is a node path without the organisation where that is the same all along.
func ShortPath(path []string) string {
	var names []string
	for _, n := range path {
		names = append(names, n[strings.IndexByte(n, '/')+1:])
	}
	return strings.Join(names, " → ")
}

// Stamp is a time as RFC 3339; "" for none.
func Stamp(t *time.Time) string {
	if t == nil {
		return ""
	}
	return t.Format(time.RFC3339)
}
