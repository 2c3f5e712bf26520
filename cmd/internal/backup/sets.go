package backup

import (
	"path/filepath"
	"strings"
	"time"
)

// NodeFiles is where a node's files are.
type NodeFiles struct {
	Identity, Data string   // directories
	Config         string   // file; "" for none
	Named          []string // files elsewhere that the configuration names, keys and certificates
}

// The names of places.
const (
	PlaceIdentity     = "identity"
	PlaceData         = "data"
	PlaceConfig       = "config"
	PlaceOrganisation = "organisation"
	PlaceSeal         = "seal"
)

// Node is the set of a node: its identity, what was ordered of it, its policies and tokens, and its configuration. What
// it makes anew is left out: sockets, logs, recordings, and what Envoy took last.
func Node(f NodeFiles, m Manifest) (Set, error) {
	m.Kind = KindNode
	places := []Place{{Name: PlaceIdentity, Path: f.Identity}, {Name: PlaceData, Path: f.Data}}
	if f.Config != "" {
		places = append(places, Place{Name: PlaceConfig, Path: f.Config, Single: true})
	}
	for i, path := range f.Named {
		places = append(places, Place{Name: "named" + string(rune('a'+i)), Path: path, Single: true})
	}
	for i := range places {
		path, err := filepath.Abs(places[i].Path)
		if err != nil {
			return Set{}, err
		}
		places[i].Path = path
	}
	m.Places = places
	m.Owner = OwnerOf(f.Data)
	identity, data := places[0].Path, places[1].Path
	return Set{Manifest: m, Skip: func(place, path string) bool {
		if place == PlaceData && filepath.Join(data, path) == identity {
			return true // it has a place of its own
		}
		return place == PlaceData && madeAnew(path) || besideDatabase(path) || unfinished(path)
	}}, nil
}

// madeAnew tells of a path below the data directory whether a node makes it anew by itself.
func madeAnew(path string) bool {
	switch path {
	case "recording", "pressure", "envoy-bootstrap.json", "envoy.log", "envoy.pid", "fib":
		return true
	}
	return strings.Contains(filepath.Base(path), ".bad")
}

// unfinished tells whether a file is one that is being written, to be renamed.
func unfinished(path string) bool {
	base := filepath.Base(path)
	return strings.HasPrefix(base, ".new") || strings.HasPrefix(base, ".tmp") || strings.HasSuffix(base, ".new")
}

// Organisation is the set of an organisation's identity service: its CA, the key that keys are sealed under, and its
// store, if that is a file. seal is a sealing key elsewhere; "" for none.
func Organisation(dir, seal string, m Manifest) (Set, error) {
	m.Kind = KindOrganisation
	path, err := filepath.Abs(dir)
	if err != nil {
		return Set{}, err
	}
	m.Places = []Place{{Name: PlaceOrganisation, Path: path}}
	if seal != "" {
		if seal, err = filepath.Abs(seal); err != nil {
			return Set{}, err
		}
		m.Places = append(m.Places, Place{Name: PlaceSeal, Path: seal, Single: true})
	}
	m.Owner = OwnerOf(dir)
	return Set{Manifest: m, Skip: func(_, path string) bool { return besideDatabase(path) || unfinished(path) }}, nil
}

// Renews is when a node that has a certificate from issued to expires asks for the next one at the earliest.
func Renews(issued, expires time.Time) time.Time {
	life := expires.Sub(issued)
	return issued.Add(life/2 - life/10)
}
