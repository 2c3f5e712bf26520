package identity

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/catalyst-router/catalyst/auth/ca"
	"github.com/catalyst-router/catalyst/auth/disk"
)

func bundle(t *testing.T) (*ca.Authority, string) {
	t.Helper()
	dir := t.TempDir()
	if err := disk.InitCA(filepath.Join(dir, "ca"), "acme.example"); err != nil {
		t.Fatal(err)
	}
	if err := disk.InitCA(
		filepath.Join(dir, "ca"), "acme.example",
	); err == nil || !strings.Contains(err.Error(), "holds a CA already") {
		t.Errorf("a CA was overwritten: %v", err)
	}
	a, err := disk.LoadCA(filepath.Join(dir, "ca"))
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := disk.IssueNode(a, filepath.Join(dir, "a"), "a", time.Hour); err != nil {
		t.Fatal(err)
	}
	return a, filepath.Join(dir, "a")
}

func TestChangesAreNoticedAndBadOnesAreNot(t *testing.T) {
	a, dir := bundle(t)
	s, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	changed := s.Changed()
	first := s.Material()
	if again, err := s.reload(); again || err != nil {
		t.Errorf("nothing changed: %v, %v", again, err)
	}
	if _, _, err := disk.IssueNode(a, dir, "a", 2*time.Hour); err != nil {
		t.Fatal(err)
	}
	if again, err := s.reload(); !again || err != nil {
		t.Fatalf("a renewed bundle: %v, %v", again, err)
	}
	select {
	case <-changed:
	default:
		t.Error("nobody was told")
	}
	second := s.Material()
	if bytes.Equal(first.Chain, second.Chain) || !second.Expires.After(first.Expires) {
		t.Error("the certificate is the old one")
	}
	if err := os.WriteFile(filepath.Join(dir, disk.SVIDFile), []byte("nonsense"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := s.reload(); err == nil || s.Err() == nil {
		t.Error("nonsense is taken")
	}
	if s.Material() != second {
		t.Error("the last good identity is lost")
	}
}

func TestWhatIsRefused(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(dir string) error
		want   string
	}{
		{
			"a key that others may read", func(dir string) error { return os.Chmod(filepath.Join(dir, disk.SVIDKey), 0o640) },
			"run chmod 600",
		},
		{
			"no certificate", func(dir string) error { return os.Remove(filepath.Join(dir, disk.SVIDFile)) },
			"catalyst org issue-node",
		},
		{
			"no roots of its own organisation",
			func(dir string) error { return os.Remove(filepath.Join(dir, disk.BundleFile("acme.example"))) },
			"has no acme.example.bundle.pem",
		},
		{"roots of no organisation", func(dir string) error {
			return os.WriteFile(filepath.Join(dir, "BAD NAME.bundle.pem"), nil, 0o600)
		}, "organisation"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, dir := bundle(t)
			if err := tt.change(dir); err != nil {
				t.Fatal(err)
			}
			if _, err := Open(dir); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}

// A key must not get out by accident.
func TestMaterialDoesNotPrintItsKey(t *testing.T) {
	_, dir := bundle(t)
	s, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	if text := fmt.Sprintf("%v %s", s.Material(), s.Material()); strings.Contains(text, "PRIVATE") {
		t.Errorf("prints %s", text)
	}
	if b, err := json.Marshal(s.Material()); err == nil && bytes.Contains(b, []byte("Key\":\"")) {
		t.Errorf("marshals %.80s", b)
	}
}

// A key that was issued in clear is sealed where it lies, once nobody writes there any more; nothing changes for who
// uses the identity. Where it cannot be sealed the node goes on.
func TestKeyIsSealedWhereItLies(t *testing.T) {
	a, dir := bundle(t)
	s, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	changed := s.Changed()
	log := slog.New(slog.DiscardHandler)
	lies := func() string {
		t.Helper()
		text, err := os.ReadFile(filepath.Join(dir, disk.SVIDKey))
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	for range 2 {
		s.sealKey(log)
		if again, err := s.reload(); again || err != nil {
			t.Errorf("the same key, sealed, is no other: %v, %v", again, err)
		}
	}
	if strings.Contains(lies(), "PRIVATE KEY") {
		t.Error("the key lies in clear")
	}
	select {
	case <-changed:
		t.Error("somebody was told")
	default:
	}
	if o, err := Open(dir); err != nil || !bytes.Equal(o.Material().Key, s.Material().Key) {
		t.Errorf("after a restart: %v", err)
	}
	if _, _, err := disk.IssueNode(a, dir, "a", 2*time.Hour); err != nil {
		t.Fatal(err)
	}
	if again, err := s.reload(); !again || err != nil {
		t.Errorf("a renewed bundle: %v, %v", again, err)
	}
	s.sealKey(log)
	if strings.Contains(lies(), "PRIVATE KEY") {
		t.Error("the key that was issued next lies in clear")
	}
}
