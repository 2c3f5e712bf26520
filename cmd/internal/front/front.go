// Package front makes a GraphQL gateway of a configuration: its rules and limits, the listener with TLS, health, and where the graph
// comes from when the gateway runs alone. Beside a node, the daemon publishes graphs itself:
//
//	f, err := front.New(cfg.Gateway, tel)
//	snap, err := f.Snapshot(supergraphSDL, "routes changed", nil)
//	f.Gateway().Swap(snap)
//	err = f.Run(ctx)
package front

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/catalyst-router/catalyst/cmd/internal/config"
	"github.com/catalyst-router/catalyst/cmd/internal/telemetry"
	"github.com/catalyst-router/catalyst/graphql/exec"
	"github.com/catalyst-router/catalyst/graphql/gateway"
	"github.com/catalyst-router/catalyst/graphql/gateway/graphiql"
	"github.com/catalyst-router/catalyst/graphql/plan"
)

// Front is a gateway with its surroundings.
type Front struct {
	cfg   config.Gateway
	tel   *telemetry.Telemetry
	gw    *gateway.Gateway
	keys  runner // refreshes the keys of tokens; nil without
	who   gateway.Verifier
	plain *http.Transport
	h2c   *http.Transport
	// memory bounds what the answers of all graphs hold.
	memory exec.Memory
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
func New(ctx context.Context, cfg config.Gateway, tel *telemetry.Telemetry) (*Front, error) {
	f := &Front{cfg: cfg, tel: tel, plain: exec.NewTransport(exec.TransportOptions{}), h2c: exec.NewTransport(exec.TransportOptions{H2C: true})}
	f.memory.Most = int64(cfg.MaxResponses)
	rules, err := f.rules(ctx)
	if err != nil {
		return nil, err
	}
	f.gw = gateway.New(rules)
	return f, nil
}

// Gateway is the gateway.
func (f *Front) Gateway() *gateway.Gateway { return f.gw }

// Verifier verifies the tokens of callers; nil without gateway.jwks.
func (f *Front) Verifier() gateway.Verifier { return f.who }

// Snapshot prepares a supergraph for publication with the configured limits and connections. Reach may say how subgraphs are reached, by name;
// what it leaves open is as in the configuration.
func (f *Front) Snapshot(sdl, why string, reach map[string]exec.Subgraph) (*gateway.Snapshot, error) {
	return gateway.NewSnapshot(sdl, f.options(why, reach))
}

func (f *Front) options(why string, reach map[string]exec.Subgraph) gateway.SnapshotOptions {
	opts := gateway.SnapshotOptions{
		Subgraphs: map[string]exec.Subgraph{},
		Default:   f.reach(config.Subgraph{}),
		Why:       why,
		Plan: plan.Options{ListSize: f.cfg.ListSize, Limits: plan.Limits{
			Tokens: f.cfg.MaxTokens, Depth: f.cfg.MaxDepth, Aliases: f.cfg.MaxAliases, RootFields: f.cfg.MaxRootFields, Fields: f.cfg.MaxFields}},
		Exec: exec.Config{Transport: f.plain, MaxResponseBytes: f.cfg.MaxResponse, Memory: &f.memory, ErrorMode: f.errorMode()},
	}
	for name, s := range f.cfg.Subgraphs {
		opts.Subgraphs[name] = f.reach(s)
	}
	for name, s := range reach {
		s.Timeout, s.Retries = orElse(s.Timeout, f.cfg.FetchTimeout), orElse(s.Retries, f.cfg.FetchRetries)
		opts.Subgraphs[name] = s
	}
	return opts
}

// H2C is the transport for subgraphs that are reached by HTTP/2 without TLS, as behind a local Envoy.
func (f *Front) H2C() http.RoundTripper { return f.h2c }

// reach says how a configured subgraph is reached.
func (f *Front) reach(s config.Subgraph) exec.Subgraph {
	how := exec.Subgraph{URL: s.URL, Host: s.Host, Timeout: orElse(s.Timeout, f.cfg.FetchTimeout), Retries: f.cfg.FetchRetries, Header: http.Header{}}
	if s.Retries != nil {
		how.Retries = *s.Retries
	}
	if s.H2C {
		how.Transport = f.h2c
	}
	for name, value := range s.Headers {
		how.Header.Set(name, value)
	}
	return how
}

func (f *Front) errorMode() exec.ErrorMode {
	switch f.cfg.Errors {
	case "wrapped":
		return exec.Wrapped
	case "masked":
		return exec.Masked
	}
	return exec.PassThrough
}

func orElse[T comparable](v, fallback T) T {
	var zero T
	if v == zero {
		return fallback
	}
	return v
}

// Handler serves the gateway's paths.
func (f *Front) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle(path, f.gw)
	if f.cfg.GraphiQL {
		mux.HandleFunc("GET /{$}", graphiql.Page)
		mux.Handle("GET /graphiql/{file}", graphiql.Assets())
	}
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	mux.HandleFunc("GET /readyz", f.ready)
	mux.HandleFunc("GET /health", f.ready)
	return mux
}

// ready answers whether operations can be served.
func (f *Front) ready(w http.ResponseWriter, _ *http.Request) {
	if why := f.gw.Ready(); why != "" {
		http.Error(w, why, http.StatusServiceUnavailable)
		return
	}
	fmt.Fprintln(w, "ready")
}

// drainTime is how long requests in flight are waited for at the end.
const drainTime = 15 * time.Second

// Run serves gateway.listen until ctx ends; then requests in flight are finished, and streams are ended with a word to their clients.
func (f *Front) Run(ctx context.Context) error {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", f.cfg.Listen)
	if err != nil {
		return fmt.Errorf("gateway.listen: %w", err)
	}
	if f.cfg.TLSCert != "" {
		certs := &certificates{cert: f.cfg.TLSCert, key: f.cfg.TLSKey}
		if _, err := certs.get(nil); err != nil {
			_ = l.Close()
			return err
		}
		l = tls.NewListener(l, &tls.Config{MinVersion: tls.VersionTLS12, NextProtos: []string{"h2", "http/1.1"}, GetCertificate: certs.get,
			ClientAuth: tls.RequestClientCert}) // for tokens bound to a certificate; nothing else trusts it
	}
	srv := &http.Server{Handler: f.Handler(), ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 128 << 10, Protocols: new(http.Protocols)}
	srv.Protocols.SetHTTP1(true)
	srv.Protocols.SetHTTP2(true)
	srv.Protocols.SetUnencryptedHTTP2(true)
	g, run := errgroup.WithContext(ctx)
	if f.keys != nil {
		g.Go(func() error { return f.keys.Run(run) })
	}
	g.Go(func() error {
		f.tel.Log.Info("gateway is up", "listen", l.Addr().String(), "path", path, "tls", f.cfg.TLSCert != "")
		if err := srv.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			return fmt.Errorf("serve %s: %w", l.Addr(), err)
		}
		return nil
	})
	g.Go(func() error {
		<-run.Done()
		return f.drain(context.WithoutCancel(ctx), srv)
	})
	err = g.Wait()
	f.gw.Close()
	f.plain.CloseIdleConnections()
	f.h2c.CloseIdleConnections()
	return err
}

// drain ends streams and waits for requests.
func (f *Front) drain(ctx context.Context, srv *http.Server) error {
	ctx, cancel := context.WithTimeout(ctx, drainTime)
	defer cancel()
	stopped := make(chan error, 1)
	go func() { stopped <- srv.Shutdown(ctx) }()
	f.gw.Drain()
	if err := <-stopped; err != nil {
		return errors.Join(fmt.Errorf("requests were still in flight after %s: %w", drainTime, err), srv.Close())
	}
	return nil
}
