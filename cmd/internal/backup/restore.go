package backup

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Options say how a backup is put back.
type Options struct {
	// At are other paths than those of the manifest, by the names of places.
	At map[string]string
	// Force has what is there moved aside, to PATH.before-restore-TIME, instead of refusing.
	Force bool
	// Replaceable tells of a single file that is there whether it may be replaced: it holds nothing. nil for none.
	Replaceable func(content []byte) bool
	Now         time.Time
}

// errTaken tells that something is where files are to go.
var errTaken = errors.New("nothing is overwritten: move it away, or give --force, which moves it " +
	"aside") //nolint:gochecknoglobals // a sentinel

// Restore puts a backup back: all of it, or nothing. Files are written beside their places and checked, and only then
// put in place. As root they are given to the user they belonged to, if this machine has it.
func Restore(r io.Reader, key *Key, o Options) (*Manifest, error) {
	m, in, err := begin(r, key)
	if err != nil {
		return nil, err
	}
	targets := aim(m, o)
	for _, t := range targets {
		if err := t.free(o); err != nil {
			return nil, err
		}
	}
	defer func() {
		for _, t := range targets {
			_ = os.RemoveAll(t.staged) // nothing is there any more if all went well
		}
	}()
	if err := stage(targets); err != nil {
		return nil, err
	}
	if err := each(m, in, write(targets)); err != nil {
		return nil, err
	}
	for _, t := range targets {
		if err := t.put(m.Owner, o); err != nil {
			return nil, err
		}
	}
	return m, nil
}

// target is where a place goes on this machine.
type target struct {
	Place
	staged string // where its files are until all of them are whole
	within bool   // it lies in the directory of another, and comes into its place with it
}

// aim says where each place goes.
func aim(m *Manifest, o Options) []target {
	targets := make([]target, len(m.Places))
	for i, p := range m.Places {
		if at := o.At[p.Name]; at != "" {
			p.Path = at
		}
		p.Path = filepath.Clean(p.Path)
		targets[i] = target{Place: p, staged: p.Path + ".restoring"}
	}
	for i := range targets {
		for _, around := range targets {
			rest, err := filepath.Rel(around.Path, targets[i].Path)
			if err == nil && rest != "." && filepath.IsLocal(rest) && !around.Single {
				targets[i].staged, targets[i].within = filepath.Join(around.Path+".restoring", rest), true
			}
		}
	}
	// Those around others first: their directories are made first.
	slices.SortStableFunc(targets, func(a, b target) int { return len(a.Path) - len(b.Path) })
	return targets
}

// free tells why files may not be put there.
func (t *target) free(o Options) error {
	if t.within {
		return nil
	}
	info, err := os.Lstat(t.Path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if info.IsDir() && !t.Single {
		if held(t.Path) {
			return fmt.Errorf("%s is in use: an Envoy runs over it; stop the node with SIGINT first", t.Path)
		}
		entries, err := os.ReadDir(t.Path)
		if err != nil || len(entries) == 0 {
			return err
		}
	}
	if t.Single && info.Mode().IsRegular() && o.Replaceable != nil {
		if text, err := os.ReadFile(t.Path); err == nil && o.Replaceable(text) {
			return nil
		}
	}
	if !o.Force {
		return fmt.Errorf("%s is there already, and %w", t.Path, errTaken)
	}
	return nil
}

// held tells whether an Envoy has the lock of a data directory.
func held(dir string) bool {
	f, err := os.Open(dir)
	if err != nil {
		return false
	}
	defer func() { _ = f.Close() }()
	err = syscall.Flock(int(f.Fd()), syscall.LOCK_SH|syscall.LOCK_NB)
	return errors.Is(err, syscall.EWOULDBLOCK)
}

// stage makes the directories in which files are written first.
func stage(targets []target) error {
	for _, t := range targets {
		if t.within {
			dir := t.staged
			if t.Single {
				dir = filepath.Dir(dir)
			}
			if err := os.MkdirAll(dir, 0o700); err != nil {
				return err
			}
			continue
		}
		if err := os.RemoveAll(t.staged); err != nil {
			return err
		}
		if err := os.MkdirAll(filepath.Dir(t.staged), 0o755); err != nil { //nolint:gosec // directories of the system
			return err
		}
		if !t.Single {
			if err := os.Mkdir(t.staged, 0o700); err != nil {
				return err
			}
		}
	}
	return nil
}

// write writes one file where it is staged.
func write(targets []target) func(File, io.Reader) error {
	return func(f File, r io.Reader) error {
		place, rest, _ := strings.Cut(f.Name, "/")
		for _, t := range targets {
			if t.Name != place {
				continue
			}
			path := t.staged
			if !t.Single {
				path = filepath.Join(t.staged, filepath.FromSlash(rest))
				if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
					return err
				}
			}
			out, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
			if err != nil {
				return err
			}
			_, err = io.Copy(out, r)
			return errors.Join(err, out.Chmod(f.Mode.Perm()), out.Sync(), out.Close())
		}
		return errors.New("belongs nowhere")
	}
}

// put moves what is staged into its place.
func (t *target) put(owner string, o Options) error {
	if _, err := os.Lstat(t.staged); t.within || errors.Is(err, fs.ErrNotExist) {
		return nil // or a place without files
	}
	if err := Give(t.staged, owner); err != nil {
		return err
	}
	if _, err := os.Lstat(t.Path); err == nil {
		if entries, err := os.ReadDir(t.Path); err == nil && len(entries) == 0 && !t.Single {
			if err := os.Remove(t.Path); err != nil {
				return err
			}
		} else if err := os.Rename(t.Path, t.Path+".before-restore-"+o.Now.UTC().Format("20060102T150405Z")); err != nil {
			return err
		}
	}
	return os.Rename(t.staged, t.Path)
}

// Give gives a file or directory to a user, if this is root and the machine has that user.
func Give(path, owner string) error {
	if os.Geteuid() != 0 || owner == "" {
		return nil
	}
	u, err := user.Lookup(owner)
	if err != nil {
		return nil //nolint:nilerr // this machine does not have that user: they are root's
	}
	uid, err := strconv.Atoi(u.Uid)
	if err != nil {
		return err
	}
	gid, err := strconv.Atoi(u.Gid)
	if err != nil {
		return err
	}
	return filepath.WalkDir(path, func(path string, _ fs.DirEntry, err error) error {
		return errors.Join(err, os.Lchown(path, uid, gid))
	})
}

// OwnerOf names the user that a path belongs to; "" if that is not known.
func OwnerOf(path string) string {
	info, err := os.Stat(path)
	if err != nil {
		return ""
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return ""
	}
	u, err := user.LookupId(strconv.FormatUint(uint64(st.Uid), 10))
	if err != nil {
		return ""
	}
	return u.Username
}
