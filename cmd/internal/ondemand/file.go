package ondemand

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/catalyst-router/catalyst/bgp"
	"github.com/catalyst-router/catalyst/bgp/datafile"
)

// kept is the file: the uses of each seat, those of the earliest last call first.
type kept struct {
	Version int                  `json:"version"`
	Seats   map[string][]keptUse `json:"seats"`
}

type keptUse struct {
	Service bgp.Service `json:"service"`
	Last    int64       `json:"last"` // Unix seconds
	Held    bool        `json:"held,omitempty"`
}

const (
	fileVersion = 1
	largest     = 1 << 30 // bytes of the file; a use takes some 60
)

// read takes what was in use. What happened in the moment before an earlier process crashed is not in it: these
// services are asked for once more. Where the file cannot be read, everything counts as used that Envoys had.
func (r *Room) read(now time.Time) {
	k, err := load(r.cfg.Path)
	if errors.Is(err, fs.ErrNotExist) {
		return
	}
	if err != nil {
		r.cfg.Log.Error("which services are in use is not known: all that Envoy had counts as used", "error", err)
		for _, svc := range r.cfg.Kept() {
			r.set.Restore("", svc, now)
		}
		return
	}
	for seat, uses := range k.Seats {
		for _, u := range uses {
			last := time.Unix(u.Last, 0)
			if last.After(now) {
				last = now // the clock was set back
			}
			if r.set.Restore(seat, u.Service, last); u.Held {
				r.set.Hold(seat, u.Service)
			}
		}
	}
}

func load(path string) (*kept, error) {
	text, err := datafile.Read(path, largest)
	if err != nil {
		return nil, err
	}
	var k kept
	if err := json.Unmarshal(text, &k); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if k.Version != fileVersion {
		return nil, fmt.Errorf("%s: version %d, want %d", path, k.Version, fileVersion)
	}
	for seat, uses := range k.Seats {
		for _, u := range uses {
			if _, err := bgp.ParseService(string(u.Service), ""); err != nil {
				return nil, fmt.Errorf("%s: %q: %w", path, seat, err)
			}
		}
	}
	return &k, nil
}

// keep writes down what is in use, if that is something else than before.
func (r *Room) keep() error {
	r.mu.Lock()
	if !r.dirty {
		r.mu.Unlock()
		return nil
	}
	r.dirty = false
	k := kept{Version: fileVersion, Seats: map[string][]keptUse{}}
	r.set.Each(func(seat string, svc bgp.Service, last time.Time, held bool) {
		k.Seats[seat] = append(k.Seats[seat], keptUse{svc, last.Unix(), held})
	})
	r.mu.Unlock()
	text, err := json.Marshal(k)
	if err == nil {
		err = datafile.Replace(r.cfg.Path, text)
	}
	if err != nil {
		r.mu.Lock()
		r.dirty = true
		r.mu.Unlock()
		poke(r.behind)
	}
	return err
}
