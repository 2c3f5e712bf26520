package snapshot_test

import (
	"database/sql"
	"os"
	"path/filepath"
	"testing"

	"github.com/catalyst-router/catalyst/cmd/internal/snapshot"
)

// A copy has what was committed, while the one who writes has a change under way and goes on with it.
func TestACopyOfADatabaseThatIsWritten(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "a b.db")
	db, err := sql.Open("sqlite", "file:"+path+"?_pragma=journal_mode(WAL)&_txlock=immediate")
	must(t, err)
	defer db.Close()
	exec := func(q interface {
		Exec(string, ...any) (sql.Result, error)
	}, text string) {
		t.Helper()
		_, err := q.Exec(text)
		must(t, err)
	}
	exec(db, `CREATE TABLE t (v)`)
	exec(db, `INSERT INTO t VALUES (1)`)
	tx, err := db.Begin()
	must(t, err)
	exec(tx, `INSERT INTO t VALUES (2)`)
	into := filepath.Join(dir, "copy.db")
	must(t, snapshot.Take(t.Context(), path, into))
	must(t, tx.Commit())
	if n := rows(t, into); n != 1 {
		t.Errorf("the copy has %d rows, want the one that was committed", n)
	}
	if n := rows(t, path); n != 2 {
		t.Errorf("the database has %d rows, want 2", n)
	}
	if info, err := os.Stat(into); err != nil || info.Mode() != 0o600 {
		t.Errorf("the copy: %v, %v; want mode 0600", info.Mode(), err)
	}
	if err := snapshot.Take(t.Context(), path, into); err == nil {
		t.Error("a file that is there was overwritten")
	}
}

func TestWhatIsNoDatabase(t *testing.T) {
	dir := t.TempDir()
	text := filepath.Join(dir, "text.db")
	must(t, os.WriteFile(text, []byte("this is no database, and long enough to be looked at as one; it is text"), 0o600))
	for _, path := range []string{text, filepath.Join(dir, "none.db")} {
		into := filepath.Join(dir, "copy.db")
		if err := snapshot.Take(t.Context(), path, into); err == nil {
			t.Errorf("%s was copied", path)
		}
		if _, err := os.Stat(into); err == nil {
			t.Errorf("%s: something is left of the copy", path)
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "none.db")); err == nil {
		t.Error("a database was made")
	}
}

func rows(t *testing.T, path string) (n int) {
	t.Helper()
	db, err := sql.Open("sqlite", path)
	must(t, err)
	defer db.Close()
	must(t, db.QueryRow(`SELECT count(*) FROM t`).Scan(&n))
	return n
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
