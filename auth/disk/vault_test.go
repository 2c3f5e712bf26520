package disk

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/catalyst-router/catalyst/auth/seal"
)

// Secrets of a directory are sealed as they are written, and where they lie; a copy of the file without the key, or
// with another, is worth nothing, and the error says which key is wanted.
func TestVault(t *testing.T) {
	const name, secret = "node-key.pem", "-----BEGIN PRIVATE KEY-----"
	dir := t.TempDir()
	v := Own(dir)
	if _, err := v.Read(name); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("nothing is there: %v", err)
	}
	if did, err := v.SealAll(name); err != nil || len(did) != 0 {
		t.Errorf("nothing is there to seal: %v, %v", did, err)
	}
	if err := os.WriteFile(filepath.Join(dir, name), []byte(secret), 0o600); err != nil {
		t.Fatal(err)
	}
	if got, err := v.Read(name); err != nil || string(got) != secret {
		t.Errorf("a file in clear: %q, %v", got, err)
	}
	for _, want := range []int{1, 0} {
		if did, err := v.SealAll(name); err != nil || len(did) != want {
			t.Errorf("sealed %v, %v; want %d", did, err, want)
		}
	}
	for _, f := range []string{name, SealFile} {
		text, err := os.ReadFile(filepath.Join(dir, f))
		if info, _ := os.Stat(filepath.Join(dir, f)); err != nil || info.Mode().Perm() != 0o600 ||
			strings.Contains(string(text), secret) {
			t.Errorf("%s: mode %v, %q, %v", f, info.Mode(), text, err)
		}
	}
	if got, err := v.Read(name); err != nil || string(got) != secret {
		t.Errorf("a sealed file: %q, %v", got, err)
	}
	key, err := seal.Generate()
	if err != nil {
		t.Fatal(err)
	}
	for what, c := range map[string]struct {
		place seal.Place
		want  string
	}{
		"another key":   {seal.Place{Key: key}, "give the former key"},
		"no key":        {seal.Place{}, "no sealing key was given"},
		"a lost file":   {seal.Place{Own: filepath.Join(dir, "lost")}, "bring that file back"},
		"a missing one": {seal.Place{File: filepath.Join(dir, "lost")}, "no such file"},
	} {
		if _, err := (Vault{dir, c.place}).Read(name); err == nil || !strings.Contains(err.Error(), c.want) ||
			!strings.Contains(err.Error(), name) || errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: %v, want %q", what, err, c.want)
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "lost")); err == nil {
		t.Error("a key was made that opens nothing")
	}
	if err := os.Rename(filepath.Join(dir, name), filepath.Join(dir, SVIDKey)); err != nil {
		t.Fatal(err)
	}
	if _, err := v.Read(SVIDKey); err == nil || !strings.Contains(err.Error(), "in the place of another") {
		t.Errorf("a sealed file under another name: %v", err)
	}
}

// Who wants keys in clear gets them, and what was sealed before is read.
func TestVaultInClear(t *testing.T) {
	dir := t.TempDir()
	if err := Own(dir).Write(SVIDKey, []byte("secret")); err != nil {
		t.Fatal(err)
	}
	v := Own(dir)
	v.Seal.Clear = true
	got, err := v.Read(SVIDKey)
	if err != nil || string(got) != "secret" {
		t.Fatalf("%q, %v", got, err)
	}
	if err := v.Write(SVIDKey, got); err != nil {
		t.Fatal(err)
	}
	if text, err := os.ReadFile(filepath.Join(dir, SVIDKey)); err != nil || string(text) != "secret" {
		t.Errorf("%q, %v", text, err)
	}
}
