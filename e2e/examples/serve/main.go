// Command serve runs example workloads on loopback until it is stopped, as a user's own programs would run:
//
//	go run ./e2e/examples/serve books=127.0.0.1:9001 movies=127.0.0.1:9002
//
// Known are api (an HTTP API) and the GraphQL subgraphs books, movies, products and orders.
package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/catalyst-router/catalyst/e2e/examples"
	"github.com/catalyst-router/catalyst/e2e/examples/books"
	"github.com/catalyst-router/catalyst/e2e/examples/movies"
	"github.com/catalyst-router/catalyst/e2e/examples/orders"
	"github.com/catalyst-router/catalyst/e2e/examples/products"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "serve:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	workloads := map[string]func() http.Handler{
		"api": func() http.Handler { return examples.HTTPAPI("api") }, "books": books.Handler, "movies": movies.Handler,
		"products": products.Handler, "orders": orders.Handler,
	}
	if len(args) == 0 {
		return fmt.Errorf("want NAME=HOST:PORT, with a name of api, books, movies, products, orders")
	}
	g, ctx := errgroup.WithContext(ctx)
	for _, arg := range args {
		name, address, ok := strings.Cut(arg, "=")
		handler := workloads[name]
		if !ok || handler == nil {
			return fmt.Errorf("%q: want NAME=HOST:PORT, with a name of api, books, movies, products, orders", arg)
		}
		l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
		if err != nil {
			return err
		}
		fmt.Printf("%s at http://%s\n", name, l.Addr())
		g.Go(func() error { return examples.ServeHTTP(ctx, l, handler()) })
	}
	return g.Wait()
}
