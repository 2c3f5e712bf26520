package backup

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"filippo.io/age"

	"github.com/catalyst-router/catalyst/cmd/internal/snapshot"
)

// Set is what a backup is made of.
type Set struct {
	Manifest Manifest // Places, and all but Format and Files
	// Skip says which files below a place are left out, by their paths there; nil for none. Sockets and the like always
	// are.
	Skip func(place, path string) bool
}

// sqliteMagic begins every SQLite database.
const sqliteMagic = "SQLite format 3\x00"

// collected is the content of a set at one moment: small files in memory, databases as files of a directory.
type collected struct {
	files  []File
	small  map[string][]byte
	copies map[string]string // path of a database's copy, by name
}

// Write writes a set into w, locked with a key, and returns its manifest. dir is for copies of databases, on a disk
// with room for them; they are removed.
func Write(ctx context.Context, w io.Writer, key *Key, set Set) (*Manifest, error) {
	dir, err := os.MkdirTemp("", "catalyst-backup-")
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	c, err := set.collect(ctx, dir)
	if err != nil {
		return nil, err
	}
	m := set.Manifest
	m.Format, m.Files = Format, c.files
	if err := m.check(); err != nil {
		return nil, err
	}
	locked, err := age.Encrypt(w, key.recipients...)
	if err != nil {
		return nil, fmt.Errorf("lock the backup: %w", err)
	}
	if err := c.archive(locked, &m); err != nil {
		return nil, err
	}
	return &m, locked.Close()
}

// collect reads every file of the set. Small files are read until they are the same twice, so that those that are
// replaced together, as the files of a new certificate are, belong together in the backup.
func (s *Set) collect(ctx context.Context, dir string) (*collected, error) {
	const tries = 20
	var before *collected
	for i := range tries {
		c := &collected{small: map[string][]byte{}, copies: map[string]string{}}
		for _, p := range s.Manifest.Places {
			if err := s.place(p, c); err != nil {
				return nil, err
			}
		}
		if before == nil || !same(before, c) {
			before = c
			if i < tries-1 {
				continue
			}
			return nil, errors.New("files change faster than they can be read: try again")
		}
		for _, name := range slices.Sorted(maps.Keys(c.copies)) {
			into := filepath.Join(dir, fmt.Sprint(len(c.files)))
			if err := snapshot.Take(ctx, c.copies[name], into); err != nil {
				return nil, err
			}
			c.copies[name] = into
			if err := c.describe(name, 0o600, into); err != nil {
				return nil, err
			}
		}
		return c, nil
	}
	return nil, ctx.Err() // not reached
}

func same(a, b *collected) bool {
	return slices.Equal(a.files, b.files) && slices.Equal(slices.Sorted(maps.Keys(a.copies)),
		slices.Sorted(maps.Keys(b.copies)))
}

// place reads the files of one place.
func (s *Set) place(p Place, c *collected) error {
	if p.Single {
		return c.add(p.Name, p.Path)
	}
	err := filepath.WalkDir(p.Path, func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) && path != p.Path {
			return nil // it went while we looked
		}
		if err != nil {
			return err
		}
		rest, err := filepath.Rel(p.Path, path)
		if err != nil {
			return err
		}
		if rest != "." && s.Skip != nil && s.Skip(p.Name, rest) {
			if d.IsDir() {
				return filepath.SkipDir
			}
			return nil
		}
		if !d.Type().IsRegular() {
			return nil
		}
		err = c.add(p.Name+"/"+filepath.ToSlash(rest), path)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("read %s: %w", p.Name, err)
	}
	return nil
}

// largest is how large a file may be that is no database.
const largest = 256 << 20

func (c *collected) add(name, path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	head := make([]byte, len(sqliteMagic))
	if n, _ := io.ReadFull(f, head); string(head[:n]) == sqliteMagic {
		c.copies[name] = path
		return nil
	}
	if info.Size() > largest {
		return fmt.Errorf("%s: is larger than %d MiB", path, largest>>20)
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return err
	}
	text, err := io.ReadAll(io.LimitReader(f, largest))
	if err != nil {
		return err
	}
	sum := sha256.Sum256(text)
	c.small[name] = text
	c.files = append(c.files, File{name, info.Mode().Perm(), int64(len(text)), hex.EncodeToString(sum[:])})
	return nil
}

// describe adds a file of the directory to the list.
func (c *collected) describe(name string, mode fs.FileMode, path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	h := sha256.New()
	n, err := io.Copy(h, f)
	c.files = append(c.files, File{name, mode, n, hex.EncodeToString(h.Sum(nil))})
	return err
}

// archive writes the manifest and the files.
func (c *collected) archive(w io.Writer, m *Manifest) error {
	text, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return err
	}
	zip := gzip.NewWriter(w)
	out := tar.NewWriter(zip)
	put := func(name string, mode fs.FileMode, size int64, r io.Reader) error {
		h := &tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: int64(mode), Size: size, ModTime: m.Made,
			Format: tar.FormatPAX}
		if err := out.WriteHeader(h); err != nil {
			return err
		}
		_, err := io.Copy(out, r)
		return err
	}
	if err := put(manifestFile, 0o600, int64(len(text)), bytes.NewReader(text)); err != nil {
		return err
	}
	for _, f := range m.Files {
		var r io.Reader = bytes.NewReader(c.small[f.Name])
		if path := c.copies[f.Name]; path != "" {
			file, err := os.Open(path)
			if err != nil {
				return err
			}
			defer func() { _ = file.Close() }()
			r = file
		}
		if err := put(f.Name, f.Mode, f.Bytes, r); err != nil {
			return fmt.Errorf("%s: %w", f.Name, err)
		}
	}
	return errors.Join(out.Close(), zip.Close())
}

// besideDatabase tells whether a file belongs to a database beside it, whose copy has what is in it.
func besideDatabase(path string) bool {
	return strings.HasSuffix(path, "-wal") || strings.HasSuffix(path, "-shm") || strings.HasSuffix(path, ".lock")
}
