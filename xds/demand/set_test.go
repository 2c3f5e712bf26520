package demand_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/catalyst-router/catalyst/bgp"
	"github.com/catalyst-router/catalyst/xds/demand"
)

const books = bgp.Service("books.acme.example")

var noon = time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)

func newSet(most int) *demand.Set { return demand.New(demand.Config{Idle: time.Hour, Most: most}) }

func TestAUseIsWatchedAndThenForgotten(t *testing.T) {
	s := newSet(10)
	if c := s.Use("", books, noon); !slices.Contains(c.Compile, books) || !slices.Contains(c.Gained[""], books) {
		t.Errorf("first use: %+v, want books compiled and gained", c)
	}
	if c := s.Use("", books, noon); !c.Empty() {
		t.Errorf("second use: %+v, want nothing", c)
	}
	if c := s.Advance(noon.Add(59 * time.Minute)); !c.Empty() || s.Watched(books) {
		t.Errorf("before the first span is over: %+v", c)
	}
	if c := s.Advance(noon.Add(time.Hour)); !slices.Contains(c.Compile, books) || !s.Watched(books) || len(c.Lost) > 0 {
		t.Errorf("after the first span: %+v, want books watched", c)
	}
	if c := s.Advance(noon.Add(119 * time.Minute)); !c.Empty() {
		t.Errorf("within the second span: %+v", c)
	}
	c := s.Advance(noon.Add(2 * time.Hour))
	if !slices.Contains(c.Lost[""], books) || !slices.Contains(c.Compile, books) {
		t.Errorf("after the second span: %+v, want books lost", c)
	}
	if s.Used(books) || s.Watched(books) || s.Uses("", books) || s.Len() != 0 || len(s.Seats()) != 0 {
		t.Error("something of books is left")
	}
}

func TestACallWhileWatchedBeginsAnew(t *testing.T) {
	s := newSet(10)
	s.Use("", books, noon)
	s.Advance(noon.Add(time.Hour))
	if c := s.Use("", books, noon.Add(90*time.Minute)); !slices.Contains(c.Compile, books) || s.Watched(books) {
		t.Errorf("a call while watched: %+v, want it watched no more", c)
	}
	if c := s.Advance(noon.Add(2 * time.Hour)); !c.Empty() || !s.Used(books) {
		t.Errorf("within the new span: %+v", c)
	}
}

func TestEachSeatHasItsOwn(t *testing.T) {
	s := newSet(10)
	s.Use("a", books, noon)
	if c := s.Use("b", books, noon.Add(30*time.Minute)); len(c.Compile) > 0 || !slices.Contains(c.Gained["b"], books) {
		t.Errorf("a second seat: %+v, want it gained there and nothing compiled", c)
	}
	if s.Uses("c", books) {
		t.Error("a seat that asked for nothing uses books")
	}
	s.Advance(noon.Add(time.Hour)) // watched for a
	c := s.Advance(noon.Add(2 * time.Hour))
	if !slices.Contains(c.Lost["a"], books) || len(c.Lost["b"]) > 0 || !s.Used(books) {
		t.Errorf("a is over: %+v, want it lost there alone", c)
	}
}

func TestOneMoreThanTheMostForgetsTheOldest(t *testing.T) {
	s := newSet(3)
	for n := range 4 {
		c := s.Use("", bgp.Service(fmt.Sprintf("s%d.acme.example", n)), noon.Add(time.Duration(n)*time.Minute))
		if lost := c.Lost[""]; (n == 3) != slices.Equal(lost, []bgp.Service{"s0.acme.example"}) {
			t.Errorf("use %d loses %v", n, lost)
		}
	}
	if s.Len() != 3 {
		t.Errorf("%d in use, want 3", s.Len())
	}
}

func TestWhatIsHeldStays(t *testing.T) {
	s := newSet(2)
	s.Use("", books, noon)
	s.Hold("", books)
	for _, svc := range []bgp.Service{"s1.acme.example", "s2.acme.example"} {
		s.Use("", svc, noon.Add(time.Minute))
	}
	if !s.Uses("", books) || s.Len() != 2 {
		t.Errorf("%v in use, want books and one more", s.Services())
	}
	s.Advance(noon.Add(2 * time.Hour))
	s.Advance(noon.Add(4 * time.Hour))
	if !s.Uses("", books) || s.Watched(books) || s.Len() != 1 {
		t.Errorf("%v in use, want books, not watched", s.Services())
	}
	if c := s.Forget("", books); len(c.Lost[""]) != 1 || s.Len() != 0 {
		t.Errorf("an operator's word: %+v", c)
	}
}

// Whatever happens in whatever order, counts and uses agree, and what is told is what changed.
func TestChangesAreTheDifference(t *testing.T) {
	for seed := range uint64(50) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		s, now := newSet(5), noon
		state := map[string]bool{}
		for range 300 {
			now = now.Add(time.Duration(rnd.IntN(20)) * time.Minute)
			seat, svc := fmt.Sprint(rnd.IntN(3)), bgp.Service(fmt.Sprintf("s%d.acme.example", rnd.IntN(9)))
			var c demand.Change
			switch rnd.IntN(5) {
			case 0:
				c = s.Advance(now)
			case 1:
				c = s.Forget(seat, svc)
			default:
				c = s.Use(seat, svc, now)
			}
			for at, all := range c.Lost {
				for _, x := range all {
					delete(state, at+string(x))
				}
			}
			for at, all := range c.Gained {
				for _, x := range all {
					state[at+string(x)] = true
				}
			}
			n := 0
			s.Each(func(at string, x bgp.Service, last time.Time, _ bool) {
				if n++; !state[at+string(x)] || last.After(now) || !s.Used(x) || !s.Uses(at, x) {
					t.Fatalf("seed %d: %s uses %s, which was not told", seed, at, x)
				}
			})
			if n != len(state) {
				t.Fatalf("seed %d: %d uses, told of %d", seed, n, len(state))
			}
			for at, count := range s.Seats() {
				if count > 5 {
					t.Fatalf("seed %d: seat %s uses %d", seed, at, count)
				}
			}
		}
	}
}
