package store

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/catalyst-router/catalyst/policy"
)

func open(t *testing.T, path string) *Store {
	t.Helper()
	s, err := Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// Versions are numbered, stay as they are, and come back after a restart; one that was changed behind our back is
// named.
func TestVersions(t *testing.T) {
	path := filepath.Join(t.TempDir(), "policy.db")
	s := open(t, path)
	if _, err := s.Current(t.Context()); !errors.Is(err, ErrNone) {
		t.Errorf("before the first: %v", err)
	}
	at := time.Unix(1_800_000_000, 5)
	for i := range 3 {
		src := policy.Source{Policies: []policy.Document{{Name: "a.cedar", Text: fmt.Sprintf("// %d", i)}}}
		v, err := s.Apply(t.Context(), src, fmt.Sprintf("h%d", i), "joe", "why not", at, nil)
		if err != nil || v.Number != i+1 {
			t.Fatalf("%+v, %v", v, err)
		}
	}
	_ = s.Close()
	s = open(t, path)
	v, err := s.Current(t.Context())
	want := Version{3, at, "joe", "why not", "h2",
		policy.Source{Policies: []policy.Document{{Name: "a.cedar", Text: "// 2"}}}}
	if diff := cmp.Diff(want, v); err != nil || diff != "" {
		t.Error(err, diff)
	}
	if v, err := s.Version(t.Context(), 1); err != nil || v.Hash != "h0" {
		t.Errorf("%+v, %v", v, err)
	}
	if v, err := s.ByHash(t.Context(), "h1"); err != nil || v.Number != 2 {
		t.Errorf("%+v, %v", v, err)
	}
	all, err := s.Versions(t.Context(), 2)
	if err != nil || len(all) != 2 || all[0].Number != 3 {
		t.Errorf("%+v, %v", all, err)
	}
	if _, err := s.db.ExecContext(t.Context(), `UPDATE versions SET by = 'nobody' WHERE number = 2`); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Versions(t.Context(), 2); err == nil {
		t.Error("a version that was changed is shown as if it had not been")
	}
}

// Decisions are kept without making anybody wait, and found by id, newest first, and from a time on.
func TestDecisions(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "policy.db"))
	begin := time.Unix(1_800_000_000, 0)
	const n = 5000
	for i := range n {
		s.Log(policy.Record{
			ID:       fmt.Sprintf("d%d", i),
			At:       begin.Add(time.Duration(i) * time.Second),
			Call:     policy.Call{Service: "books.acme.example"},
			Decision: policy.Decision{Allow: i%2 == 0},
		})
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	for end := time.Now().Add(30 * time.Second); ; {
		if r, err := s.Decision(t.Context(), fmt.Sprintf("d%d", n-1)); err == nil {
			if !r.At.Equal(begin.Add((n-1)*time.Second)) || r.Call.Service != "books.acme.example" {
				t.Errorf("got %+v", r)
			}
			break
		} else if !errors.Is(err, ErrNone) || time.Now().After(end) {
			t.Fatal(err)
		}
	}
	cancel()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	newest, err := s.Newest(t.Context(), 2, true)
	if err != nil || len(newest) != 2 || newest[0].ID != "d4999" || newest[1].ID != "d4997" {
		t.Errorf("%+v, %v", newest, err)
	}
	some := 0
	if err := s.Since(t.Context(), begin.Add(4000*time.Second),
		func([]byte) error { some++; return nil }); err != nil || some != 1000 {
		t.Errorf("%d, %v", some, err)
	}
	if _, err := s.Decision(t.Context(), "d99999"); !errors.Is(err, ErrNone) {
		t.Errorf("got %v", err)
	}
	for range queued + 7 { // nobody writes any more: what is too much is lost, and counted
		s.Log(policy.Record{ID: "x"})
	}
	if s.Lost() != 7 {
		t.Errorf("%d are lost, want 7", s.Lost())
	}
}
