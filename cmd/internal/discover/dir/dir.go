// Package dir finds services in a directory of YAML files, one a file, for systemd, Ansible and GitOps. A file has the
// fields of a service of catalyst apply:
//
//	service: books
//	address: 127.0.0.1:9000
//	healthPath: http:/healthz
//
// A file counts once it has not changed for a quarter of a second, so that nobody sees half of what an editor writes.
// One with a mistake is named, and what it said before stays; the others are not touched by it.
package dir

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/fsnotify/fsnotify"

	"github.com/catalyst-router/catalyst/bgp/datafile"
	"github.com/catalyst-router/catalyst/cmd/internal/discover"
)

const (
	together = 20 * time.Millisecond  // in which changes are looked at as one
	settle   = 250 * time.Millisecond // for which a file has to stay as it is
	rescan   = 5 * time.Second        // where nobody tells of changes: network file systems, a directory that comes back
	largest  = 256 << 10              // bytes of a file
	most     = 10_000                 // files
)

// Source is a directory.
type Source struct {
	name, path string
	log        *slog.Logger
	seen       map[string]*file // by name; owned by Follow
}

var _ discover.Source = (*Source)(nil)

// file is what is known of one.
type file struct {
	state   state
	since   time.Time // when it was first seen in this state
	taken   bool      // its content was read in this state
	item    discover.Item
	trouble string // what is wrong with it; "" for nothing
}

// state tells one content of a file from another.
type state struct {
	size    int64
	changed time.Time
	inode   uint64
}

// New returns the source of a directory. name is how it stands in the configuration.
func New(name, path string, log *slog.Logger) *Source {
	return &Source{name: name, path: path, log: log, seen: map[string]*file{}}
}

// Name implements discover.Source.
func (s *Source) Name() string { return s.name }

// Follow implements discover.Source.
func (s *Source) Follow(ctx context.Context, tell func(discover.Set, error)) error {
	watcher, err := fsnotify.NewWatcher()
	if err != nil { // the system's limit of watches: scanning is slower, and does
		s.log.Warn("changes of files are noticed late", "source", s.name, "error", err, "every", rescan)
		watcher = &fsnotify.Watcher{}
	} else {
		defer func() { _ = watcher.Close() }()
	}
	timer := time.NewTimer(0)
	defer timer.Stop()
	soon := false // a change was told, and the timer is set for it
	for {
		changed := false
		select {
		case <-ctx.Done():
			return nil
		case <-timer.C:
		case <-watcher.Events:
			changed = true
		case <-watcher.Errors: //nolint:errcheck // too many events: scanning finds what they would have told
			changed = true
		}
		if changed {
			if !soon {
				soon = true
				timer.Reset(together)
			}
			continue
		}
		soon = false
		if watcher.Events != nil {
			_ = watcher.Add(s.path) // again, if the directory was replaced; that it is not there is found by the scan
		}
		set, next, err := s.scan(time.Now())
		tell(set, err)
		timer.Reset(next)
	}
}

// scan reads what is new, and returns when to look again at the latest.
func (s *Source) scan(now time.Time) (discover.Set, time.Duration, error) {
	entries, err := s.entries()
	if err != nil {
		return discover.Set{}, rescan, err
	}
	var set discover.Set
	next := rescan
	present := map[string]bool{}
	for _, name := range entries {
		f, err := s.look(name, now)
		if errors.Is(err, fs.ErrNotExist) { // it has gone in this moment
			continue
		}
		present[name] = true
		switch {
		case err != nil:
			set.Problems = append(set.Problems, discover.Problem{In: name, Why: err.Error()})
			set.Unclear = append(set.Unclear, name)
			continue
		case !f.taken:
			next = min(next, max(0, f.since.Add(settle).Sub(now)))
		}
		if f.trouble != "" {
			set.Problems = append(set.Problems, discover.Problem{In: name, Why: f.trouble})
		}
		if f.item.In == "" || f.trouble != "" {
			set.Unclear = append(set.Unclear, name)
		} else {
			set.Items = append(set.Items, f.item)
		}
	}
	for name := range s.seen {
		if !present[name] {
			delete(s.seen, name)
		}
	}
	return set, next, nil
}

// entries are the names of the files that count, in order.
func (s *Source) entries() ([]string, error) {
	info, err := os.Stat(s.path)
	switch {
	case err != nil:
		return nil, err
	case info.Mode()&0o002 != 0 && info.Mode()&fs.ModeSticky == 0:
		return nil, fmt.Errorf("%s: everybody may write there, and so offer services: chmod o-w %s", s.path, s.path)
	}
	all, err := os.ReadDir(s.path)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, e := range all {
		name := e.Name()
		ending := filepath.Ext(name)
		if strings.HasPrefix(name, ".") || ending != ".yaml" && ending != ".yml" && ending != ".json" {
			continue
		}
		if names = append(names, name); len(names) > most {
			return nil, fmt.Errorf("%s: more than %d files", s.path, most)
		}
	}
	return names, nil
}

// look takes what a file says, once it has not changed for a while.
func (s *Source) look(name string, now time.Time) (*file, error) {
	path := filepath.Join(s.path, name)
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("it is a %s: want a file", kindOf(info.Mode()))
	case info.Size() > largest:
		return nil, fmt.Errorf("it has %d bytes: want %d at the most", info.Size(), largest)
	}
	is := stateOf(info)
	f := s.seen[name]
	if f == nil {
		f = &file{}
		s.seen[name] = f
	}
	if f.since.IsZero() || f.state != is {
		f.state, f.since, f.taken = is, now, false
		if age := now.Sub(info.ModTime()); f.item.In == "" && age > settle { // it lay there when the node started
			f.since = now.Add(-settle)
		}
	}
	if f.taken || now.Sub(f.since) < settle {
		return f, nil
	}
	text, err := datafile.Read(path, largest)
	if err != nil {
		return nil, err
	}
	f.taken = true
	o, err := read(string(text))
	if err != nil {
		f.trouble = strings.ReplaceAll(err.Error(), "\n", "; ")
		return f, nil
	}
	f.trouble, f.item = "", discover.Item{In: name, Order: o.service, At: o.at}
	return f, nil
}

func stateOf(info fs.FileInfo) state {
	st := state{size: info.Size(), changed: info.ModTime()}
	if sys, ok := info.Sys().(*syscall.Stat_t); ok {
		st.inode = sys.Ino
	}
	return st
}

func kindOf(m fs.FileMode) string {
	switch {
	case m.IsDir():
		return "directory"
	case m&fs.ModeNamedPipe != 0:
		return "pipe"
	case m&fs.ModeSocket != 0:
		return "socket"
	}
	return "device"
}
