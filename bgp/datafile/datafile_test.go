package datafile

import (
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// Whatever has the name of a file, nothing here waits for it; each is named for what it is.
func TestOnlyFilesAreOpened(t *testing.T) {
	dir := t.TempDir()
	pipe, socket, file := filepath.Join(dir, "pipe"), filepath.Join(dir, "socket"), filepath.Join(dir, "file")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for _, path := range []string{pipe, socket, dir} {
		for _, flag := range []int{os.O_RDONLY, os.O_WRONLY | os.O_CREATE} {
			if _, err := Open(path, flag); !errors.Is(err, ErrNotRegular) {
				t.Errorf("open %s with %#x: got %v, want %v", path, flag, err, ErrNotRegular)
			}
		}
		if err := Check(path); !errors.Is(err, ErrNotRegular) {
			t.Errorf("check %s: got %v, want %v", path, err, ErrNotRegular)
		}
	}
	if err := Check(file); err != nil {
		t.Errorf("no file at all: %v", err)
	}
	if _, err := Read(file, 4); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("read no file: %v", err)
	}
	for _, path := range []string{file, pipe} { // it may be replaced by one, too
		if err := Replace(path, []byte("text")); err != nil {
			t.Fatal(err)
		}
		if b, err := Read(path, 4); err != nil || string(b) != "text" {
			t.Errorf("%s: got %q, %v", path, b, err)
		}
		if _, err := Read(path, 3); err == nil {
			t.Error("more was read than the limit allows")
		}
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: mode %v, %v", path, info.Mode(), err)
		}
	}
}
