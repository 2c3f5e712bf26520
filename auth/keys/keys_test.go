package keys

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

func newRing(t *testing.T, now time.Time) *Ring {
	t.Helper()
	r, err := New(now)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func ids(r *Ring, now time.Time) (all []string) {
	for _, k := range r.Public(now) {
		all = append(all, k.ID)
	}
	return all
}

// TestRotateThreeTimes follows keys through their slots, three rotations in a row.
func TestRotateThreeTimes(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	r := newRing(t, now)
	for range 3 {
		now = now.Add(Publish)
		before := r
		var gone []*Key
		var err error
		if r, gone, err = r.Rotate(now, How{Grace: time.Hour}); err != nil || len(gone) > 0 {
			t.Fatal(err, gone)
		}
		if r.Current().ID() != before.Next().ID() || r.Next().ID() == before.Next().ID() || !r.Current().Signs.Equal(now) {
			t.Fatalf("got %v after %v", r.Keys(), before.Keys())
		}
		if before.Current().Slot != Current {
			t.Fatal("the ring before was changed")
		}
		public := ids(r, now)
		for _, want := range append(ids(before, now), r.Next().ID()) {
			if !slices.Contains(public, want) {
				t.Errorf("key %s is not published", want)
			}
		}
	}
	if n := len(r.Public(now)); n != 5 {
		t.Errorf("%d keys verify, want current, next and three retired", n)
	}
	// Each retired key stops at its own time, published or not.
	if n := len(r.Public(now.Add(time.Hour - time.Second))); n != 3 {
		t.Errorf("%d keys verify just before the last grace is over, want 3", n)
	}
	if n := len(r.Public(now.Add(time.Hour))); n != 2 {
		t.Errorf("%d keys verify when it is over, want 2", n)
	}
	after, gone := r.Expire(now.Add(time.Hour))
	if len(after.Keys()) != 2 || len(gone) != 3 {
		t.Errorf("got %v, gone %v", after.Keys(), gone)
	}
}

func TestRotateImmediately(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	r := newRing(t, now)
	r, _, err := r.Rotate(now.Add(Publish), How{Grace: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	after, gone, err := r.Rotate(now.Add(Publish),
		How{Immediate: true}) // the next key is just made, and signs all the same
	if err != nil || len(gone) != 2 || len(after.Keys()) != 2 {
		t.Fatalf("got %v, gone %v, %v", after, gone, err)
	}
	for _, k := range gone {
		if slices.Contains(ids(after, now), k.ID()) {
			t.Errorf("%s verifies still", k)
		}
	}
}

func TestRotateTooEarly(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	r := newRing(t, now)
	_, _, err := r.Rotate(now.Add(Publish-time.Second), How{Grace: time.Hour})
	if early, ok := errors.AsType[*TooEarly](err); !ok || !early.Ready.Equal(now.Add(Publish)) {
		t.Errorf("got %v", err)
	}
	for _, grace := range []time.Duration{-1, MaxGrace + 1} {
		if _, _, err := r.Rotate(now.Add(Publish), How{Grace: grace}); err == nil {
			t.Errorf("grace %s: want an error", grace)
		}
	}
}

func TestKeptAndOpened(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	r := newRing(t, now)
	var opened []*Key
	for _, k := range r.Keys() {
		secret, err := k.Secret()
		if err != nil {
			t.Fatal(err)
		}
		o, err := Open(k.Slot, secret, k.Published, k.Signs, k.Until)
		if err != nil {
			t.Fatal(err)
		}
		opened = append(opened, o)
	}
	slices.Reverse(opened)
	again, err := Of(opened)
	if err != nil || fmt.Sprint(again.Keys()) != fmt.Sprint(r.Keys()) {
		t.Errorf("got %v, %v; want %v", again.Keys(), err, r.Keys())
	}
	for name, bad := range map[string][]*Key{"none": nil, "no next": opened[1:],
		"twice": append(opened[:2:2], opened[0])} {
		if _, err := Of(bad); err == nil {
			t.Errorf("%s: want an error", name)
		}
	}
	if _, err := Open("future", nil, now, now, now); err == nil {
		t.Error("a slot that is not known: want an error")
	}
}

func TestKeysDoNotPrintSecrets(t *testing.T) {
	r := newRing(t, time.Now())
	k := r.Current()
	d := k.private.D.String() //nolint:staticcheck // what must not be printed
	for _, text := range []string{fmt.Sprint(k), fmt.Sprintf("%v %+v %s", k, k, k), fmt.Sprintf("%+v", r.Keys())} {
		if strings.Contains(text, d) || !strings.Contains(text, k.ID()) {
			t.Errorf("printed %s", text)
		}
	}
}
