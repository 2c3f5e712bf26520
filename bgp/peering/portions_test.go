package peering

import (
	"bytes"
	"fmt"
	"reflect"
	"testing"

	"pgregory.net/rapid"

	"github.com/catalyst-router/catalyst/bgp"
)

// Portions say what the whole says, in its order, and none is larger than it may be.
func TestPortionsSayTheSame(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := 0
		routes := func(label string, most int) []bgp.NLRI {
			var all []bgp.NLRI
			for range rapid.IntRange(0, most).Draw(t, label) {
				n++
				all = append(all, bgp.NLRI{Service: bgp.Service(fmt.Sprintf("s%d.acme.example", n))})
			}
			return all
		}
		u := &bgp.Update{Withdrawn: routes("withdrawn", 30), Marker: bgp.Marker(rapid.IntRange(0, 3).Draw(t, "marker"))}
		u.Malformed = make([]bgp.Malformed, rapid.IntRange(0, 2).Draw(t, "malformed"))
		u.Trace.TraceID[0] = 7
		size := rapid.IntRange(1, 9).Draw(t, "bytes of attributes")
		for g := range rapid.IntRange(0, 5).Draw(t, "groups") {
			set := bytes.Repeat([]byte{byte(g)}, size)
			u.Announced = append(u.Announced, bgp.Group{Attributes: set, Routes: routes("announced", 30)})
		}
		most := rapid.IntRange(1, 40).Draw(t, "most")
		room := rapid.IntRange(1, 40).Draw(t, "most bytes")
		parts := portions(u, most, room)
		said := func(all ...*bgp.Update) (words []string) {
			for i, p := range all {
				for _, r := range p.Withdrawn {
					words = append(words, "- "+string(r.Service))
				}
				for _, g := range p.Announced {
					for _, r := range g.Routes {
						words = append(words, fmt.Sprintf("+ %d %s", g.Attributes, r.Service))
					}
				}
				if p.Marker != bgp.NoMarker {
					words = append(words, fmt.Sprint("marker ", p.Marker))
				}
				if p.Trace != u.Trace || len(p.Malformed) > 0 && i > 0 {
					words = append(words, "another trace, or errors said twice")
				}
			}
			return words
		}
		if got, want := said(parts...), said(u); !reflect.DeepEqual(got, want) {
			t.Fatalf("portions of %d say\n%v, the whole says\n%v", most, got, want)
		}
		for _, p := range parts {
			if n := routesOf(p); n > most || n == 0 && len(parts) > 1 {
				t.Fatalf("a portion has %d routes of at most %d", n, most)
			}
			if n := len(p.Announced); n > 1 && n*size > room {
				t.Fatalf("a portion has %d groups of %d bytes, of at most %d in all", n, size, room)
			}
		}
		if len(parts[0].Malformed) != len(u.Malformed) {
			t.Fatal("errors are lost")
		}
	})
}
