// Package subgraph holds what the example subgraphs share: how they are served, and how they tell of news.
package subgraph

import (
	"context"
	"net/http"
	"sync"
	"time"

	"github.com/99designs/gqlgen/graphql"
	"github.com/99designs/gqlgen/graphql/handler"
	"github.com/99designs/gqlgen/graphql/handler/extension"
	"github.com/99designs/gqlgen/graphql/handler/lru"
	"github.com/99designs/gqlgen/graphql/handler/transport"
	"github.com/vektah/gqlparser/v2/ast"
)

// Handler serves a schema at every path: POST and GET, and subscriptions over WebSocket (graphql-transport-ws) and
// SSE. GET /health answers 200.
func Handler(schema graphql.ExecutableSchema) http.Handler {
	srv := handler.New(schema)
	srv.AddTransport(transport.Websocket{KeepAlivePingInterval: 10 * time.Second})
	srv.AddTransport(transport.SSE{KeepAlivePingInterval: 10 * time.Second})
	srv.AddTransport(transport.GET{})
	srv.AddTransport(transport.POST{})
	srv.SetQueryCache(lru.New[*ast.QueryDocument](1000))
	srv.Use(extension.Introspection{})
	mux := http.NewServeMux()
	mux.HandleFunc("GET /health", func(http.ResponseWriter, *http.Request) {})
	mux.Handle("/", srv)
	return mux
}

// News passes values to whoever listens at that time. Its zero value is ready.
type News[T any] struct {
	mu   sync.Mutex
	next int
	to   map[int]chan *T // guarded by mu
}

// Tell gives v to every listener; one that has not taken the last sixteen misses it.
func (n *News[T]) Tell(v T) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, c := range n.to {
		select {
		case c <- &v:
		default:
		}
	}
}

// Listen returns what is told until ctx ends.
func (n *News[T]) Listen(ctx context.Context) <-chan *T {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.to == nil {
		n.to = map[int]chan *T{}
	}
	id, c := n.next, make(chan *T, 16)
	n.next++
	n.to[id] = c
	context.AfterFunc(ctx, func() {
		n.mu.Lock()
		defer n.mu.Unlock()
		delete(n.to, id)
		close(c)
	})
	return c
}

// Listeners returns how many listen.
func (n *News[T]) Listeners() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return len(n.to)
}
