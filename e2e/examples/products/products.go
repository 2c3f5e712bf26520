// Package products is an example subgraph: a shop's catalogue. It owns what has a price, and adds it to books and
// movies.
package products

import (
	"context"
	"net/http"

	"github.com/catalyst-router/catalyst/e2e/examples/subgraph"
)

// Handler serves the catalogue.
func Handler() http.Handler {
	return subgraph.Handler(NewExecutableSchema(Config{Resolvers: catalogue{}}))
}

func paperbacks() []Paperback {
	return []Paperback{
		{Sku: "p1", Price: 1295, Weight: 310, Book: Book{Isbn: "9780441478125"}},
		{Sku: "p2", Price: 990, Weight: 220, Book: Book{Isbn: "9780156027601"}},
		{Sku: "p3", Price: 1150, Weight: 240, Book: Book{Isbn: "9780345404473"}},
		{Sku: "p4", Price: 4500, Weight: 900, Book: Book{Isbn: "9780156027601"}},
	}
}

func discs() []Disc {
	return []Disc{
		{Sku: "d1", Price: 1999, Weight: 90, Movie: Movie{ID: "m1"}},
		{Sku: "d2", Price: 1499, Weight: 90, Movie: Movie{ID: "m2"}},
	}
}

func filter[T any](all []T, ok func(T) bool) []T {
	some := []T{}
	for _, v := range all {
		if ok(v) {
			some = append(some, v)
		}
	}
	return some
}

func first[T any](some []T) *T {
	if len(some) == 0 {
		return nil
	}
	return &some[0]
}

func paperback(sku string) *Paperback {
	return first(filter(paperbacks(), func(p Paperback) bool { return p.Sku == sku }))
}

func disc(sku string) *Disc {
	return first(filter(discs(), func(d Disc) bool { return d.Sku == sku }))
}

type catalogue struct{}

func (c catalogue) Query() QueryResolver   { return query(c) }
func (c catalogue) Entity() EntityResolver { return entity(c) }
func (c catalogue) Book() BookResolver     { return book(c) }
func (c catalogue) Movie() MovieResolver   { return movie(c) }

type query struct{}

func (query) Products(context.Context) ([]Product, error) {
	var all []Product
	for _, p := range paperbacks() {
		all = append(all, p)
	}
	for _, d := range discs() {
		all = append(all, d)
	}
	return all, nil
}

func (query) Product(_ context.Context, sku string) (Product, error) {
	if p := paperback(sku); p != nil {
		return p, nil
	}
	if d := disc(sku); d != nil {
		return d, nil
	}
	return nil, nil //nolint:nilnil // null is the answer
}

type entity struct{}

func (entity) FindBookByIsbn(_ context.Context, isbn string) (*Book, error) {
	return &Book{Isbn: isbn}, nil
}

func (entity) FindMovieByID(_ context.Context, id string) (*Movie, error) {
	return &Movie{ID: id}, nil
}

func (entity) FindPaperbackBySku(_ context.Context, sku string) (*Paperback, error) {
	return paperback(sku), nil
}

func (entity) FindDiscBySku(_ context.Context, sku string) (*Disc, error) { return disc(sku), nil }

type book struct{}

func (book) Editions(_ context.Context, b *Book) ([]Paperback, error) {
	return filter(paperbacks(), func(p Paperback) bool { return p.Book.Isbn == b.Isbn }), nil
}

type movie struct{}

func (movie) Discs(_ context.Context, m *Movie) ([]Disc, error) {
	return filter(discs(), func(d Disc) bool { return d.Movie.ID == m.ID }), nil
}
