package front

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"regexp"

	"github.com/catalyst-router/catalyst/cmd/internal/config"
	"github.com/catalyst-router/catalyst/graphql/gateway"
	"github.com/catalyst-router/catalyst/graphql/gateway/bearer"
	"github.com/catalyst-router/catalyst/graphql/gateway/graphiql"
)

// rules translates the configuration, which has been checked.
func (f *Front) rules(ctx context.Context) (gateway.Config, error) {
	c := &f.cfg
	rules := gateway.Config{
		Log: f.tel.Log, Tracer: f.tel.Tracer, Meter: f.tel.Meter,
		NoIntrospection: !c.Introspection, Share: c.Share,
		MaxBody: int64(c.MaxBody), MaxCost: c.MaxCost, MaxBatch: c.MaxBatch, MaxConcurrent: c.MaxConcurrent, Timeout: c.Timeout, Slow: orElse(c.Slow, -1),
		CSRF:      gateway.CSRF{Off: c.CSRF == "off", Strict: c.CSRF == "strict"},
		CORS:      gateway.CORS{Origins: c.CORSOrigins, Credentials: c.CORSCredentials, Headers: c.CORSHeaders},
		Documents: gateway.Documents{Only: c.OnlyPersisted, NoAutomatic: !c.APQ},
		Streams:   gateway.Streams{Max: c.MaxStreams},
		Uploads:   gateway.Uploads{Off: c.MaxUpload == 0, MaxBytes: int64(c.MaxUpload)},
		Cache:     gateway.Cache{MaxBytes: c.CacheBytes},
	}
	if c.GraphiQL {
		rules.Page = http.HandlerFunc(graphiql.Page)
	}
	for _, r := range c.RequestHeaders {
		rules.Headers.Request = append(rules.Headers.Request, gateway.RequestHeader{Name: r.Name, Matching: expression(r), Rename: r.Rename, Default: r.Default, Subgraphs: r.Subgraphs})
	}
	if c.Operator { // which checks the token itself
		rules.Headers.Request = append(rules.Headers.Request, gateway.RequestHeader{Name: "Authorization", Subgraphs: []string{OperatorSubgraph}})
	}
	for _, r := range c.ResponseHeaders {
		rules.Headers.Response = append(rules.Headers.Response, gateway.ResponseHeader{
			Name: r.Name, Matching: expression(r), Rename: r.Rename, Default: r.Default, Subgraphs: r.Subgraphs,
			Take: map[string]gateway.Take{"first": gateway.First, "last": gateway.Last}[r.Take]})
	}
	return rules, errors.Join(f.documents(&rules), f.identity(ctx, &rules))
}

func expression(r config.HeaderRule) *regexp.Regexp {
	if r.Matching == "" {
		return nil
	}
	return regexp.MustCompile(r.Matching)
}

func (f *Front) documents(rules *gateway.Config) error {
	if f.cfg.Documents == "" {
		return nil
	}
	raw, err := os.ReadFile(f.cfg.Documents)
	if err != nil {
		return fmt.Errorf("gateway.persisted-documents: %w", err)
	}
	if rules.Documents.List, err = gateway.ReadDocuments(raw); err != nil {
		return fmt.Errorf("gateway.persisted-documents: %s: %w", f.cfg.Documents, err)
	}
	return nil
}

func (f *Front) identity(ctx context.Context, rules *gateway.Config) error {
	rules.Identity.Required = f.cfg.Required
	if f.cfg.JWKS == "" {
		return nil
	}
	v, err := bearer.New(ctx, bearer.Config{Source: f.cfg.JWKS, Issuer: f.cfg.Issuer, Audience: f.cfg.Audience, Log: f.tel.Log})
	if err != nil {
		return fmt.Errorf("gateway.jwks: %w", err)
	}
	rules.Identity.Verifier, f.keys, f.who = v, v, v
	return nil
}
