package backup

import (
	"archive/tar"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
)

// List opens a backup and returns its manifest. Only the beginning of the file is read: see Verify.
func List(r io.Reader, key *Key) (*Manifest, error) {
	m, _, err := begin(r, key)
	return m, err
}

// Verify reads a whole backup, and compares each file with its checksum.
func Verify(r io.Reader, key *Key) (*Manifest, error) {
	m, in, err := begin(r, key)
	if err != nil {
		return nil, err
	}
	return m, each(m, in, func(File, io.Reader) error { return nil })
}

// begin opens a backup and reads its manifest.
func begin(r io.Reader, key *Key) (*Manifest, *tar.Reader, error) {
	plain, err := key.open(r)
	if err != nil {
		return nil, nil, err
	}
	zip, err := gzip.NewReader(plain)
	if err != nil {
		return nil, nil, fmt.Errorf("the backup is damaged, or none of ours: %w", err)
	}
	in := tar.NewReader(zip)
	h, err := in.Next()
	if err != nil {
		return nil, nil, fmt.Errorf("the backup is damaged: %w", err)
	}
	if h.Name != manifestFile {
		return nil, nil, fmt.Errorf("the backup begins with %q, not with its manifest: it is none of ours", h.Name)
	}
	m, err := readManifest(in)
	return m, in, err
}

// each gives every file of a backup to take, in the order of the manifest, and sees to it that all are there and whole.
// What take does not read of a file is read for it.
func each(m *Manifest, in *tar.Reader, take func(File, io.Reader) error) error {
	for _, f := range m.Files {
		h, err := in.Next()
		if err != nil {
			return fmt.Errorf("the backup is damaged: %w", cut(err))
		}
		if h.Name != f.Name || h.Typeflag != tar.TypeReg || h.Size != f.Bytes {
			return fmt.Errorf("the backup is damaged: it has %q where %q is to be", h.Name, f.Name)
		}
		sum := sha256.New()
		r := io.TeeReader(in, sum)
		if err := take(f, r); err != nil {
			return fmt.Errorf("%s: %w", f.Name, err)
		}
		if _, err := io.Copy(io.Discard, r); err != nil {
			return fmt.Errorf("the backup is damaged: %w", cut(err))
		}
		if hex.EncodeToString(sum.Sum(nil)) != f.SHA256 {
			return fmt.Errorf("the backup is damaged: %s has another checksum", f.Name)
		}
	}
	if _, err := in.Next(); !errors.Is(err, io.EOF) {
		return errors.Join(errors.New("the backup is damaged: it goes on after its last file"), err)
	}
	return nil
}

// cut says what an end before its time means.
func cut(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return errors.New("it ends too early")
	}
	return err
}
