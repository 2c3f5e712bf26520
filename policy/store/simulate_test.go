package store

import (
	"errors"
	"flag"
	"fmt"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/catalyst-router/catalyst/policy"
)

var million = flag.Int("records", 20_000, "records that are decided anew: of a million, 60 s of both cores at most")

const (
	callers  = 1000
	services = 100
)

// granted is a set of a grant a caller and service, without those that leave says.
func granted(t *testing.T, leave func(caller int) bool) *policy.Snapshot {
	t.Helper()
	var text strings.Builder
	for i := range callers {
		if !leave(i) {
			fmt.Fprintf(&text, "@id(\"g%d\") permit (principal == CATALYST::USER::\"u%d\", "+
				"action == CATALYST::Action::\"REQUEST\", "+
				"resource == CATALYST::Service::%q) when { context.method == \"GET\" };\n", i, i, called(i))
		}
	}
	s, err := policy.Compile(policy.Source{Policies: []policy.Document{{Name: "grants.cedar", Text: text.String()}}})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func called(caller int) string { return fmt.Sprintf("s%d.acme.example", caller%services) }

// A candidate over all that a store keeps: it says exactly who would lose what, and a million decisions take a minute
// at the most. The bound is of time of the processor, so that others' work on the machine does not count.
func TestSimulationOfAllThatIsKept(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "policy.db"))
	live, candidate := granted(t, func(int) bool { return false }), granted(t, func(i int) bool { return i%100 == 7 })
	const different = 5000
	var records []policy.Record
	for i := range different {
		c := policy.Call{
			Peer: "spiffe://acme.example/node/edge", Service: called(i % callers), Organisation: "acme.example", Method: "GET",
			Path: fmt.Sprintf("/books/%d", i), Host: called(i % callers),
			Bearer: &policy.Bearer{Principal: "USER", Subject: fmt.Sprintf("u%d", i%callers), Organisation: "acme.example"},
		}
		r := policy.Record{ID: fmt.Sprintf("d%d", i), At: time.Now(), Call: c}
		r.Decision = live.Replay(r)
		records = append(records, r)
	}
	if err := s.insert(t.Context(), records); err != nil {
		t.Fatal(err)
	}
	// The others are copies, which the database makes by itself.
	if _, err := s.db.ExecContext(t.Context(), `WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?)
		INSERT INTO decisions (id, at, allow, record) SELECT id || '-' || i, at, allow, record FROM n, decisions`,
		*million/different-1); err != nil {
		t.Fatal(err)
	}
	began, before := time.Now(), processor(t)
	sim := policy.NewSimulator(candidate, runtime.GOMAXPROCS(0))
	err := s.Since(t.Context(), began.Add(-time.Hour), func(text []byte) error { sim.Add(text); return nil })
	out := sim.Result()
	took, spent := time.Since(began), processor(t)-before
	t.Logf("%d decisions anew in %s, %s of the processors", out.Replayed, took.Round(time.Millisecond), spent)
	if err != nil || out.Replayed != *million || out.NotReplayable != 0 {
		t.Errorf("%d decided, %d not, %v; want %d", out.Replayed, out.NotReplayable, err, *million)
	}
	most := 2 * time.Minute * time.Duration(*million) / 1_000_000
	if *million < 1_000_000 {
		most *= 5 // of a few it is to show what is off by far, under the race detector as well
	}
	if spent > most {
		t.Errorf("%s of the processors, want at most %s", spent, most)
	}
	losers := map[string]bool{}
	for _, c := range out.Changes {
		if !c.Loses || c.Calls != *million/callers {
			t.Errorf("%+v", c)
		}
		losers[c.Principal+" "+c.Service] = true
	}
	for i := range callers {
		who := fmt.Sprintf("USER::%q %s", fmt.Sprintf("u%d", i), called(i))
		observed := !candidate.Replay(records[i]).Allow // as it is after the commit
		if observed != losers[who] {
			t.Errorf("%s loses: predicted %v, observed %v", who, losers[who], observed)
		}
	}
}

// processor is how long this process has kept processors busy.
func processor(t *testing.T) time.Duration {
	t.Helper()
	var u syscall.Rusage
	if err := errors.Join(syscall.Getrusage(syscall.RUSAGE_SELF, &u)); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
