// Package movies is an example subgraph: a cinema. It owns Movie and adds to the library's Book what was made of it.
package movies

import (
	"context"
	"fmt"
	"net/http"

	"github.com/catalyst-router/catalyst/e2e/examples/subgraph"
)

// Handler serves the cinema.
func Handler() http.Handler {
	return subgraph.Handler(NewExecutableSchema(Config{Resolvers: cinema{}}))
}

func all() []Movie {
	return []Movie{
		{ID: "m1", Title: "Solaris", Director: "Andrei Tarkovsky", Year: 1972, BasedOn: &Book{Isbn: "9780156027601"}},
		{ID: "m2", Title: "Blade Runner", Director: "Ridley Scott", Year: 1982, BasedOn: &Book{Isbn: "9780345404473"}},
		{ID: "m3", Title: "Solaris", Director: "Steven Soderbergh", Year: 2002, BasedOn: &Book{Isbn: "9780156027601"}},
		{ID: "m4", Title: "Silent Running", Director: "Douglas Trumbull", Year: 1972},
	}
}

func movie(id string) *Movie {
	for _, m := range all() {
		if m.ID == id {
			return &m
		}
	}
	return nil
}

type cinema struct{}

func (c cinema) Query() QueryResolver   { return query(c) }
func (c cinema) Entity() EntityResolver { return entity(c) }
func (c cinema) Book() BookResolver     { return book(c) }

type query struct{}

func (query) Movies(context.Context) ([]Movie, error)            { return all(), nil }
func (query) Movie(_ context.Context, id string) (*Movie, error) { return movie(id), nil }

type entity struct{}

func (entity) FindMovieByID(_ context.Context, id string) (*Movie, error) { return movie(id), nil }

func (entity) FindBookByIsbn(_ context.Context, isbn string) (*Book, error) {
	return &Book{Isbn: isbn}, nil
}

type book struct{}

func (book) Adaptations(_ context.Context, b *Book) ([]Movie, error) {
	made := []Movie{}
	for _, m := range all() {
		if m.BasedOn != nil && m.BasedOn.Isbn == b.Isbn {
			made = append(made, m)
		}
	}
	return made, nil
}

func (book) Tagline(_ context.Context, b *Book) (*string, error) {
	text := fmt.Sprintf("%s: read since %d", b.Title, b.Year)
	return &text, nil
}
