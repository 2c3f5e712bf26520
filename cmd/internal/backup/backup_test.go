package backup_test

import (
	"bytes"
	"database/sql"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/catalyst-router/catalyst/cmd/internal/backup"
)

// machine is a node's files, as they lie on a machine.
type machine struct {
	t                    *testing.T
	identity, data, conf string
}

func newMachine(t *testing.T) *machine {
	t.Helper()
	dir := t.TempDir()
	m := &machine{t, filepath.Join(dir, "identity"), filepath.Join(dir, "data"), filepath.Join(dir, "node.yaml")}
	for name, text := range map[string]string{
		"identity/key.pem": "secret", "identity/bound/one": "token", "data/ledger.json": "{}",
		"data/attestations/x": "signed",
		"data/envoy.log":      "much", "data/recording/1": "much", "data/journal.db.bad": "broken", "data/.new-1": "half",
		"data/fib": "again", "node.yaml": "data: data\n", "data/db.lock": "",
	} {
		path := filepath.Join(dir, name)
		must(t, os.MkdirAll(filepath.Dir(path), 0o700))
		must(t, os.WriteFile(path, []byte(text), 0o600))
	}
	must(t, os.Chmod(m.conf, 0o644)) //nolint:gosec // a configuration
	db := m.open("data/journal.db")
	for _, q := range []string{`CREATE TABLE t (v)`, `INSERT INTO t VALUES (7)`} {
		_, err := db.Exec(q)
		must(t, err)
	}
	l, err := net.Listen("unix", filepath.Join(dir, "data", "s.sock"))
	must(t, err)
	t.Cleanup(func() { _ = l.Close() })
	return m
}

// open opens a database of the machine in the way that a node does, until the test ends.
func (m *machine) open(name string) *sql.DB {
	m.t.Helper()
	db, err := sql.Open("sqlite", "file:"+filepath.Join(filepath.Dir(m.data), name)+"?_pragma=journal_mode(WAL)")
	must(m.t, err)
	m.t.Cleanup(func() { _ = db.Close() })
	return db
}

func (m *machine) backup(key *backup.Key) ([]byte, *backup.Manifest) {
	m.t.Helper()
	set, err := backup.Node(backup.NodeFiles{Identity: m.identity, Data: m.data, Config: m.conf},
		backup.Manifest{ID: "acme.example/a", Made: time.Unix(1_800_000_000, 0).UTC(), Version: "1"})
	must(m.t, err)
	var out bytes.Buffer
	man, err := backup.Write(m.t.Context(), &out, key, set)
	must(m.t, err)
	return out.Bytes(), man
}

func passphrase(t *testing.T, text string) *backup.Key {
	t.Helper()
	k, err := backup.Passphrase(text)
	must(t, err)
	return k
}

// keyFile makes a key, and returns both halves.
func keyFile(t *testing.T) (both, public *backup.Key) {
	t.Helper()
	text, half, err := backup.NewKey()
	must(t, err)
	path := filepath.Join(t.TempDir(), "key")
	must(t, os.WriteFile(path, []byte(text), 0o600))
	both, err = backup.KeyFile(path)
	must(t, err)
	public, err = backup.Recipients(strings.NewReader(half))
	must(t, err)
	must(t, os.Chmod(path, 0o644)) //nolint:gosec // that is what is tried
	if _, err := backup.KeyFile(path); err == nil || !strings.Contains(err.Error(), "may be read by others") {
		t.Errorf("a key that others may read: %v", err)
	}
	return both, public
}

// What was backed up while the database was open comes back elsewhere; what a node makes anew does not.
func TestThereAndBack(t *testing.T) {
	m := newMachine(t)
	key, public := keyFile(t)
	text, _ := m.backup(public)
	if bytes.Contains(text, []byte("secret")) {
		t.Error("the backup is readable")
	}
	if _, err := backup.Verify(bytes.NewReader(text), public); err == nil {
		t.Error("the public half opens a backup")
	}
	man, err := backup.Verify(bytes.NewReader(text), key)
	must(t, err)
	var names []string
	for _, f := range man.Files {
		names = append(names, f.Name)
	}
	if got, want := strings.Join(names, " "), "identity/bound/one identity/key.pem data/attestations/x data/ledger.json "+
		"config data/journal.db"; got != want {
		t.Errorf("files %s\nwant  %s", got, want)
	}
	to := t.TempDir()
	at := map[string]string{"identity": filepath.Join(to, "data", "identity"), "data": filepath.Join(to, "data"),
		"config": filepath.Join(to, "etc", "node.yaml")}
	_, err = backup.Restore(bytes.NewReader(text), key, backup.Options{At: at, Now: time.Now()})
	must(t, err)
	for path, want := range map[string]string{"data/identity/key.pem": "secret", "data/identity/bound/one": "token",
		"data/ledger.json": "{}", "etc/node.yaml": "data: data\n"} {
		if got, err := os.ReadFile(filepath.Join(to, path)); err != nil || string(got) != want {
			t.Errorf("%s: %q, %v; want %q", path, got, err, want)
		}
	}
	if info, err := os.Stat(at["config"]); err != nil || info.Mode().Perm() != 0o644 {
		t.Errorf("the mode of the configuration: %v, %v", info.Mode(), err)
	}
	db, err := sql.Open("sqlite", filepath.Join(to, "data", "journal.db"))
	must(t, err)
	defer db.Close()
	var v int
	must(t, db.QueryRow(`SELECT v FROM t`).Scan(&v))
	if v != 7 {
		t.Errorf("the database has %d, want 7", v)
	}
	if left, _ := filepath.Glob(filepath.Join(to, "*.restoring")); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestNothingIsOverwritten(t *testing.T) {
	m := newMachine(t)
	key, _ := keyFile(t)
	text, _ := m.backup(key)
	now := time.Unix(1_800_000_000, 0)
	_, err := backup.Restore(bytes.NewReader(text), key, backup.Options{Now: now})
	if err == nil || !strings.Contains(err.Error(), "is there already, and nothing is overwritten") {
		t.Fatalf("a restore over files: %v", err)
	}
	must(t, os.WriteFile(filepath.Join(m.identity, "key.pem"), []byte("newer"), 0o600))
	_, err = backup.Restore(bytes.NewReader(text), key, backup.Options{Force: true, Now: now})
	must(t, err)
	for path, want := range map[string]string{m.identity: "secret",
		m.identity + ".before-restore-20270115T080000Z": "newer"} {
		if got, _ := os.ReadFile(filepath.Join(path, "key.pem")); string(got) != want {
			t.Errorf("%s: %q, want %q", path, got, want)
		}
	}
	// An empty directory, and a configuration that says nothing, are no obstacle.
	must(t, os.RemoveAll(m.identity))
	must(t, os.RemoveAll(m.data))
	must(t, os.Mkdir(m.data, 0o700))
	must(t, os.WriteFile(m.conf, []byte("# nothing\n"), 0o600))
	empty := func(text []byte) bool { return string(text) == "# nothing\n" }
	_, err = backup.Restore(bytes.NewReader(text), key, backup.Options{Now: now, Replaceable: empty})
	must(t, err)
}

// An Envoy that runs over a data directory has its lock: not even --force moves that away.
func TestADirectoryInUse(t *testing.T) {
	m := newMachine(t)
	key, _ := keyFile(t)
	text, _ := m.backup(key)
	dir, err := os.Open(m.data)
	must(t, err)
	defer dir.Close()
	must(t, syscall.Flock(int(dir.Fd()), syscall.LOCK_EX|syscall.LOCK_NB))
	_, err = backup.Restore(bytes.NewReader(text), key, backup.Options{Force: true, Now: time.Now()})
	if err == nil || !strings.Contains(err.Error(), "is in use") {
		t.Errorf("a restore over it: %v", err)
	}
}

// A damaged, cut, foreign or newer backup is refused, and nothing of it is left on the machine.
func TestBackupsThatAreRefused(t *testing.T) {
	m := newMachine(t)
	key, _ := keyFile(t)
	text, _ := m.backup(key)
	other, _ := keyFile(t)
	damaged := bytes.Clone(text)
	damaged[len(damaged)-40] ^= 1
	for name, c := range map[string]struct {
		text []byte
		key  *backup.Key
		want string
	}{
		"another key": {text, other, "another key or passphrase"},
		"damaged":     {damaged, key, "damaged"},
		"cut":         {text[:len(text)-100], key, "damaged"},
		"no backup":   {[]byte("hello"), key, "open the backup"},
	} {
		to := t.TempDir()
		at := map[string]string{"identity": filepath.Join(to, "i"), "data": filepath.Join(to, "d"),
			"config": filepath.Join(to, "c")}
		_, err := backup.Restore(bytes.NewReader(c.text), c.key, backup.Options{At: at, Now: time.Now()})
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
		if _, err := backup.Verify(bytes.NewReader(c.text), c.key); err == nil {
			t.Errorf("%s: it is verified", name)
		}
		if left, _ := os.ReadDir(to); len(left) != 0 {
			t.Errorf("%s: left behind %v", name, left)
		}
	}
}

// A passphrase opens what it locked, with or without the line's end of its file; a short one is refused.
func TestPassphrase(t *testing.T) {
	text, _ := newMachine(t).backup(passphrase(t, "correct horse battery staple\n"))
	if m, err := backup.Verify(bytes.NewReader(text), passphrase(t, "correct horse battery staple")); err != nil ||
		m.ID != "acme.example/a" {
		t.Errorf("%v, %v", m, err)
	}
	if _, err := backup.Passphrase("short"); err == nil {
		t.Error("a short passphrase is taken")
	}
}

func TestStale(t *testing.T) {
	at := time.Unix(1_800_000_000, 0)
	m := backup.Manifest{Renews: backup.Renews(at, at.Add(time.Hour))}
	if m.Stale(at.Add(23*time.Minute)) || !m.Stale(at.Add(25*time.Minute)) {
		t.Errorf("it renews at %s", m.Renews)
	}
	if (&backup.Manifest{}).Stale(at) {
		t.Error("a bundle by hand is stale")
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
