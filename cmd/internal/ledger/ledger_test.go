package ledger

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"path/filepath"
	"strings"
	"testing"

	"github.com/catalyst-router/catalyst/bgp"
	"github.com/catalyst-router/catalyst/xds"
)

// counting is an Envoy that has counted.
type counting struct {
	pid    int
	counts map[string]int // "NODE SERVICE"
	err    error
}

func (c *counting) get(context.Context, string) ([]byte, error) {
	var b strings.Builder
	fmt.Fprintln(&b, "# TYPE envoy_catalyst_foreign_calls counter")
	for k, n := range c.counts {
		node, svc, _ := strings.Cut(k, " ")
		fmt.Fprintf(&b, "envoy_catalyst_foreign_calls{border=%q,service=%q} %d\n", node, svc, n)
	}
	return []byte(b.String()), c.err
}

// book opens a ledger over such an Envoy.
func book(t *testing.T, path string, c *counting, may *xds.Admission) *Ledger {
	t.Helper()
	return Open(Config{
		Path: path, Get: c.get, Process: func() int { return c.pid }, Log: slog.New(slog.DiscardHandler),
		May: func() xds.Admission { return *may },
	})
}

func calls(t *testing.T, l *Ledger) map[string]uint64 {
	t.Helper()
	all := map[string]uint64{}
	for _, x := range l.View(t.Context(), "", "").Lines {
		all[x.Node.String()+" "+string(x.Service)] = x.Calls
	}
	return all
}

// What Envoy counts is counted once, over restarts of the node, with and without a last word, and of Envoy.
func TestNothingIsCountedTwice(t *testing.T) {
	const books, prices = "bravo.example/x books.acme.example", "bravo.example/x prices.acme.example"
	path := filepath.Join(t.TempDir(), "ledger.json")
	c, may := &counting{pid: 7, counts: map[string]int{books: 3}}, &xds.Admission{}
	l := book(t, path, c, may)
	want := func(b, p uint64) {
		t.Helper()
		got, want := calls(t, l), map[string]uint64{books: b, prices: p}
		maps.DeleteFunc(want, func(_ string, n uint64) bool { return n == 0 })
		if !maps.Equal(got, want) {
			t.Errorf("%v, want %v", got, want)
		}
	}
	want(3, 0)
	want(3, 0)
	l.keep()
	c.counts = map[string]int{books: 5, prices: 1}
	want(5, 1)
	l = book(t, path, c, may) // the node was killed before it could write that down
	want(5, 1)
	l.keep()
	c.pid, c.counts = 8, map[string]int{books: 5} // another Envoy, which has counted as much by chance
	want(10, 1)
	c.counts = map[string]int{books: 2} // and one under its number
	want(12, 1)
	c.pid, c.counts = 0, nil
	if v := l.View(t.Context(), "bravo.example", "books.acme.example"); v.Problem == "" || len(v.Lines) != 1 {
		t.Errorf("without an Envoy: %+v", v)
	}
	c.pid, c.err = 8, errors.New("it does not answer")
	if v := l.View(t.Context(), "", ""); v.Problem != c.err.Error() || len(v.Lines) != 2 {
		t.Errorf("without an answer: %+v", v)
	}
}

// Who may use what is known without a call, and until when that was so.
func TestWhoMay(t *testing.T) {
	x := bgp.NodeID{Org: "bravo.example", Name: "x"}
	path := filepath.Join(t.TempDir(), "ledger.json")
	may := &xds.Admission{Peers: []xds.Admitted{
		{Node: x, Services: []bgp.Service{"books.acme.example"}},
		{Node: bgp.NodeID{Org: "acme.example", Name: "b"}, Everything: true},
	}}
	c := &counting{pid: 7}
	l := book(t, path, c, may)
	line := func() Line {
		t.Helper()
		v := l.View(t.Context(), "", "")
		if len(v.Lines) != 1 || v.Lines[0].Node != x {
			t.Fatalf("%+v", v.Lines)
		}
		return v.Lines[0]
	}
	first := line()
	if !first.May || first.Since.IsZero() || !first.Until.IsZero() || first.Calls != 0 {
		t.Errorf("%+v", first)
	}
	l.keep()
	l = book(t, path, c, may)
	if again := line(); !again.Since.Equal(first.Since) {
		t.Errorf("since %s, and after a restart since %s", first.Since, again.Since)
	}
	may.Peers = nil
	if ended := line(); ended.May || ended.Until.IsZero() || !ended.Since.Equal(first.Since) {
		t.Errorf("%+v", ended)
	}
}

// A flood of services does not make it grow: what may be used no more goes first.
func TestItDoesNotGrow(t *testing.T) {
	x := bgp.NodeID{Org: "bravo.example", Name: "x"}
	may := &xds.Admission{Peers: []xds.Admitted{{Node: x, Services: []bgp.Service{"books.acme.example"}}}}
	l := book(t, filepath.Join(t.TempDir(), "ledger.json"), &counting{pid: 7}, may)
	l.look(t.Context())
	for round := range 3 {
		var flood []bgp.Service
		for i := range MaxLines - 1 {
			flood = append(flood, bgp.Service(fmt.Sprintf("s%d-%d.acme.example", round, i)))
		}
		may.Peers[0].Services = append([]bgp.Service{"books.acme.example"}, flood...)
		l.look(t.Context())
	}
	v := l.View(t.Context(), "", "books.acme.example")
	if len(l.lines) > MaxLines || v.Forgotten == 0 || len(v.Lines) != 1 || !v.Lines[0].May {
		t.Errorf("%d lines, %d forgotten, %+v", len(l.lines), v.Forgotten, v.Lines)
	}
}
