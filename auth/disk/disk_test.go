package disk

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/catalyst-router/catalyst/auth/seal"
)

func TestACAIsNotOverwritten(t *testing.T) {
	dir := t.TempDir()
	if err := InitCA(dir, "acme.example"); err != nil {
		t.Fatal(err)
	}
	before, err := os.ReadFile(filepath.Join(dir, KeyFile))
	if err != nil {
		t.Fatal(err)
	}
	if err := InitCA(dir, "acme.example"); err == nil || !strings.Contains(err.Error(), "holds a CA already") {
		t.Errorf("got %v", err)
	}
	if after, _ := os.ReadFile(filepath.Join(dir, KeyFile)); string(after) != string(before) {
		t.Error("its key is another")
	}
}

// What is secret is for its owner alone, and nothing unfinished stays behind.
func TestModesOfWhatIsWritten(t *testing.T) {
	dir := t.TempDir()
	if err := InitCA(filepath.Join(dir, "org"), "acme.example"); err != nil {
		t.Fatal(err)
	}
	a, err := LoadCA(filepath.Join(dir, "org"))
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := IssueNode(a, filepath.Join(dir, "edge-1"), "edge-1", time.Hour); err != nil {
		t.Fatal(err)
	}
	if _, _, err := IssueEnvoy(a, filepath.Join(dir, "front-1"), "edge-1", "front-1", time.Hour); err != nil {
		t.Fatal(err)
	}
	want := map[string]os.FileMode{
		"org/ca.pem": 0o644, "org/ca-key.pem": 0o600,
		"edge-1/svid.pem": 0o644, "edge-1/key.pem": 0o600, "edge-1/acme.example.bundle.pem": 0o644,
		"front-1/svid.pem": 0o644, "front-1/key.pem": 0o600, "front-1/acme.example.bundle.pem": 0o644,
	}
	files, err := filepath.Glob(filepath.Join(dir, "*", "*"))
	if err != nil || len(files) != len(want) {
		t.Errorf("%d files, want %d: %v, %v", len(files), len(want), files, err)
	}
	for name, mode := range want {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil || info.Mode().Perm() != mode {
			t.Errorf("%s: %v, %v, want %04o", name, info, err, mode)
		}
	}
}

func TestWhatIsNotRead(t *testing.T) {
	for name, tt := range map[string]struct {
		change func(dir string) error
		want   string
	}{
		"no CA": {
			func(dir string) error { return os.Remove(filepath.Join(dir, KeyFile)) }, "make one with catalyst org init",
		},
		"a key that others may read": {
			func(dir string) error { return os.Chmod(filepath.Join(dir, KeyFile), 0o644) }, "run chmod 600",
		},
		"no certificate": {
			func(dir string) error { return os.Remove(filepath.Join(dir, RootFile)) }, "no such file",
		},
		"nonsense": {
			func(dir string) error { return os.WriteFile(filepath.Join(dir, RootFile), []byte("nonsense"), 0o600) }, "PEM",
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if err := InitCA(dir, "acme.example"); err != nil {
				t.Fatal(err)
			}
			if err := tt.change(dir); err != nil {
				t.Fatal(err)
			}
			if _, err := LoadCA(dir); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}

// A CA's key that lies in clear, as those before it was sealed do, is read, and sealed where it lies; then it is read
// with the sealing key alone.
func TestACAIsSealedWhereItLies(t *testing.T) {
	dir := t.TempDir()
	if err := InitCA(dir, "acme.example"); err != nil {
		t.Fatal(err)
	}
	clear, err := LoadCA(dir)
	if err != nil {
		t.Fatal(err)
	}
	sealer := func() *seal.Sealer {
		key, err := seal.Generate()
		if err != nil {
			t.Fatal(err)
		}
		s, err := seal.New(key)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	s := sealer()
	for i, want := range []bool{true, false} { // again changes nothing
		if did, err := SealCA(dir, s); err != nil || did != want {
			t.Errorf("sealing %d: %v, %v", i+1, did, err)
		}
	}
	text, err := os.ReadFile(filepath.Join(dir, KeyFile))
	if err != nil || strings.Contains(string(text), "PRIVATE KEY") {
		t.Errorf("the key lies in clear: %v", err)
	}
	for name, c := range map[string]struct {
		open func() (*seal.Sealer, error)
		want string
	}{
		"the key":     {func() (*seal.Sealer, error) { return s, nil }, ""},
		"another key": {func() (*seal.Sealer, error) { return sealer(), nil }, "sealed under key"},
		"no key": {
			func() (*seal.Sealer, error) { return nil, errors.New("none was given") }, "is sealed: none was given",
		},
	} {
		a, err := LoadSealedCA(dir, c.open)
		if c.want == "" && (err != nil || !bytes.Equal(a.Roots(), clear.Roots())) ||
			c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := LoadCA(dir); err == nil {
		t.Error("it is read without a key")
	}
	if err := os.WriteFile(filepath.Join(dir, KeyFile), text[:len(text)-10], 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := LoadSealedCA(dir, func() (*seal.Sealer, error) { return s, nil }); err == nil {
		t.Error("a damaged key is read")
	}
}
