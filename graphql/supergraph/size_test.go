package supergraph

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
)

// TestTooLarge: a schema that is too much is refused before it is parsed, at little cost, and leaves the others alone.
func TestTooLarge(t *testing.T) {
	good := Subgraph{Name: "good", URL: "http://good", SDL: "type Query { a: Int }"}
	var many, wide, long strings.Builder
	many.WriteString("type Query { b: T0 }\n")
	wide.WriteString("type Query {\n")
	for i := range 25_000 {
		fmt.Fprintf(&many, "type T%d { a: Int }\n", i)
	}
	for i := range 200_000 {
		fmt.Fprintf(&wide, "f%d(a: Int, b: Int): Int\n", i)
	}
	wide.WriteString("}")
	long.WriteString("type Query { c: Int }\n" + strings.Repeat("# nothing\n", 1<<20))
	for _, c := range []struct{ sdl, what string }{{many.String(), "types"}, {wide.String(), "fields"},
		{long.String(), "bytes"}} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		r, out := ComposeLargest([]Subgraph{{Name: "bad", URL: "http://bad", SDL: c.sdl}, good}, nil, Options{})
		runtime.ReadMemStats(&after)
		if len(r.Errors) > 0 || len(out) != 1 || out["bad"][0].Code != SchemaTooLarge ||
			!strings.Contains(out["bad"][0].Message, c.what) {
			t.Errorf("%s: errors %v, left out %v", c.what, r.Errors, out)
		}
		if used := after.TotalAlloc - before.TotalAlloc; used > 8<<20 {
			t.Errorf("%s: refusing %d bytes took %d", c.what, len(c.sdl), used)
		}
	}
	// Each by itself is good, together they are too much: what was there stays.
	half := strings.Replace(many.String()[:len(many.String())/20], "type Query", "extend type Query", 1)
	half = half[:strings.LastIndex(half, "type")]
	var subs []Subgraph
	for i := range 8 {
		subs = append(subs, Subgraph{
			Name: fmt.Sprint("s", i),
			URL:  "http://s",
			SDL:  strings.ReplaceAll(strings.ReplaceAll(half, "T", fmt.Sprintf("S%d_", i)), "b: ", fmt.Sprintf("b%d: ", i)),
		})
	}
	r, out := ComposeLargest(append(subs, good), []string{"good", "s7"}, Options{Limits: Limits{AllTypes: 4_000}})
	if len(r.Errors) > 0 || out["good"] != nil || out["s7"] != nil || len(out) == 0 {
		t.Errorf("errors %v, left out %d", r.Errors, len(out))
	}
}
