package discover

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.opentelemetry.io/otel/metric/noop"

	"github.com/catalyst-router/catalyst/bgp"
	"github.com/catalyst-router/catalyst/bgp/journal"
	"github.com/catalyst-router/catalyst/graphql/operator"
)

// node keeps services as a node does, and counts what it is told.
type node struct {
	mu       sync.Mutex
	services []journal.Service
	put      int
	fail     error
}

func (n *node) Order(in operator.ServiceInput) (journal.Service, error) {
	if in.Address == "" {
		return journal.Service{}, errors.New("address: want HOST:PORT, where the workload listens")
	}
	return journal.Service{Name: bgp.Service(in.Service), Address: in.Address}, nil
}

func (n *node) Reconcile(_ context.Context, plan func([]journal.Service) (put, remove []journal.Service)) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	put, remove := plan(slices.Clone(n.services))
	if n.fail != nil {
		return n.fail
	}
	n.put += len(put)
	for _, s := range append(slices.Clone(remove), put...) {
		n.services = slices.DeleteFunc(n.services, func(x journal.Service) bool { return x.Name == s.Name })
	}
	n.services = append(n.services, put...)
	return nil
}

func (n *node) offers() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	var all []string
	for _, s := range n.services {
		all = append(all, string(s.Name))
	}
	slices.Sort(all)
	return strings.Join(all, " ")
}

// source says what a test has it say.
type source struct {
	name string
	said chan func(tell func(Set, error))
}

func (s *source) Name() string { return s.name }

func (s *source) Follow(ctx context.Context, tell func(Set, error)) error {
	for {
		select {
		case say := <-s.said:
			say(tell)
		case <-ctx.Done():
			return nil
		}
	}
}

func (s *source) finds(names ...string) {
	var set Set
	for _, n := range names {
		set.Items = append(set.Items, Item{In: n, Order: operator.ServiceInput{Service: n, Address: "127.0.0.1:1"}})
	}
	s.said <- func(tell func(Set, error)) { tell(set, nil) }
}

func (s *source) goes(err error) { s.said <- func(tell func(Set, error)) { tell(Set{}, err) } }

// start runs a room of one source over a node, in a bubble of synctest.
func start(t *testing.T, n *node) (*Room, *source) {
	t.Helper()
	src := &source{"docker", make(chan func(func(Set, error)))}
	r, err := New(Config{
		Sources: []Source{src}, Hold: time.Minute, Log: slog.New(slog.DiscardHandler), Meter: noop.Meter{},
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- r.Run(ctx, n) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	synctest.Wait()
	return r, src
}

func wants(t *testing.T, n *node, want string) {
	t.Helper()
	synctest.Wait()
	if got := n.offers(); got != want {
		t.Fatalf("offered %q, want %q", got, want)
	}
}

// A restart announces nothing twice, a source that is away takes nothing until its time is over, and one that comes
// back is believed at once.
func TestASourceThatIsAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		kept := journal.Service{Name: "a", Address: "127.0.0.1:1", Found: &journal.Found{By: "docker", In: "a"}}
		n := &node{services: []journal.Service{kept}}
		r, src := start(t, n)
		wants(t, n, "a") // the source has said nothing yet
		src.finds("a")
		wants(t, n, "a")
		if n.put != 0 {
			t.Errorf("what was offered before the restart is announced %d more times", n.put)
		}
		src.finds("a", "b")
		wants(t, n, "a b")
		src.goes(errors.New("connection refused"))
		time.Sleep(59 * time.Second)
		wants(t, n, "a b")
		if w := r.Warnings(); len(w) != 1 || !strings.Contains(w[0], "connection refused") {
			t.Errorf("warnings: %q", w)
		}
		src.goes(errors.New("connection refused")) // still: the time does not begin again
		time.Sleep(2 * time.Second)
		wants(t, n, "")
		src.finds("b")
		wants(t, n, "b")
		if w := r.Warnings(); len(w) != 0 {
			t.Errorf("warnings: %q", w)
		}
	})
}

// One that never comes after a start loses what it had as well.
func TestASourceThatNeverComes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &node{services: []journal.Service{{Name: "a", Found: &journal.Found{By: "docker", In: "a"}}, {Name: "own"}}}
		start(t, n)
		time.Sleep(59 * time.Second)
		wants(t, n, "a own")
		time.Sleep(2 * time.Second)
		wants(t, n, "own")
	})
}

// What an operator orders is his: discovery says so, and takes the name back when he gives it up.
func TestAnOperatorsOrderComesFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &node{services: []journal.Service{{Name: "a", Address: "operator:1"}}}
		r, src := start(t, n)
		src.finds("a", "b")
		wants(t, n, "a b")
		if n.services[0].Address != "operator:1" {
			t.Error("the operator's order was changed")
		}
		st := r.Status()[0]
		if len(st.Conflicts) != 1 || st.Conflicts[0].Service != "a" || st.Services != 1 {
			t.Errorf("%+v", st)
		}
		n.mu.Lock()
		n.services = n.services[1:]
		n.mu.Unlock()
		r.Wake()
		wants(t, n, "a b")
		if st := r.Status()[0]; len(st.Conflicts) != 0 || st.Services != 2 {
			t.Errorf("%+v", st)
		}
	})
}

// What is refused is named with its place, harms nothing else, and leaves what was offered before.
func TestWhatIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &node{}
		r, src := start(t, n)
		src.finds("a", "b")
		wants(t, n, "a b")
		src.said <- func(tell func(Set, error)) {
			tell(Set{Items: []Item{
				{In: "a", Order: operator.ServiceInput{Service: "a"}, At: map[string]string{"address": "2:10"}},
				{In: "c", Order: operator.ServiceInput{Service: "c", Address: "127.0.0.1:1"}},
			}}, nil)
		}
		wants(t, n, "a c")
		want := []Problem{{In: "a", Why: "2:10: address: want HOST:PORT, where the workload listens"}}
		if got := r.Status()[0].Problems; !slices.Equal(got, want) {
			t.Errorf("problems %+v, want %+v", got, want)
		}
	})
}

// A node that cannot do what it is asked is asked again.
func TestFailuresAreTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &node{fail: fmt.Errorf("the disk is full")}
		_, src := start(t, n)
		src.finds("a")
		wants(t, n, "")
		n.mu.Lock()
		n.fail = nil
		n.mu.Unlock()
		time.Sleep(againAfterFailure)
		wants(t, n, "a")
	})
}
