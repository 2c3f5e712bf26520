package ads

import (
	"fmt"
	"maps"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/catalyst-router/catalyst/xds"
)

// twin is a view that counts nothing: it looks at everything each time.
type twin map[string]*entry

func (tw twin) needed(name string) bool {
	for _, e := range tw {
		if slices.Contains(e.needs(), name) {
			return true
		}
	}
	return false
}

// clean removes what is gone and needed by nothing, until nothing is left to remove.
func (tw twin) clean() {
	for again := true; again; {
		again = false
		for name, e := range tw {
			if e.now == nil && (e.good == nil || !tw.needed(name)) {
				delete(tw, name)
				again = true
			}
		}
	}
}

// What is served, kept for what needs it, and gone, is what a view that looks at everything says, in whatever order
// things are set, taken and removed.
func TestViewAgainstItsTwin(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		v, tw := newView(), twin{}
		ref := func(name string) xds.Ref { return xds.Ref{Type: xds.TypeCluster, Name: name} }
		for range rapid.IntRange(1, 60).Draw(rt, "steps") {
			// Each name may need later ones only: nothing needs itself.
			i := rapid.IntRange(0, 4).Draw(rt, "name")
			name := fmt.Sprint(i)
			switch rapid.IntRange(0, 3).Draw(rt, "step") {
			case 0:
				r := &xds.Resource{Type: xds.TypeCluster, Name: name, Version: fmt.Sprint(rapid.IntRange(0, 3).Draw(rt, "version"))}
				for n := i + 1; n < 5; n++ {
					if rapid.Bool().Draw(rt, "needs") {
						r.Needs = append(r.Needs, fmt.Sprint(n))
					}
				}
				v.set(r)
				e := tw[name]
				if e == nil {
					e = &entry{}
					tw[name] = e
				}
				if e.now == nil || e.now.Version != r.Version {
					if e.good == nil && e.now != nil {
						e.good, e.unproven = e.now, true
					}
					if e.now = r; e.good != nil && e.good.Version == r.Version {
						if e.good = r; e.unproven {
							e.good, e.unproven = nil, false
						}
					}
				}
			case 1:
				v.settle(ref(name))
				if e := tw[name]; e != nil && e.now != nil {
					e.good, e.unproven = e.now, false
				}
			case 2:
				v.remove(ref(name))
				if e := tw[name]; e != nil {
					if e.good == nil {
						e.good, e.unproven = e.now, true
					}
					e.now = nil
				}
			case 3:
				taken := rapid.Bool().Draw(rt, "taken")
				e := tw[name]
				if e == nil || e.good == nil {
					break
				}
				v.proven(e.good, taken)
				if e.unproven {
					if e.unproven = false; !taken {
						e.good = nil
					}
				}
			}
			tw.clean()
			got := v.byType[xds.TypeCluster]
			for name, e := range tw {
				if g := got[name]; g == nil || g.now != e.now || g.good != e.good || g.unproven != e.unproven {
					rt.Fatalf("%s: got %+v, want %+v", name, g, e)
				}
				if unsettled := e.now != nil && e.now != e.good; v.unsettled[ref(name)] != unsettled {
					rt.Fatalf("%s: unsettled is %t", name, !unsettled)
				}
			}
			if len(got) != len(tw) {
				rt.Fatalf("got %v, want %v", slices.Collect(maps.Keys(got)), slices.Collect(maps.Keys(tw)))
			}
		}
		for i := range 5 { // in the order of need: nothing is left of anything
			v.remove(ref(fmt.Sprint(i)))
		}
		if len(v.byType[xds.TypeCluster])+len(v.needed)+len(v.unsettled) > 0 {
			rt.Fatalf("left: %v, needed %v, unsettled %v", v.byType, v.needed, v.unsettled)
		}
	})
}

func TestBlame(t *testing.T) {
	all := func(names ...string) (rs []*xds.Resource) {
		for _, n := range names {
			rs = append(rs, &xds.Resource{Name: n})
		}
		return rs
	}
	for _, tt := range []struct {
		words         string
		names         []string
		guilty, again []string
	}{
		{"Error adding/updating cluster(s) http/a.x: bad, http/b.x: bad", []string{"http/a.x", "http/b.x", "http/c.x"},
			[]string{"http/a.x", "http/b.x"}, nil},
		{"Error adding/updating cluster(s) http/a.x.y: bad", []string{"http/a.x", "http/a.x.y", "p/http/a.x"},
			[]string{"http/a.x.y"}, nil},
		{"Error adding/updating listener(s) l: cannot bind", []string{"l"}, []string{"l"}, nil},
		{"Proto constraint validation failed (ClusterValidationError): name: \"http/a.x\"",
			[]string{"http/a.x", "http/b.x"}, []string{"http/a.x"}, []string{"http/b.x"}},
		{"something about http/a.x.", []string{"http/a.x", "http/b.x"}, []string{"http/a.x"}, []string{"http/b.x"}},
		{"cannot be read", []string{"a", "b", "c"}, nil, []string{"a", "b", "c"}},
		{"cannot be read", []string{"x"}, []string{"x"}, nil},
	} {
		guilty, again := blame(tt.words, all(tt.names...))
		names := func(rs []*xds.Resource) (out []string) {
			for _, r := range rs {
				out = append(out, r.Name)
			}
			return out
		}
		if !slices.Equal(names(guilty), tt.guilty) || !slices.Equal(names(again), tt.again) {
			t.Errorf("%q: blames %v and sends %v again, want %v and %v", tt.words, names(guilty), names(again), tt.guilty,
				tt.again)
		}
	}
}
