// Package datafile opens and replaces the files of a node's data directory. Whatever lies there under a file's name,
// no start may hang on it: a pipe, a socket, a device or a directory is an error that says so. Files that are made
// here are their owner's alone (mode 0600).
package datafile

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// ErrNotRegular tells that something else than a file has the file's name.
var ErrNotRegular = errors.New("is no file") //nolint:gochecknoglobals // a sentinel

// Check returns nil if path is a regular file or does not exist, and otherwise an error that wraps ErrNotRegular and
// says what is there.
func Check(path string) error {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return regular(path, info)
}

func regular(path string, info fs.FileInfo) error {
	if info.Mode().IsRegular() {
		return nil
	}
	what := "something special"
	switch mode := info.Mode(); {
	case mode.IsDir():
		what = "a directory"
	case mode&fs.ModeNamedPipe != 0:
		what = "a pipe"
	case mode&fs.ModeSocket != 0:
		what = "a socket"
	case mode&fs.ModeDevice != 0:
		what = "a device"
	}
	return fmt.Errorf("%s %w but %s: remove it or give it another name", path, ErrNotRegular, what)
}

// Open opens a regular file as os.OpenFile does, without waiting for anybody: opening a pipe would wait for its other
// end.
func Open(path string, flag int) (*os.File, error) {
	f, err := os.OpenFile(path, flag|syscall.O_NONBLOCK, 0o600)
	if err != nil {
		// a pipe that nobody reads cannot be opened for writing, a socket not at all
		return nil, errors.Join(err, Check(path))
	}
	info, err := f.Stat()
	if err == nil {
		err = regular(path, info)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// Read returns what a file of at most limit bytes holds.
func Read(path string, limit int64) ([]byte, error) {
	f, err := Open(path, os.O_RDONLY)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	b, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err == nil && int64(len(b)) > limit {
		err = fmt.Errorf("%s: more than %d bytes", path, limit)
	}
	return b, err
}

// Replace puts a file with this content in the place of what has the name, at once: whoever reads it sees the old
// content or the new.
func Replace(path string, content []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*.new")
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return nil
}
