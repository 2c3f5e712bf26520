// Package books is an example subgraph: a library. It owns Book and Author.
package books

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"sync"

	"github.com/catalyst-router/catalyst/e2e/examples/subgraph"
)

// Handler serves a library of its own.
func Handler() http.Handler {
	return subgraph.Handler(NewExecutableSchema(Config{Resolvers: newLibrary()}))
}

type library struct {
	added subgraph.News[Book]

	mu    sync.Mutex
	books []Book // guarded by mu
}

func newLibrary() *library {
	return &library{books: []Book{
		{Isbn: "9780441478125", Title: "The Left Hand of Darkness", Author: Author{Name: "Ursula K. Le Guin"}, Year: 1969},
		{Isbn: "9780156027601", Title: "Solaris", Author: Author{Name: "Stanisław Lem"}, Year: 1961},
		{
			Isbn:   "9780345404473",
			Title:  "Do Androids Dream of Electric Sheep?",
			Author: Author{Name: "Philip K. Dick"},
			Year:   1968,
		},
		{Isbn: "9780586208724", Title: "The Lathe of Heaven", Author: Author{Name: "Ursula K. Le Guin"}, Year: 1971},
	}}
}

func (l *library) Query() QueryResolver               { return query{l} }
func (l *library) Mutation() MutationResolver         { return mutation{l} }
func (l *library) Subscription() SubscriptionResolver { return subscription{l} }
func (l *library) Entity() EntityResolver             { return entity{l} }
func (l *library) Author() AuthorResolver             { return author{l} }

func (l *library) find(ok func(Book) bool) []Book {
	l.mu.Lock()
	defer l.mu.Unlock()
	found := []Book{}
	for _, b := range l.books {
		if ok(b) {
			found = append(found, b)
		}
	}
	return found
}

func (l *library) book(isbn string) *Book {
	if found := l.find(func(b Book) bool { return b.Isbn == isbn }); len(found) > 0 {
		return &found[0]
	}
	return nil
}

type query struct{ *library }

func (q query) Books(_ context.Context, author *string) ([]Book, error) {
	return q.find(func(b Book) bool { return author == nil || b.Author.Name == *author }), nil
}

func (q query) Book(_ context.Context, isbn string) (*Book, error) { return q.book(isbn), nil }

type author struct{ *library }

func (a author) Books(_ context.Context, obj *Author) ([]Book, error) {
	return a.find(func(b Book) bool { return b.Author.Name == obj.Name }), nil
}

type entity struct{ *library }

func (e entity) FindBookByIsbn(_ context.Context, isbn string) (*Book, error) {
	return e.book(isbn), nil
}

func (e entity) FindAuthorByName(_ context.Context, name string) (*Author, error) {
	return &Author{Name: name}, nil
}

type mutation struct{ *library }

func (m mutation) AddBook(_ context.Context, isbn, title, author string, year int) (*Book, error) {
	b := Book{Isbn: isbn, Title: title, Author: Author{Name: author}, Year: year}
	m.mu.Lock()
	defer m.mu.Unlock()
	if slices.ContainsFunc(m.books, func(o Book) bool { return o.Isbn == isbn }) {
		return nil, fmt.Errorf("isbn: %s is in the library already", isbn)
	}
	m.books = append(m.books, b)
	m.added.Tell(b)
	return &b, nil
}

type subscription struct{ *library }

func (s subscription) BookAdded(ctx context.Context) (<-chan *Book, error) {
	return s.added.Listen(ctx), nil
}
