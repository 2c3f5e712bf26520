package live

import (
	"errors"
	"log/slog"
	"maps"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/catalyst-router/catalyst/graphql/supergraph"
)

// book is a memory.
type book struct {
	mu      sync.Mutex
	members map[string]string
}

func (b *book) Load() (map[string]string, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return maps.Clone(b.members), nil
}

func (b *book) Save(m map[string]string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.members = maps.Clone(m)
	return nil
}

const (
	aaa = link + `type Query { aaa: Int } type Book { isbn: ID! title: String! } type Movie { title: String! }`
	// twin and other resolve one field of one type, without being shareable.
	twin  = link + `type Query { twin: Thing } type Thing { x: Int }`
	other = link + `type Query { other: Thing } type Thing { x: Int }`
)

// TestNewcomerWithEarlierName: one that conflicts with two honest ones goes, and not they, even if its name is first
// and nobody is known.
func TestNewcomerWithEarlierName(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := start(t, Rules{StartWait: time.Second})
		f.serve("aaa", aaa)
		f.serve("books", books)
		f.serve("movies", movies)
		f.announce("movies", "aaa", "books")
		f.want("books movies", "aaa excluded", "books serving", "movies serving")
	})
}

// TestIncumbentsStayOverRestarts: of two that do not go together, the one that was in the graph before the restart
// stays, whatever the names.
func TestIncumbentsStayOverRestarts(t *testing.T) {
	memory := &book{}
	synctest.Test(t, func(t *testing.T) {
		f := startWith(t, Rules{}, memory)
		f.serve("zoo", twin)
		f.announce("zoo")
		f.want("zoo", "zoo serving")
	})
	synctest.Test(t, func(t *testing.T) {
		f := startWith(t, Rules{StartWait: time.Second}, memory)
		f.serve("zoo", twin)
		f.serve("ant", other)
		f.announce("ant", "zoo")
		f.want("zoo", "ant excluded", "zoo serving")
	})
	if _, ok := memory.members["ant"]; ok || memory.members["zoo"] != twin {
		t.Errorf("remembered %v", memory.members)
	}
	// its schema has changed while nobody looked, for the worse: it stays with the one it had
	synctest.Test(t, func(t *testing.T) {
		f := startWith(t, Rules{StartWait: time.Second}, memory)
		f.serve("zoo", twin+" type Extra { y: Nothing }")
		f.serve("ant", other)
		f.announce("ant", "zoo")
		f.want("zoo", "ant excluded", "zoo outdated")
	})
}

// TestUnreadableGraph: of what composes to a graph that cannot be read, the culprit is left out, and the others are
// served.
func TestUnreadableGraph(t *testing.T) {
	accept := func(r *supergraph.Result) error {
		if strings.Contains(r.SDL, "poison") {
			return errors.New("unknown type poison")
		}
		return nil
	}
	var all []supergraph.Subgraph
	for _, n := range []string{"a", "b", "c", "d"} {
		field := n
		if n == "b" {
			field = "poison"
		}
		all = append(all, supergraph.Subgraph{Name: n, URL: "http://" + n, SDL: "type Query { " + field + ": Int }"})
	}
	r, out := supergraph.ComposeLargest(all, []string{"a", "b"}, supergraph.Options{Accept: accept})
	if len(r.Errors) > 0 || len(out) != 1 || out["b"][0].Code != supergraph.UnreadableGraph {
		t.Errorf("errors %v, left out %v", r.Errors, out)
	}
}

// startWith is start with a memory.
func startWith(t *testing.T, rules Rules, m Memory) *fixture {
	t.Helper()
	f := &fixture{t: t, schemas: map[string]string{}, fetches: map[string]int{}, hang: map[string]bool{}}
	f.Registry = New(Config{
		Fetch:   f.fetch,
		Publish: f.publish,
		Rules:   rules,
		Memory:  m,
		Log:     slog.New(slog.DiscardHandler),
	})
	f.run()
	return f
}
