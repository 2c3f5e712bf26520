package seal

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

func newSealer(t *testing.T) *Sealer {
	t.Helper()
	key, err := Generate()
	if err != nil {
		t.Fatal(err)
	}
	s, err := New(key)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestSealAndOpen(t *testing.T) {
	s := newSealer(t)
	sealed := s.Seal([]byte("secret"), "signing key 1")
	if got, err := s.Open(sealed, "signing key 1"); err != nil || !bytes.Equal(got, []byte("secret")) {
		t.Fatalf("got %q, %v", got, err)
	}
	if again := s.Seal([]byte("secret"), "signing key 1"); again == sealed || strings.Contains(sealed, "secret") {
		t.Error("sealed twice alike, or in clear")
	}
	for name, open := range map[string]func() ([]byte, error){
		"for something else": func() ([]byte, error) { return s.Open(sealed, "signing key 2") },
		"another key":        func() ([]byte, error) { return newSealer(t).Open(sealed, "signing key 1") },
		"one bit":            func() ([]byte, error) { return s.Open(flip(sealed), "signing key 1") },
		"short":              func() ([]byte, error) { return s.Open(s.ID()+".AAAA", "signing key 1") },
		"empty":              func() ([]byte, error) { return s.Open("", "signing key 1") },
	} {
		if got, err := open(); err == nil || got != nil {
			t.Errorf("%s: got %q, want an error", name, got)
		}
	}
}

func TestKeyFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "seal.key")
	if _, err := FromFile(path, false); err == nil {
		t.Fatal("a file that is not there: want an error")
	}
	var ids sync.Map
	var all sync.WaitGroup
	for range 8 { // at once: all get the same key
		all.Go(func() {
			s, err := FromFile(path, true)
			if err != nil {
				t.Error(err)
				return
			}
			ids.Store(s.ID(), true)
		})
	}
	all.Wait()
	n := 0
	ids.Range(func(any, any) bool { n++; return true })
	if n != 1 {
		t.Errorf("%d keys, want one", n)
	}
	if err := os.Chmod(path, 0o640); err != nil {
		t.Fatal(err)
	}
	if _, err := FromFile(path, true); err == nil || !strings.Contains(err.Error(), "chmod 600") {
		t.Errorf("a key that others may read: got %v", err)
	}
}

func TestBadKeys(t *testing.T) {
	for _, key := range []string{"", "x", "AAAA", strings.Repeat("A", 100)} {
		if _, err := New(key); err == nil {
			t.Errorf("key %q: want an error", key)
		}
	}
	s := newSealer(t)
	if text := fmt.Sprintf("%v %+v", s, s); !strings.Contains(text, s.ID()) || strings.Contains(text, "aead") {
		t.Errorf("printed %s", text)
	}
}

// flip changes the last whole character of base64.
func flip(s string) string {
	other := "A"
	if s[len(s)-2] == 'A' {
		other = "B"
	}
	return s[:len(s)-2] + other + s[len(s)-1:]
}

// A log in JSON shows the fields of a struct that says nothing else: a sealing key that was given must not be there.
func TestAPlaceIsLoggedWithoutItsKey(t *testing.T) {
	place := Place{Key: "c2VjcmV0"}
	var out bytes.Buffer
	for _, h := range []slog.Handler{slog.NewJSONHandler(&out, nil), slog.NewTextHandler(&out, nil)} {
		slog.New(h).Info("sealed", "under", place, "all", []Place{place})
	}
	if err := json.NewEncoder(&out).Encode(map[string]Place{"under": place}); err != nil {
		t.Fatal(err)
	}
	text := out.String()
	if strings.Contains(text, place.Key) || strings.Count(text, "a sealing key that was given") != 5 {
		t.Errorf("got %s", text)
	}
}
