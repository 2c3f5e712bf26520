package journal

import (
	"bytes"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/catalyst-router/catalyst/bgp"
)

// contents is all that a journal gives.
type contents struct {
	Peers    []Peer
	Services []Service
	Ports    []Port
	Offers   []Offers
	Trust    map[string]json.RawMessage
}

func contentsOf(t *testing.T, j *Journal) (c contents) {
	t.Helper()
	var errs [5]error
	c.Peers, errs[0] = j.Peers(t.Context())
	c.Services, errs[1] = j.Services(t.Context())
	c.Ports, errs[2] = j.Ports(t.Context())
	c.Offers, errs[3] = j.Offers(t.Context())
	c.Trust, errs[4] = j.Trust(t.Context())
	if err := errors.Join(errs[:]...); err != nil {
		t.Fatal(err)
	}
	return c
}

// filled makes a journal with n peers, services and ports, and closes it.
func filled(t *testing.T, path string, n int) contents {
	t.Helper()
	j := open(t, path)
	for i := range n {
		svc := bgp.Service(fmt.Sprintf("s%d.acme.example", i))
		err := errors.Join(
			j.PutPeer(t.Context(), Peer{
				Node:      bgp.NodeID{Org: "acme.example", Name: fmt.Sprintf("n%d", i)},
				Addresses: []string{fmt.Sprintf("10.0.0.%d:7443", i)},
			}),
			j.PutService(t.Context(), Service{
				Name:     svc,
				Protocol: bgp.TCP,
				Address:  "127.0.0.1:80",
				Region:   strings.Repeat("x", 100),
			}),
			j.SavePorts(t.Context(), []Port{{Service: svc, Port: uint16(9000 + i)}}, nil),
			j.SaveOffers(t.Context(), []Offers{{svc, []Offerer{{Node: bgp.NodeID{Org: "acme.example", Name: "a"}}}}}),
			j.SaveTrust(t.Context(), map[string]json.RawMessage{
				fmt.Sprintf("peering/b%d.example", i): json.RawMessage(`{"org": "` + strings.Repeat("y", 100) + `"}`),
			}, nil))
		if err != nil {
			t.Fatal(err)
		}
	}
	c := contentsOf(t, j)
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	return c
}

// One flipped bit anywhere in the file: either nothing that was kept is different, or the start says what is damaged.
// Nothing that was not kept ever comes out, and no flip costs more than what a page holds.
func TestFlippedBits(t *testing.T) {
	dir := t.TempDir()
	good := filepath.Join(dir, "good.db")
	want := filled(t, good, 40)
	file, err := os.ReadFile(good)
	if err != nil {
		t.Fatal(err)
	}
	flips := 100
	if testing.Short() {
		flips = 25
	}
	chance := rand.New(rand.NewPCG(7, 7))
	var harmless, named, refused atomic.Int64
	t.Cleanup(func() { // when the flips are through
		t.Logf("%d flips: %d were in unused bytes, %d named, %d refused", flips, harmless.Load(), named.Load(),
			refused.Load())
		if named.Load() < int64(flips/5) {
			t.Errorf("only %d of %d flips were found", named.Load(), flips)
		}
	})
	for i := range flips {
		bit := chance.IntN(8 * len(file))
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			t.Parallel()
			flipped := bytes.Clone(file)
			flipped[bit/8] ^= 1 << (bit % 8)
			path := filepath.Join(dir, fmt.Sprintf("flip%d.db", i))
			if err := os.WriteFile(path, flipped, 0o600); err != nil {
				t.Fatal(err)
			}
			j, err := Open(t.Context(), path)
			if err != nil {
				refused.Add(1)
				if bit/8 > 4096 && !strings.Contains(err.Error(), "later version") {
					t.Errorf("bit %d of byte %d: the start is prevented: %v", bit%8, bit/8, err)
				}
				return
			}
			got, damage := contentsOf(t, j), j.Damage()
			checkFlip(t, want, got, damage, bit)
			if len(damage) == 0 {
				harmless.Add(1)
			} else {
				named.Add(1)
			}
			_ = j.Close()
		})
	}
}

func checkFlip(t *testing.T, want, got contents, damage []Damage, bit int) {
	t.Helper()
	diff := cmp.Diff(want, got)
	if len(damage) == 0 && diff != "" {
		t.Errorf("bit %d of byte %d went unnoticed:\n%s", bit%8, bit/8, diff)
	}
	for _, s := range got.Services {
		i := slices.IndexFunc(want.Services, func(w Service) bool { return w.Name == s.Name })
		if i < 0 || !cmp.Equal(s, want.Services[i]) {
			t.Errorf("bit %d of byte %d: a service comes out that was never kept: %+v", bit%8, bit/8, s)
		}
	}
}

// A row that was changed behind our back is set aside and named, and the others serve; the operator's word ends it.
func TestOneBadRecord(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal.db")
	want := filled(t, path, 3)
	db, err := sql.Open("sqlite", "file:"+path)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []string{
		`UPDATE peers SET spec = json_set(spec, '$.addresses[0]', '10.6.6.6:7443') WHERE node LIKE '%/n1'`,
		`UPDATE services SET spec = '{"name": 7}' WHERE name = 's2.acme.example'`,
		`DELETE FROM local_ports WHERE service = 's0.acme.example'`,
	} {
		if res, err := db.Exec(s); err != nil {
			t.Fatal(err)
		} else if n, _ := res.RowsAffected(); n != 1 {
			t.Fatalf("%s: %d rows", s, n)
		}
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	for range 2 { // every later start says it, too
		j := open(t, path)
		got := contentsOf(t, j)
		left := contents{
			[]Peer{want.Peers[0], want.Peers[2]}, want.Services[:2], want.Ports[1:], want.Offers, want.Trust,
		}
		if diff := cmp.Diff(left, got); diff != "" {
			t.Error(diff)
		}
		var words []string
		for _, d := range j.Damage() {
			words = append(words, d.String())
		}
		text := strings.Join(words, "\n")
		for _, name := range []string{"peer ", "/n1: its checksum is wrong",
			"service s2.acme.example: its checksum is wrong", "port of service: 1 are missing", path + ".bad"} {
			if !strings.Contains(text, name) {
				t.Errorf("the damage does not say %q:\n%s", name, text)
			}
		}
		if err := j.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Remove(path + ".bad"); err != nil {
		t.Fatal(err)
	}
	if j := open(t, path); len(j.Damage()) != 0 {
		t.Errorf("the damaged file is gone and the alarm is not: %v", j.Damage())
	}
}

// A journal that somebody emptied or removed is an alarm, one that the operator emptied by taking back every order is
// not.
func TestEmptiedJournal(t *testing.T) {
	for name, empty := range map[string]func(string) error{
		"removed":   os.Remove,
		"truncated": func(path string) error { return os.Truncate(path, 0) },
		"zeroed":    func(path string) error { return os.WriteFile(path, make([]byte, 8192), 0o600) },
	} {
		path := filepath.Join(t.TempDir(), "journal.db")
		filled(t, path, 1)
		if err := empty(path); err != nil {
			t.Fatal(err)
		}
		j := open(t, path)
		if len(j.Damage()) == 0 {
			t.Errorf("%s: nobody is told", name)
		}
		if err := j.Close(); err != nil {
			t.Fatal(err)
		}
	}
	path := filepath.Join(t.TempDir(), "journal.db")
	j := open(t, path)
	svc := Service{Name: "books.acme.example", Protocol: bgp.HTTP, Address: "127.0.0.1:80"}
	if err := j.PutService(t.Context(), svc); err != nil {
		t.Fatal(err)
	}
	if _, err := j.RemoveService(t.Context(), svc.Name); err != nil {
		t.Fatal(err)
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	if j := open(t, path); len(j.Damage()) != 0 {
		t.Errorf("an operator's own doing is an alarm: %v", j.Damage())
	}
}

// After a clean stop SQLite's side files are gone. A disk without a free byte must not keep the node from its next
// start.
func TestOpensOnFullDisk(t *testing.T) {
	if path := os.Getenv("JOURNAL_ON_FULL_DISK"); path != "" { // the child, which may not make any file larger
		if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: 0, Max: 0}); err != nil {
			t.Fatal(err)
		}
		j := open(t, path)
		if got := contentsOf(t, j); len(got.Services) != 5 || len(j.Damage()) != 0 {
			t.Errorf("%d services, damage %v", len(got.Services), j.Damage())
		}
		if err := j.PutService(t.Context(), Service{Name: "new.acme.example", Protocol: bgp.HTTP}); err == nil {
			t.Error("an order is taken that cannot be kept")
		}
		return
	}
	path := filepath.Join(t.TempDir(), "journal.db")
	filled(t, path, 5)
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestOpensOnFullDisk$", "-test.v")
	cmd.Env = append(os.Environ(), "JOURNAL_ON_FULL_DISK="+path)
	if out, err := cmd.CombinedOutput(); err != nil || !bytes.Contains(out, []byte("--- PASS")) {
		t.Errorf("%v\n%s", err, out)
	}
}

// Addresses and rules are for their owner's eyes; a pipe in the journal's place does not hang the start.
func TestFileIsPrivateAndAFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "journal.db")
	if err := os.WriteFile(path, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	filled(t, path, 1)
	j := open(t, path)
	if err := j.SavePorts(t.Context(), []Port{{Service: "x.acme.example", Port: 1}}, nil); err != nil {
		t.Fatal(err)
	}
	files, err := os.ReadDir(dir)
	if err != nil || len(files) < 3 {
		t.Fatalf("%v, %v", files, err)
	}
	for _, f := range files {
		if info, err := f.Info(); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", f.Name(), info.Mode(), err)
		}
	}
	pipe := filepath.Join(dir, "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), pipe); err == nil || !strings.Contains(err.Error(), "a pipe") {
		t.Errorf("got %v", err)
	}
}

// A file of the format before checksums is taken as it is, and has them afterwards.
func TestBeforeChecksums(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal.db")
	want := filled(t, path, 3)
	want.Offers, want.Trust = []Offers{}, map[string]json.RawMessage{} // that format had none
	db, err := sql.Open("sqlite", "file:"+path)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []string{`DROP TABLE totals`, `DROP TABLE damage`, `ALTER TABLE peers DROP COLUMN sum`,
		`ALTER TABLE services DROP COLUMN sum`,
		`CREATE TABLE ports (service TEXT PRIMARY KEY, port INTEGER NOT NULL UNIQUE) STRICT`,
		`INSERT INTO ports SELECT service, json_extract(spec, '$.port') FROM local_ports`, `DROP TABLE local_ports`,
		`DROP TABLE offerers`, `DROP TABLE trust`,
		`DELETE FROM goose_db_version WHERE version_id >= 3`} {
		if _, err := db.Exec(s); err != nil {
			t.Fatal(err)
		}
	}
	_ = db.Close()
	for range 2 {
		j := open(t, path)
		if diff := cmp.Diff(want, contentsOf(t, j)); diff != "" || len(j.Damage()) != 0 {
			t.Error(diff, j.Damage())
		}
		_ = j.Close()
	}
}

// A row that is gone without a trace is missed.
func TestVanishedRow(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal.db")
	filled(t, path, 3)
	db, err := sql.Open("sqlite", "file:"+path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.Exec(`DELETE FROM services WHERE name = 's1.acme.example'`); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if j := open(t, path); len(j.Damage()) == 0 {
		t.Error("nobody is told")
	}
}
