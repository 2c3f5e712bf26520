package doctor

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/catalyst-router/catalyst/auth/disk"
)

// file is one of the node's files as it was found.
type file struct {
	path    string
	private bool // nobody but its owner may read it; of others, nobody else may write it
	mode    fs.FileMode
	uid     int
	err     error // why it could not be looked at; fs.ErrNotExist if it is not there
}

// files looks at the configuration, the identity and the data directory.
func (e *examination) files() []file {
	var all []file
	if e.cfg.File != "" && e.cfg.File != "-" {
		all = append(all, look(e.cfg.File, false))
	}
	c := e.cfg.Node
	all = append(all, look(c.Identity, false))
	for _, name := range []string{disk.SVIDFile, disk.SVIDKey} {
		all = append(all, look(filepath.Join(c.Identity, name), name == disk.SVIDKey))
	}
	all = append(all, below(c.Identity, func(name string) bool {
		return strings.HasSuffix(name, ".json") || strings.HasSuffix(name, "-key.pem")
	})...)
	for _, secret := range []string{c.Peering.PathKey, c.AdminTLSKey, c.WebTLSKey} {
		if secret != "" {
			all = append(all, look(secret, true))
		}
	}
	all = append(all, look(c.Data, true))
	return append(all, below(c.Data, func(name string) bool { return !strings.HasSuffix(name, ".log") })...)
}

// below looks at the regular files of a directory whose names want it; none may be read by others.
func below(dir string, want func(name string) bool) (all []file) {
	entries, _ := os.ReadDir(dir) // what is wrong with the directory is said of itself
	for _, entry := range entries {
		if entry.Type().IsRegular() && want(entry.Name()) {
			all = append(all, look(filepath.Join(dir, entry.Name()), true))
		}
	}
	return all
}

func look(path string, private bool) file {
	f := file{path: path, private: private, uid: -1}
	info, err := os.Stat(path)
	if err != nil {
		f.err = err
		return f
	}
	f.mode = info.Mode()
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		f.uid = int(st.Uid)
	}
	return f
}

// owner is the user that the node's files should belong to: that of the node that runs, else of the data directory;
// -1 if neither is known.
func (e *examination) owner() int {
	if r := e.cfg.Running; r != nil && r.PID > 0 {
		if f := look(fmt.Sprintf("/proc/%d", r.PID), false); f.err == nil {
			return f.uid
		}
	}
	return look(e.cfg.Node.Data, false).uid
}

// judgeFiles judges files by what each is for, and by whom the node runs as.
func judgeFiles(files []file, owner int) []Finding {
	var all []Finding
	add := func(f file, state State, what, advice string) {
		all = append(all, Finding{checkFiles, state, f.path, what, advice})
	}
	for _, f := range files {
		switch perm := f.mode.Perm(); {
		case errors.Is(f.err, fs.ErrNotExist):
			add(f, Wrong, "is not there", "start the node, or put it back from a backup (catalyst restore)")
		case errors.Is(f.err, fs.ErrPermission):
			add(f, Unknown, "this user may not look at it", "run catalyst doctor as root, or as the user that the node runs as")
		case f.err != nil:
			add(f, Wrong, f.err.Error(), "look at the disk")
		case f.private && perm&0o077 != 0:
			add(f, Wrong, fmt.Sprintf("others may read or write it (mode %04o)", perm), "run chmod go-rwx "+f.path)
		case perm&0o022 != 0:
			add(f, Wrong, fmt.Sprintf("others may write it (mode %04o)", perm), "run chmod go-w "+f.path)
		case f.private && owner >= 0 && f.uid >= 0 && f.uid != owner:
			add(f, Wrong, fmt.Sprintf("it belongs to user %d, and the node runs as user %d", f.uid, owner),
				fmt.Sprintf("run chown %d %s: a command was run as another user, most likely", owner, f.path))
		}
	}
	if len(all) == 0 {
		all = append(all, Finding{checkFiles, OK, "identity and data directory",
			fmt.Sprintf("%d files are their owner's alone", len(files)), ""})
	}
	return all
}
