package fib

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/catalyst-router/catalyst/bgp"
	"github.com/catalyst-router/catalyst/bgp/datafile"
	"github.com/catalyst-router/catalyst/bgp/logfile"
	"github.com/catalyst-router/catalyst/xds"
)

func cluster(name, version string, needs ...string) *xds.Resource {
	return &xds.Resource{
		Type:    xds.TypeCluster,
		Name:    name,
		Version: version,
		Service: "books.acme.example",
		Needs:   needs,
		Body:    []byte(name + version),
	}
}

func ref(r *xds.Resource) xds.Ref { return xds.Ref{Type: r.Type, Name: r.Name} }

// world is what a store is to keep, as the ADS server would hold it.
type world struct {
	mu sync.Mutex
	m  map[xds.Ref]*xds.Resource
	s  *Store
}

func (w *world) all() []*xds.Resource {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Collect(maps.Values(w.m))
}

func (w *world) set(r *xds.Resource) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.m[ref(r)] = r
	w.s.Set(r)
}

func (w *world) remove(r xds.Ref) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.m, r)
	w.s.Remove(r)
}

func open(path string, log *bytes.Buffer) *world {
	w := &world{m: map[xds.Ref]*xds.Resource{}}
	w.s = New(Config{Path: path, Log: slog.New(slog.NewTextHandler(log, nil)), All: w.all})
	return w
}

// run runs a store while do does something, and returns when everything is written.
func (w *world) run(do func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- w.s.Run(ctx) }()
	do()
	cancel()
	<-done
}

func mustLoad(t testing.TB, path string) []xds.Resource {
	t.Helper()
	got, err := Load(path)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func names(all []xds.Resource) string {
	var out []string
	for _, r := range all {
		out = append(out, r.Name+"@"+r.Version)
	}
	return strings.Join(out, " ")
}

// What is set comes back with all that is said of it, in the order in which it has to be sent; secrets and what is
// the node's own are not written at all.
func TestWhatIsKeptComesBack(t *testing.T) {
	path, log := filepath.Join(t.TempDir(), "fib"), new(bytes.Buffer)
	w := open(path, log)
	w.run(func() {
		w.set(&xds.Resource{Type: xds.TypeListener, Name: "tcp-egress/x", Version: "1", Service: "x", Body: []byte("l")})
		w.set(cluster("http/x", "2", "hops/1", "local/x"))
		w.set(cluster("hops/1", "1"))
		w.set(&xds.Resource{Type: xds.TypeSecret, Name: "node", Version: "1", Service: "x", Body: []byte("PRIVATE KEY")})
		w.set(&xds.Resource{Type: xds.TypeListener, Name: "mesh-ingress", Version: "1", Body: []byte("own")})
		w.set(cluster("gone", "1"))
		w.remove(ref(cluster("gone", "")))
	})
	got := mustLoad(t, path)
	if want := "hops/1@1 http/x@2 tcp-egress/x@1"; names(got) != want {
		t.Errorf("got %s, want %s", names(got), want)
	}
	if r := got[1]; r.Service != "books.acme.example" || string(r.Body) != "http/x2" ||
		!slices.Equal(r.Needs, []string{"hops/1", "local/x"}) {
		t.Errorf("got %+v", r)
	}
	raw, _ := os.ReadFile(path)
	if bytes.Contains(raw, []byte("PRIVATE KEY")) || bytes.Contains(raw, []byte("mesh-ingress")) {
		t.Error("the file has what must not be kept")
	}
	if info, _ := os.Stat(path); info.Mode().Perm() != 0o600 {
		t.Errorf("the file's mode is %o", info.Mode().Perm())
	}
	if log.Len() > 0 {
		t.Error(log)
	}
}

// A process that is told nothing leaves what the one before it kept.
func TestAnIdleProcessKeepsTheFile(t *testing.T) {
	path, log := filepath.Join(t.TempDir(), "fib"), new(bytes.Buffer)
	w := open(path, log)
	w.run(func() { w.set(cluster("a", "1")) })
	idle := open(path, log)
	idle.run(func() {})
	if got := names(mustLoad(t, path)); got != "a@1" {
		t.Errorf("got %q", got)
	}
	w = open(path, log)
	w.run(func() { w.set(cluster("a", "1")); w.remove(ref(cluster("a", ""))) })
	if got := names(mustLoad(t, path)); got != "" {
		t.Errorf("got %q after its removal", got)
	}
}

// Whatever byte a file ends with, it gives one of the states that were written, and never a mixture.
func TestAFileThatIsCutOffGivesAnEarlierState(t *testing.T) {
	path, log := filepath.Join(t.TempDir(), "fib"), new(bytes.Buffer)
	w := open(path, log)
	good := map[string]bool{"": true}
	for i := range 6 {
		a, b := cluster("a", fmt.Sprint(i)), cluster("b", fmt.Sprint(i))
		w.m[ref(a)], w.m[ref(b)] = a, b
		w.s.pending = map[xds.Ref]*xds.Resource{ref(a): a, ref(b): b}
		if err := w.s.write(); err != nil {
			t.Fatal(err)
		}
		good[fmt.Sprintf("a@%d b@%d", i, i)] = true
	}
	w.s.close()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for n := len(magic); n <= len(raw); n++ {
		all, err := read(bytes.NewReader(raw[:n]))
		if err != nil {
			t.Fatalf("%d of %d bytes: %v", n, len(raw), err)
		}
		got := sorted(all)
		if !good[got] {
			t.Fatalf("%d of %d bytes give %q", n, len(raw), got)
		}
		seen[got] = true
	}
	if len(seen) != len(good) {
		t.Errorf("seen %v", seen)
	}
}

func sorted(all []*xds.Resource) string {
	list := inOrder(all)
	slices.SortFunc(list, func(a, b xds.Resource) int {
		return cmp.Or(strings.Compare(a.Type, b.Type), strings.Compare(a.Name, b.Name))
	})
	return names(list)
}

// A file that is damaged, of another format, or something else altogether is put aside with a reason.
func TestABadFileIsPutAside(t *testing.T) {
	dir, log := t.TempDir(), new(bytes.Buffer)
	whole := filepath.Join(dir, "whole")
	w := open(whole, log)
	w.run(func() { w.set(cluster("a", "1")); w.set(cluster("b", "1")) })
	raw, err := os.ReadFile(whole)
	if err != nil {
		t.Fatal(err)
	}
	flipped := slices.Clone(raw)
	flipped[len(magic)+5] ^= 1
	record := func(body ...byte) []byte { return logfile.Append([]byte(magic), body) }
	for name, tt := range map[string]struct {
		raw  []byte
		want string
	}{
		"a flipped bit": {flipped, "record 1: record with a wrong checksum"},
		"another format": {append([]byte("catalyst-fib 0\n"), raw[len(magic):]...),
			"is no forwarding state of this version"},
		"nothing":             {nil, "is no forwarding state of this version"},
		"an unknown kind":     {record('X'), `kind 'X' is not known`},
		"a secret":            {record('S', 9, 1, 'x'), "resource type 9 is not known"},
		"a huge record":       {append([]byte(magic), 0xff, 0xff, 0xff, 0xff, 0x0f), "want 1 to 1048576"},
		"a short record":      {record('S', 1, 9, 'x'), "shorter than what it is for"},
		"too many needs":      {record('S', 1, 1, 'x', 1, 'v', 0, 0xff, 0xff, 3), "shorter than what it is for"},
		"a record of nothing": {append([]byte(magic), 0), "want 1 to 1048576"},
	} {
		path := filepath.Join(dir, "bad")
		if err := os.WriteFile(path, tt.raw, 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := Load(path)
		if err == nil || !strings.Contains(err.Error(), tt.want) || len(got) > 0 {
			t.Errorf("%s: got %v, %v; want %q", name, got, err, tt.want)
		}
		aside, err := os.ReadFile(path + ".bad")
		if _, gone := os.Stat(path); err != nil || !bytes.Equal(aside, tt.raw) || !errors.Is(gone, os.ErrNotExist) {
			t.Errorf("%s: not put aside: %v, %v", name, err, gone)
		}
	}
	if got, err := Load(filepath.Join(dir, "none")); err != nil || got != nil {
		t.Errorf("no file: %v, %v", got, err)
	}
}

// However often things change, the file stays within a constant of what it holds, and whatever was written together
// is read.
func TestAgainstAMap(t *testing.T) {
	dir := t.TempDir()
	rapid.Check(t, func(rt *rapid.T) {
		path, log := filepath.Join(dir, "fib"), new(bytes.Buffer)
		_ = os.Remove(path)
		w := open(path, log)
		for range rapid.IntRange(1, 30).Draw(rt, "groups") {
			for range rapid.IntRange(0, 5).Draw(rt, "changes") {
				r := cluster(rapid.StringMatching("[a-d]").Draw(rt, "name"), rapid.StringMatching("[0-9]{1,3}").Draw(rt, "version"))
				if rapid.Bool().Draw(rt, "remove") {
					w.remove(ref(r))
				} else {
					w.set(r)
				}
			}
			if err := w.s.write(); err != nil {
				rt.Fatal(err)
			}
			if rapid.IntRange(0, 9).Draw(rt, "compact") == 0 {
				w.s.top = 0
			}
			all := mustLoad(t, path)
			var got []*xds.Resource
			for i := range all {
				got = append(got, &all[i])
			}
			if want := sorted(slices.Collect(maps.Values(w.m))); sorted(got) != want {
				rt.Fatalf("got %s, want %s", sorted(got), want)
			}
		}
		w.s.close()
	})
}

func TestTheFileIsBounded(t *testing.T) {
	path, log := filepath.Join(t.TempDir(), "fib"), new(bytes.Buffer)
	w := open(path, log)
	big := cluster("a", "0")
	big.Body = bytes.Repeat([]byte("x"), 100_000)
	for range 200 {
		w.set(big)
		if err := w.s.write(); err != nil {
			t.Fatal(err)
		}
	}
	w.s.close()
	if info, _ := os.Stat(path); info.Size() > 2*slack {
		t.Errorf("%d bytes for a state of 100,000", info.Size())
	}
}

// A disk that does not take it is reported, and the node goes on; once it does, everything is there.
func TestADiskThatFails(t *testing.T) {
	dir, log := filepath.Join(t.TempDir(), "none"), new(bytes.Buffer)
	path := filepath.Join(dir, "fib")
	w := open(path, log)
	w.set(cluster("a", "1"))
	if err := w.s.write(); err == nil {
		t.Fatal("written into a directory that does not exist")
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	w.set(cluster("b", "1"))
	if err := w.s.write(); err != nil {
		t.Fatal(err)
	}
	w.s.close()
	got := strings.Fields(names(mustLoad(t, path)))
	if slices.Sort(got); !slices.Equal(got, []string{"a@1", "b@1"}) { // those of one type come in any order
		t.Errorf("got %q", got)
	}
}

func FuzzRead(f *testing.F) {
	var buf bytes.Buffer
	buf.WriteString(magic)
	b := logfile.Append(buf.Bytes(), setBody(nil, cluster("http/x", "1", "hops/1")))
	b = logfile.Append(b, removeBody(nil, xds.Ref{Type: xds.TypeListener, Name: "l"}))
	f.Add(logfile.Append(b, []byte{recordCommit}))
	f.Add([]byte(magic))
	f.Add([]byte("catalyst-fib 9\n"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		all, err := read(bytes.NewReader(raw))
		if err != nil {
			return
		}
		// What is read is written and read again as it was.
		out := []byte(magic)
		all = slices.DeleteFunc(all, func(r *xds.Resource) bool { return r == nil || r.Name == "" })
		for _, r := range all {
			out = logfile.Append(out, setBody(nil, r))
		}
		again, err := read(bytes.NewReader(logfile.Append(out, []byte{recordCommit})))
		if err != nil {
			t.Fatal(err)
		}
		for k, r := range again {
			if !bytes.Equal(all[k].Body, r.Body) || all[k].Version != r.Version {
				t.Fatalf("%v: got %+v, want %+v", k, r, all[k])
			}
		}
	})
}

// One change to a table of 10,000, and how often the disk is asked when changes come faster than it is.
func BenchmarkChange(b *testing.B) {
	log := new(bytes.Buffer)
	w := open(filepath.Join(b.TempDir(), "fib"), log)
	for i := range 10_000 {
		r := cluster(fmt.Sprintf("http/s%d", i), "1")
		r.Service = bgp.Service(fmt.Sprintf("s%d.acme.example", i))
		w.m[ref(r)] = r
	}
	w.s.Set(cluster("http/s1", "1"))
	if err := w.s.write(); err != nil {
		b.Fatal(err)
	}
	began := time.Now()
	w.run(func() {
		for i := 0; b.Loop(); i++ {
			w.set(cluster(fmt.Sprintf("http/s%d", i%10_000), fmt.Sprint(i)))
		}
	})
	b.ReportMetric(float64(time.Since(began).Nanoseconds())/float64(b.N), "ns/change-on-disk")
}

// Whatever lies in the place of the file, or of the one that is to replace it, no start waits for it.
func TestAPipeInTheFilesPlace(t *testing.T) {
	path := filepath.Join(t.TempDir(), "fib")
	for _, p := range []string{path, path + ".new"} {
		if err := syscall.Mkfifo(p, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if all, err := Load(path); len(all) != 0 || !errors.Is(err, datafile.ErrNotRegular) {
		t.Errorf("got %d resources, %v", len(all), err)
	}
	if _, err := os.Lstat(path + ".bad"); err != nil {
		t.Error("the pipe is not put aside:", err)
	}
	r := cluster("c", "1")
	s := New(Config{
		Path: path,
		Log:  slog.New(slog.DiscardHandler),
		All:  func() []*xds.Resource { return []*xds.Resource{r} },
	})
	s.Set(r)
	if err := s.write(); err != nil {
		t.Fatal(err)
	}
	s.close()
	if all, err := Load(path); err != nil || len(all) != 1 {
		t.Errorf("got %d resources, %v", len(all), err)
	}
}

// crowd is many services of one next hop, as they are kept.
func crowd(tb testing.TB, services int) (path string) {
	tb.Helper()
	path = filepath.Join(tb.TempDir(), "fib")
	w := open(path, new(bytes.Buffer))
	for i := range services {
		name := fmt.Sprintf("s%06d.acme.example", i)
		w.set(&xds.Resource{
			Type: xds.TypeScope, Name: "route/" + name, Version: "0671e5d55ea9e624", Service: bgp.Service(name),
			Body: []byte("scope of " + name), Needs: []string{"hops/1", "scout/via/hops/1", "via/hops/1"},
		})
	}
	if err := w.s.write(); err != nil {
		tb.Fatal(err)
	}
	w.s.close()
	return path
}

// A node that starts reads the state of each service with a few allocations: what services share is read once.
func TestReadingCostsLittle(t *testing.T) {
	const services = 5_000
	path := crowd(t, services)
	got := testing.AllocsPerRun(3, func() { mustLoad(t, path) })
	if most := 4.1 * services; got > most { // the record, the resource, its name and its version
		t.Errorf("%.0f allocations for %d resources, want at most %.0f", got, services, most)
	}
}

func BenchmarkLoad(b *testing.B) {
	path := crowd(b, 50_000)
	b.ReportAllocs()
	for b.Loop() {
		mustLoad(b, path)
	}
}
