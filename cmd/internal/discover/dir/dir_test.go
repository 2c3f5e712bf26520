package dir

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/catalyst-router/catalyst/cmd/internal/discover"
)

func TestRead(t *testing.T) {
	for _, c := range []struct{ name, text, want string }{
		{"whole", "service: books\naddresses: [127.0.0.1:1, 127.0.0.1:2]\nweight: 5\nyields: true\n", ""},
		{"JSON", `{"service": "books", "address": "127.0.0.1:1"}`, ""},
		{"empty", "", "it is empty"},
		{"a comment alone", "# books\n", "it is empty"},
		{"no keys", "- books\n", "1:1: want keys"},
		{"a key that there is not", "service: books\nadresse: 127.0.0.1:1\n",
			"2:1: adresse: there is no such key; did you mean address?"},
		{"a key that is far off", "service: books\nkind: Pod\n", "2:1: kind: there is no such key"},
		{"twice", "service: books\nservice: films\n", "2:1: service: stands at 1:10 already"},
		{"a list where text is wanted", "service: [books]\n", "1:10: service: want text"},
		{"text where a number is wanted", "service: books\nweight: much\n", "2:9: weight: want a whole number"},
		{"text where a list is wanted", "service: books\ntags: {a: b}\n", "2:7: tags: want a list of text"},
		{"a word where true is wanted", "service: books\ntls: please\n", "2:6: tls: want true or false"},
		{"two documents", "service: books\n---\nservice: films\n", "a second document: want one service a file"},
		{"not YAML", "service: books\n\taddress: x\n", "line 2"},
		{"no name", "address: 127.0.0.1:1\n", "1:1: service: want the name"},
		{"a date is text", "service: books\nregion: 2026-11-30\n", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			o, err := read(c.text)
			switch {
			case c.want == "" && err != nil:
				t.Error(err)
			case c.want == "" && (o.service.Service != "books" || o.at["service"] == ""):
				t.Errorf("%+v", o)
			case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
				t.Errorf("got %v, want %s", err, c.want)
			}
		})
	}
}

// Nothing that stands in a file may harm the node.
func FuzzRead(f *testing.F) {
	f.Add("service: books\naddress: 127.0.0.1:1\n")
	f.Add("a: &a [*a]\n")
	f.Add("service: !!binary x\n--- \n")
	f.Fuzz(func(_ *testing.T, text string) { _, _ = read(text) })
}

// told is what a directory said last.
type told struct {
	set discover.Set
	err error
}

func (x told) String() string {
	if x.err != nil {
		return "away: " + x.err.Error()
	}
	var all []string
	for _, i := range x.set.Items {
		all = append(all, i.In+"="+i.Order.Service+"@"+i.Order.Address)
	}
	for _, p := range x.set.Problems {
		all = append(all, "bad "+p.In)
	}
	for _, u := range x.set.Unclear {
		all = append(all, "unclear "+u)
	}
	return strings.Join(all, " ")
}

// follow follows a directory, and returns what waits until it says what is wanted. Everything that it says on the way
// has to be allowed.
func follow(t *testing.T, path string) func(want string, allowed ...string) {
	t.Helper()
	says := make(chan told)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	src := New("dir="+path, path, slog.New(slog.DiscardHandler))
	go func() {
		done <- src.Follow(ctx, func(set discover.Set, err error) {
			select {
			case says <- told{set, err}:
			case <-ctx.Done():
			}
		})
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return func(want string, allowed ...string) {
		t.Helper()
		last := ""
		for {
			select {
			case x := <-says:
				if last = x.String(); last == want || strings.Contains(last, want) && strings.HasPrefix(want, "away") {
					return
				}
				ok := false
				for _, a := range allowed {
					ok = ok || a == last
				}
				if !ok {
					t.Fatalf("it says %q, want %q, or %q on the way", last, want, allowed)
				}
			case <-time.After(20 * time.Second):
				t.Fatalf("it says %q at last, want %q", last, want)
			}
		}
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// Files come, change in every way in which editors and tools write them, are half written for a while, break, and go.
func TestFollow(t *testing.T) {
	dir := t.TempDir()
	books, films := filepath.Join(dir, "books.yaml"), filepath.Join(dir, "films.yml")
	write(t, books, "service: books\naddress: 127.0.0.1:1\n")
	write(t, filepath.Join(dir, ".films.yml.swp"), "nothing")
	write(t, filepath.Join(dir, "README"), "nothing")
	old := time.Now().Add(-time.Hour)
	if err := os.Chtimes(books, old, old); err != nil {
		t.Fatal(err)
	}
	says := follow(t, dir)
	const one = "books.yaml=books@127.0.0.1:1"
	says(one) // at once: nobody is writing it

	write(t, films, "service: films\naddress: 127.0.0.1:2\n")
	const two = one + " films.yml=films@127.0.0.1:2"
	says(two, one, one+" unclear films.yml")

	// Half of a file, then the rest: what stood there before stays until the file has settled.
	write(t, films, "service: films\naddress: 127.0.0.1:")
	says(two)
	write(t, films, "service: films\naddress: 127.0.0.1:3\n")
	const three = one + " films.yml=films@127.0.0.1:3"
	says(three, two)

	// Replaced by a rename, as editors and configuration management do it.
	write(t, films+".new", "service: films\naddress: 127.0.0.1:4\n")
	if err := os.Rename(films+".new", films); err != nil {
		t.Fatal(err)
	}
	const four = one + " films.yml=films@127.0.0.1:4"
	says(four, three)

	// A mistake: the others go on, and so does what it said before, since nobody says otherwise.
	write(t, films, "service: films\nadresse: 127.0.0.1:5\n")
	says(one+" bad films.yml unclear films.yml", four)
	write(t, films, "service: films\naddress: 127.0.0.1:5\n")
	const five = one + " films.yml=films@127.0.0.1:5"
	says(five, one+" bad films.yml unclear films.yml")

	// A pipe in the place of a file is named and not waited for.
	if err := os.Remove(films); err != nil {
		t.Fatal(err)
	}
	says(one, five)
	if err := syscall.Mkfifo(films, 0o600); err != nil {
		t.Fatal(err)
	}
	says(one+" bad films.yml unclear films.yml", one)
	if err := os.Remove(films); err != nil {
		t.Fatal(err)
	}
	says(one, one+" bad films.yml unclear films.yml")
}

// A directory that is not there, or that everybody may write, finds nothing; it is seen when that changes.
func TestADirectoryThatIsAway(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "services.d")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o777); err != nil { //nolint:gosec // that is what is tried
		t.Fatal(err)
	}
	says := follow(t, dir)
	says("away: " + dir + ": everybody may write there")
	if err := os.Chmod(dir, 0o755); err != nil { //nolint:gosec // as above
		t.Fatal(err)
	}
	says("")
	if err := os.Remove(dir); err != nil {
		t.Fatal(err)
	}
	says("away: stat "+dir, "")
}

// Many files are read once each, not at every change.
func TestManyFiles(t *testing.T) {
	dir := t.TempDir()
	for i := range 1000 {
		write(t, filepath.Join(dir, fmt.Sprintf("s%d.yaml", i)), fmt.Sprintf("service: s%d\naddress: 127.0.0.1:1\n", i))
	}
	src := New("dir="+dir, dir, slog.New(slog.DiscardHandler))
	now := time.Now()
	if _, _, err := src.scan(now); err != nil {
		t.Fatal(err)
	}
	now = now.Add(settle)
	set, next, err := src.scan(now)
	if err != nil || len(set.Items) != 1000 || next != rescan {
		t.Fatalf("%d of 1000, next after %s, %v", len(set.Items), next, err)
	}
	for _, f := range src.seen {
		f.item.Order.Region = "read" // a file that is read again would lose it
	}
	if set, _, err = src.scan(now.Add(time.Hour)); err != nil || set.Items[999].Order.Region != "read" {
		t.Errorf("unchanged files are read again: %v", err)
	}
}
