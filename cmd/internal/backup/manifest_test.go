package backup

import (
	"strings"
	"testing"
)

// A manifest that leads out of its places, or is of a later program, is refused.
func TestManifestsThatAreRefused(t *testing.T) {
	good := func() *Manifest {
		return &Manifest{Format: 1, Kind: KindNode, Places: []Place{{Name: "data", Path: "/d"}, {Name: "config", Path: "/c",
			Single: true}}, Files: []File{{Name: "data/a"}, {Name: "config"}}}
	}
	if err := good().check(); err != nil {
		t.Fatal(err)
	}
	for want, change := range map[string]func(*Manifest){
		"has format 2, and this program reads up to 1": func(m *Manifest) { m.Format = 2 },
		`is of "x"`:      func(m *Manifest) { m.Kind = "x" },
		`place "a/b"`:    func(m *Manifest) { m.Places[0].Name = "a/b" },
		`at "d"`:         func(m *Manifest) { m.Places[0].Path = "d" },
		`"data/../../x"`: func(m *Manifest) { m.Files[0].Name = "data/../../x" },
		`"data//x"`:      func(m *Manifest) { m.Files[0].Name = "data//x" },
		`"data"`:         func(m *Manifest) { m.Files[0].Name = "data" },
		`"config/x"`:     func(m *Manifest) { m.Files[1].Name = "config/x" },
		`"other/x"`:      func(m *Manifest) { m.Files[1].Name = "other/x" },
		`"data/a"`:       func(m *Manifest) { m.Files[1].Name = "data/a" },
		"larger than":    func(m *Manifest) { m.Files[1].Bytes = mostBytes + 1 },
		`"config"`:       func(m *Manifest) { m.Files[1].Bytes = -1 },
	} {
		m := good()
		change(m)
		if err := m.check(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}
