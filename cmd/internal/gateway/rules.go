package gateway

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"regexp"

	"github.com/catalyst-router/catalyst/auth/bearer"
	"github.com/catalyst-router/catalyst/cmd/internal/config"
	server "github.com/catalyst-router/catalyst/graphql/gateway"
	"github.com/catalyst-router/catalyst/graphql/gateway/graphiql"
)

// rules translates the configuration, which has been checked.
func (g *Gateway) rules(ctx context.Context, revoked bearer.Revocations) (server.Config, error) {
	c := &g.cfg
	rules := server.Config{
		Log: g.tel.Log, Tracer: g.tel.Tracer, Meter: g.tel.Meter,
		NoIntrospection: !c.Introspection, Share: c.Share, Labels: c.Labels, CompressFrom: cmp.Or(c.CompressFrom, -1),
		MaxBody:       int64(c.MaxBody),
		MaxCost:       c.MaxCost,
		MaxBatch:      c.MaxBatch,
		MaxConcurrent: c.MaxConcurrent,
		Timeout:       c.Timeout,
		Slow:          cmp.Or(c.Slow, -1),
		CSRF:          server.CSRF{Off: c.CSRF == "off", Strict: c.CSRF == "strict"},
		CORS:          server.CORS{Origins: c.CORSOrigins, Credentials: c.CORSCredentials, Headers: c.CORSHeaders},
		Documents:     server.Documents{Only: c.OnlyPersisted, NoAutomatic: !c.APQ},
		Streams:       server.Streams{Max: c.MaxStreams},
		Uploads:       server.Uploads{Off: c.MaxUpload == 0, MaxBytes: int64(c.MaxUpload)},
		Cache:         server.Cache{MaxBytes: c.CacheBytes},
	}
	if c.GraphiQL {
		rules.Page = http.HandlerFunc(graphiql.Page)
	}
	for _, r := range c.RequestHeaders {
		rules.Headers.Request = append(rules.Headers.Request,
			server.RequestHeader{
				Name:      r.Name,
				Matching:  expression(r),
				Rename:    r.Rename,
				Default:   r.Default.Reveal(),
				Subgraphs: r.Subgraphs,
			})
	}
	for _, r := range c.ConnectionInit {
		rules.Headers.Init = append(rules.Headers.Init,
			server.InitField{Name: r.Name, Rename: r.Rename, Default: r.Default.Reveal(), Subgraphs: r.Subgraphs})
	}
	if c.Operator { // which checks the token itself
		rules.Headers.Request = append(rules.Headers.Request,
			server.RequestHeader{Name: "Authorization", Subgraphs: []string{OperatorSubgraph}})
	}
	for _, r := range c.ResponseHeaders {
		rules.Headers.Response = append(rules.Headers.Response, server.ResponseHeader{
			Name: r.Name, Matching: expression(r), Rename: r.Rename, Default: r.Default.Reveal(), Subgraphs: r.Subgraphs,
			Take: map[string]server.Take{"first": server.First, "last": server.Last}[r.Take]})
	}
	return rules, errors.Join(g.documents(&rules), g.identity(ctx, &rules, revoked))
}

func expression(r config.HeaderRule) *regexp.Regexp {
	if r.Matching == "" {
		return nil
	}
	return regexp.MustCompile(r.Matching)
}

func (g *Gateway) documents(rules *server.Config) error {
	if g.cfg.Documents == "" {
		return nil
	}
	raw, err := os.ReadFile(g.cfg.Documents)
	if err != nil {
		return fmt.Errorf("gateway.persisted-documents: %w", err)
	}
	if rules.Documents.List, err = server.ReadDocuments(raw); err != nil {
		return fmt.Errorf("gateway.persisted-documents: %s: %w", g.cfg.Documents, err)
	}
	return nil
}

func (g *Gateway) identity(ctx context.Context, rules *server.Config, revoked bearer.Revocations) error {
	rules.Identity.Required = g.cfg.Required
	v, err := g.verifier(ctx, revoked)
	if err != nil || v == nil {
		return err
	}
	rules.Identity.Verifier, g.keys, g.who = v, v.keys, v
	return nil
}
