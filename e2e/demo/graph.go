package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/catalyst-router/catalyst/e2e/examples"
	"github.com/catalyst-router/catalyst/e2e/examples/books"
	"github.com/catalyst-router/catalyst/e2e/examples/movies"
	"github.com/catalyst-router/catalyst/e2e/examples/products"
	"github.com/catalyst-router/catalyst/e2e/lab"
)

// graph joins subgraphs of three nodes in one query.
func (s *show) graph(ctx context.Context) error {
	say("One graph over the routes: a library beside a and a cinema beside b are GraphQL subgraphs. The gateway of c " +
		"joins them, through the Envoys:")
	if _, err := s.subgraph(ctx, s.a, "library", books.Handler()); err != nil {
		return err
	}
	stopCinema, err := s.subgraph(ctx, s.b, "cinema", movies.Handler())
	if err != nil {
		return err
	}
	defer stopCinema()
	if err := s.ask(ctx, `{ book(isbn: "9780156027601") { title adaptations { director year } } }`,
		"Tarkovsky"); err != nil {
		return err
	}
	plan, err := s.c.CLI(ctx, "graph", "plan", "{ books { title adaptations { director } } }")
	if err != nil {
		return err
	}
	say("How such a query is carried out: catalyst graph plan '{ books { title adaptations { director } } }'")
	shows("%s", strings.ReplaceAll(strings.TrimSpace(plan), "\n", "\n    "))

	say("A shop beside c joins the graph while it serves:")
	began := time.Now()
	if _, err := s.subgraph(ctx, s.c, "shop", products.Handler()); err != nil {
		return err
	}
	if err := s.ask(ctx, `{ book(isbn: "9780156027601") { title editions { price } adaptations { discs { price } } } }`,
		"1999"); err != nil {
		return err
	}
	shows("%s after its route was announced", time.Since(began).Round(time.Millisecond))

	say("The cinema's process ends: what it knew is missing, and the rest is answered.")
	stopCinema()
	if err := s.ask(ctx, `{ books(author: "Stanisław Lem") { title editions { price } adaptations { director } } }`,
		`"title":"Solaris"`, "503"); err != nil {
		return err
	}
	say("Its route is withdrawn: it leaves the graph.")
	if _, err := s.b.CLI(ctx, "route", "remove", "cinema"); err != nil {
		return err
	}
	return s.ask(ctx, `{ movies { title } }`, "Cannot query field")
}

// subgraph starts a subgraph beside a node and announces it; stop ends its process.
func (s *show) subgraph(ctx context.Context, at *lab.Node, name string,
	h http.Handler) (stop context.CancelFunc, err error) {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	ctx, stop = context.WithCancel(ctx)
	go serve(name, func() error { return examples.ServeHTTP(ctx, l, h) })
	shows("at %s: catalyst route add %s --addr %s --protocol graphql", at.Name, name, l.Addr())
	_, err = at.CLI(ctx, "route", "add", name, "--addr", l.Addr().String(), "--protocol", "graphql")
	return stop, err
}

// ask sends an operation to c's gateway until the answer holds what is wanted, and shows both.
func (s *show) ask(ctx context.Context, operation string, want ...string) error {
	return lab.Eventually(ctx, operation, func(ctx context.Context) error {
		got, err := s.c.Query(ctx, operation)
		for _, w := range want {
			if err == nil && !strings.Contains(got, w) {
				err = fmt.Errorf("got %s, want %s in it", got, w)
			}
		}
		if err == nil {
			shows("%s", operation)
			shows("→ %.400s", got)
		}
		return err
	})
}
