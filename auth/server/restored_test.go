package server_test

import (
	"database/sql"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/catalyst-router/catalyst/auth/disk"
	"github.com/catalyst-router/catalyst/auth/member"
	"github.com/catalyst-router/catalyst/auth/service"
	"github.com/catalyst-router/catalyst/auth/store"
)

// atAnother has the member of a directory find its identity service at another address, as a name in DNS would.
func atAnother(t *testing.T, dir, before, now string) {
	t.Helper()
	v := disk.Own(dir)
	text, err := v.Read("member.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := v.Write("member.json", []byte(strings.ReplaceAll(string(text), before, now))); err != nil {
		t.Fatal(err)
	}
}

// copied copies a directory, as a thief would.
func copied(t *testing.T, dir string) string {
	t.Helper()
	to := filepath.Join(t.TempDir(), "copy")
	if err := os.CopyFS(to, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"key.pem", "node-key.pem", "member.json", disk.SealFile} {
		err := os.Chmod(filepath.Join(to, name), 0o600)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Fatal(err)
		}
	}
	return to
}

// TestAStoreThatWasPutBack has the store of an identity service lost after two nodes renewed. What it knows of them is
// of before. Each renews once by the certificate that it has, and as ever from then on; a copy from before the backup
// that has not the last continuity is refused, and so is a second one that shows the same.
func TestAStoreThatWasPutBack(t *testing.T) {
	dir := t.TempDir()
	sealer := newSealer(t)
	first := start(t, options{where: filepath.Join(dir, "first.db"), sealer: sealer})
	edge, other := first.enrol("edge-1"), first.enrol("edge-2")
	old := copied(t, edge)
	if err := renew(t, first, edge); err != nil { // in the backup
		t.Fatal(err)
	}
	db, err := sql.Open("sqlite", filepath.Join(dir, "first.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	back := filepath.Join(dir, "back.db")
	if _, err := db.ExecContext(t.Context(), `VACUUM INTO ?`, back); err != nil {
		t.Fatal(err)
	}
	made := time.Now()
	for _, node := range []string{edge, other} {
		if err := renew(t, first, node); err != nil {
			t.Fatal(err)
		}
	}
	twin := copied(t, other)
	first.stop()
	st, err := store.Open(t.Context(), back)
	if err != nil {
		t.Fatal(err)
	}
	before, err := st.RevocationSeq(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := service.MarkRestored(t.Context(), st, made, time.Now()); err != nil {
		t.Fatal(err)
	}
	if now, err := st.RevocationSeq(t.Context()); err != nil || now <= before {
		t.Errorf("the next revocation has number %d, %v, which somebody may have heard of already", now+1, err)
	}
	if err := st.Close(); err != nil {
		t.Fatal(err)
	}
	second := start(t, options{where: back, sealer: sealer})
	for _, node := range []string{edge, other, old, twin} {
		atAnother(t, node, first.address, second.address)
	}
	if err := renew(t, second, old); err == nil || !strings.Contains(err.Error(), "is copied") {
		t.Errorf("a copy from before the backup: %v", err)
	}
	for range 2 {
		if err := renew(t, second, edge); err != nil {
			t.Errorf("a node whose continuity went with the store: %v", err)
		}
	}
	if err := renew(t, second, other); err != nil {
		t.Errorf("another such node: %v", err)
	}
	if err := renew(t, second, twin); err == nil || !strings.Contains(err.Error(), "is copied") {
		t.Errorf("a copy of it that comes second: %v", err)
	}
}

// renew has the member of a directory ask for its next certificate once.
func renew(t *testing.T, s *site, dir string) error {
	t.Helper()
	m, err := member.OpenAt(disk.Own(dir), log(t), s.clock.now)
	if err != nil {
		t.Fatal(err)
	}
	return m.Renew(t.Context())
}
