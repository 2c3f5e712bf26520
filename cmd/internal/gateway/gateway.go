// Package gateway makes a GraphQL gateway of a configuration: its rules and limits, the listener with TLS, health,
// and where the graph comes from: from files and URLs when the gateway runs alone, from the routes (Routes) beside a
// node.
//
//	g, err := gateway.New(ctx, cfg.Gateway, nil, tel)
//	snap, err := g.Snapshot(supergraphSDL, "routes changed", nil)
//	g.Server().Swap(snap)
//	l, err := g.Listen(ctx)
//	err = g.Run(ctx, l)
package gateway

import (
	"cmp"
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/catalyst-router/catalyst/auth/bearer"
	"github.com/catalyst-router/catalyst/cmd/internal/config"
	"github.com/catalyst-router/catalyst/cmd/internal/idle"
	"github.com/catalyst-router/catalyst/cmd/internal/listen"
	"github.com/catalyst-router/catalyst/cmd/internal/telemetry"
	"github.com/catalyst-router/catalyst/graphql/exec"
	server "github.com/catalyst-router/catalyst/graphql/gateway"
	"github.com/catalyst-router/catalyst/graphql/gateway/graphiql"
	"github.com/catalyst-router/catalyst/graphql/plan"
)

// Gateway is a GraphQL server with its surroundings.
type Gateway struct {
	cfg   config.Gateway
	tel   *telemetry.Telemetry
	gw    *server.Gateway
	keys  runner // refreshes the keys of tokens; nil without
	who   server.Verifier
	plain *http.Transport
	h2c   *http.Transport
	// memory bounds what the answers of all graphs hold.
	memory exec.Memory
	// listens while Run holds its listener.
	listens atomic.Bool
}

// runner runs until its context ends.
type runner interface {
	Run(ctx context.Context) error
}

// OperatorSubgraph is the name, in a node's graph, of the operator API of its organisation.
const OperatorSubgraph = "operator"

// path of the GraphQL endpoint.
const path = "/graphql"

// New makes the gateway. It reads the files that the configuration names, and starts nothing.
// Revoked is asked about every token; nil where nobody says what is.
func New(
	ctx context.Context, cfg config.Gateway, revoked bearer.Revocations, tel *telemetry.Telemetry,
) (*Gateway, error) {
	f := &Gateway{
		cfg:   cfg,
		tel:   tel,
		plain: exec.NewTransport(exec.TransportOptions{}),
		h2c:   exec.NewTransport(exec.TransportOptions{H2C: true}),
	}
	f.memory.Most = int64(cfg.MaxResponses)
	rules, err := f.rules(ctx, revoked)
	if err != nil {
		return nil, err
	}
	f.gw = server.New(rules)
	return f, nil
}

// Server is the GraphQL server itself.
func (g *Gateway) Server() *server.Gateway { return g.gw }

// Verifier verifies the tokens of callers; nil without gateway.jwks.
func (g *Gateway) Verifier() server.Verifier { return g.who }

// Snapshot prepares a supergraph for publication with the configured limits and connections. Reach may say how
// subgraphs are reached, by name; what it leaves open is as in the configuration.
func (g *Gateway) Snapshot(sdl, why string, reach map[string]exec.Subgraph) (*server.Snapshot, error) {
	return server.NewSnapshot(sdl, g.options(why, reach))
}

func (g *Gateway) options(why string, reach map[string]exec.Subgraph) server.SnapshotOptions {
	opts := server.SnapshotOptions{
		Subgraphs: map[string]exec.Subgraph{},
		Default:   g.reach(config.Subgraph{}),
		Why:       why,
		Plan: plan.Options{ListSize: g.cfg.ListSize, Named: g.cfg.NameOperations, Limits: plan.Limits{
			Tokens:     g.cfg.MaxTokens,
			Depth:      g.cfg.MaxDepth,
			Aliases:    g.cfg.MaxAliases,
			RootFields: g.cfg.MaxRootFields,
			Fields:     g.cfg.MaxFields,
		}},
		Exec: exec.Config{
			Transport:        g.plain,
			MaxResponseBytes: g.cfg.MaxResponse,
			Memory:           &g.memory,
			ErrorMode:        g.errorMode(),
		},
	}
	for name, s := range g.cfg.Subgraphs {
		opts.Subgraphs[name] = g.reach(s)
	}
	for name, s := range reach {
		s.Timeout, s.Retries = cmp.Or(s.Timeout, g.cfg.FetchTimeout), cmp.Or(s.Retries, g.cfg.FetchRetries)
		s.Subscription = g.events(s.Subscription)
		opts.Subgraphs[name] = s
	}
	return opts
}

// mostIdle connections of clients may do nothing.
const mostIdle = 4096

// H2C is the transport for subgraphs that are reached by HTTP/2 without TLS, as behind a local Envoy.
func (g *Gateway) H2C() http.RoundTripper { return g.h2c }

// reach says how a configured subgraph is reached.
func (g *Gateway) reach(s config.Subgraph) exec.Subgraph {
	url, user := s.URL.Bare() // the graph that others may read names the URL
	how := exec.Subgraph{
		URL:     url,
		Host:    s.Host,
		Timeout: cmp.Or(s.Timeout, g.cfg.FetchTimeout),
		Retries: g.cfg.FetchRetries,
		Header:  http.Header{},
	}
	how.Idle, how.Compress = s.Idle, s.Compress
	how.Subscription = g.events(exec.Subscription{
		Protocol: map[string]exec.Protocol{"ws": exec.WebSocket, "sse": exec.SSE}[s.EventProtocol],
	})
	if s.EventURL.Reveal() != "" {
		how.Subscription.URL, _ = s.EventURL.Bare() // user and password are those of url
	}
	if s.Retries != nil {
		how.Retries = *s.Retries
	}
	if s.H2C {
		how.Transport = g.h2c
	}
	for name, value := range s.Headers {
		how.Header.Set(name, value.Reveal())
	}
	if user != nil && how.Header.Get("Authorization") == "" {
		password, _ := user.Password()
		how.Header.Set("Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(user.Username()+":"+password)))
	}
	return how
}

// events adds to how a subgraph's events are got what is set for all subgraphs.
func (g *Gateway) events(how exec.Subscription) exec.Subscription {
	how.Share, how.Silence, how.Reconnects = g.cfg.ShareEvents, g.cfg.EventSilence, g.cfg.EventReconnects
	return how
}

func (g *Gateway) errorMode() exec.ErrorMode {
	switch g.cfg.Errors {
	case "wrapped":
		return exec.Wrapped
	case "masked":
		return exec.Masked
	}
	return exec.PassThrough
}

// Handler serves the gateway's paths.
func (g *Gateway) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle(path, g.gw)
	if g.cfg.GraphiQL {
		mux.HandleFunc("GET /{$}", graphiql.Page)
		mux.Handle("GET /graphiql/{file}", graphiql.Assets())
	}
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	mux.HandleFunc("GET /readyz", g.ready)
	mux.HandleFunc("GET /health", g.ready)
	return mux
}

// ready answers whether operations can be served.
func (g *Gateway) ready(w http.ResponseWriter, _ *http.Request) {
	if why := g.gw.Ready(); why != "" {
		http.Error(w, why, http.StatusServiceUnavailable)
		return
	}
	fmt.Fprintln(w, "ready")
}

// drainTime is how long requests in flight are waited for at the end.
const drainTime = 15 * time.Second

// NotListening says that the gateway does not listen yet, or no longer; "" while it does.
func (g *Gateway) NotListening() string {
	if g.listens.Load() {
		return ""
	}
	return "the gateway does not listen at " + g.cfg.Listen + " (gateway.listen)"
}

// Listen opens gateway.listen, with TLS if a certificate is configured. Run serves there.
func (g *Gateway) Listen(ctx context.Context) (net.Listener, error) {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", g.cfg.Listen)
	if err != nil {
		return nil, fmt.Errorf("gateway.listen: %w", err)
	}
	if g.cfg.TLSCert == "" {
		return l, nil
	}
	secure := listen.TLS{Cert: g.cfg.TLSCert, Key: g.cfg.TLSKey, Field: "gateway.tls-cert"}
	wrapped, err := secure.Wrap(l, func(c *tls.Config) {
		c.ClientAuth = tls.RequestClientCert // for tokens bound to a certificate; nothing else trusts it
	})
	if err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return wrapped, nil
}

// Run serves what Listen opened until ctx ends, and closes it; then requests in flight are finished, and streams are
// ended with a word to their clients.
func (g *Gateway) Run(ctx context.Context, l net.Listener) error {
	g.listens.Store(true)
	defer g.listens.Store(false)
	srv := &http.Server{
		Handler:           g.Handler(),
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    128 << 10,
		Protocols:         new(http.Protocols),
	}
	idle.Limit(srv, mostIdle)
	srv.Protocols.SetHTTP1(true)
	srv.Protocols.SetHTTP2(true)
	srv.Protocols.SetUnencryptedHTTP2(true)
	tasks, run := errgroup.WithContext(ctx)
	if g.keys != nil {
		tasks.Go(func() error { return g.keys.Run(run) })
	}
	tasks.Go(func() error {
		g.tel.Log.Info("gateway is up", "listen", l.Addr().String(), "path", path, "tls", g.cfg.TLSCert != "")
		if err := srv.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			return fmt.Errorf("serve %s: %w", l.Addr(), err)
		}
		return nil
	})
	tasks.Go(func() error {
		<-run.Done()
		return g.drain(context.WithoutCancel(ctx), srv)
	})
	err := tasks.Wait()
	g.gw.Close()
	g.plain.CloseIdleConnections()
	g.h2c.CloseIdleConnections()
	return err
}

// drain ends streams and waits for requests.
func (g *Gateway) drain(ctx context.Context, srv *http.Server) error {
	ctx, cancel := context.WithTimeout(ctx, drainTime)
	defer cancel()
	stopped := make(chan error, 1)
	go func() { stopped <- srv.Shutdown(ctx) }()
	g.gw.Drain()
	if err := <-stopped; err != nil {
		return errors.Join(fmt.Errorf("requests were still in flight after %s: %w", drainTime, err), srv.Close())
	}
	return nil
}
