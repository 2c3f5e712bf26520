package identity

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"slices"
	"sync/atomic"
	"time"

	"github.com/goccy/go-yaml"
	"golang.org/x/sync/errgroup"

	"github.com/catalyst-router/catalyst/auth/bearer"
	feeds "github.com/catalyst-router/catalyst/auth/follow"
	"github.com/catalyst-router/catalyst/auth/secret"
	"github.com/catalyst-router/catalyst/auth/server"
	"github.com/catalyst-router/catalyst/auth/service"
	"github.com/catalyst-router/catalyst/auth/token"
)

// externalFile is the file of external issuers.
type externalFile struct {
	Issuers []externalIssuer `yaml:"issuers"`
	// Organisations whose tokens are exchanged for tokens of this one.
	Organisations []externalOrg `yaml:"organisations"`
}

type externalIssuer struct {
	Issuer     string        `yaml:"issuer"`   // its iss
	JWKS       secret.URL    `yaml:"jwks"`     // https URL, or a file
	Audience   string        `yaml:"audience"` // that its tokens must name
	Algorithms []string      `yaml:"algorithms"`
	MaxLife    time.Duration `yaml:"max-life"`
	Principals []struct {
		Claims    map[string]string `yaml:"claims"`
		Principal string            `yaml:"principal"`
	} `yaml:"principals"`
	Nodes []struct {
		Node   string            `yaml:"node"`
		Claims map[string]string `yaml:"claims"`
	} `yaml:"nodes"`
}

// externals are the issuers of a file, and what keeps their keys.
type externals struct {
	issuers []service.External
	keys    []*bearer.RemoteKeys
	foreign []service.Foreign
	feeds   []*feeds.Feed
	mine    atomic.Pointer[server.Server] // whose certificate is shown to other organisations' services
}

func (e *externals) run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	for _, k := range e.keys {
		g.Go(func() error { return k.Run(ctx) })
	}
	for _, f := range e.feeds {
		g.Go(func() error { return f.Run(ctx) })
	}
	return g.Wait()
}

func readExternal(path string, log *slog.Logger) (out *externals, err error) {
	out = &externals{}
	if path == "" {
		return out, nil
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return out, err
	}
	var f externalFile
	if err := yaml.UnmarshalWithOptions(b, &f, yaml.Strict()); err != nil {
		return out, fmt.Errorf("%s: %w", path, err)
	}
	for i, in := range f.Issuers {
		if err := out.add(in); err != nil {
			return out, fmt.Errorf("%s: issuers[%d]: %w", path, i, err)
		}
	}
	for i, in := range f.Organisations {
		if err := out.addOrg(in, log); err != nil {
			return out, fmt.Errorf("%s: organisations[%d]: %w", path, i, err)
		}
	}
	return out, nil
}

func (e *externals) add(in externalIssuer) error {
	if in.Issuer == "" || in.JWKS.Reveal() == "" || in.Audience == "" {
		return fmt.Errorf("want issuer, jwks and audience")
	}
	if len(in.Algorithms) == 0 {
		in.Algorithms = []string{token.RS256, token.ES256, token.ES384, token.EdDSA}
	}
	for _, alg := range in.Algorithms {
		if !slices.Contains([]string{token.RS256, token.ES256, token.ES384, token.EdDSA}, alg) {
			return fmt.Errorf("algorithms: %q is none of RS256, ES256, ES384 and EdDSA", alg)
		}
	}
	keys, err := bearer.NewRemoteKeys(bearer.RemoteConfig{Source: in.JWKS, Algorithms: in.Algorithms,
		Transport: http.DefaultTransport})
	if err != nil {
		return err
	}
	ext := service.External{}
	var rules []service.PrincipalRule
	for i, p := range in.Principals {
		principal, err := token.ParsePrincipal(p.Principal)
		if err != nil {
			return fmt.Errorf("principals[%d]: %w", i, err)
		}
		if len(p.Claims) == 0 {
			return fmt.Errorf("principals[%d]: want claims: a rule without any would match everybody", i)
		}
		rules = append(rules, service.PrincipalRule{Claims: p.Claims, Principal: principal})
	}
	for i, n := range in.Nodes {
		if n.Node == "" || len(n.Claims) == 0 {
			return fmt.Errorf("nodes[%d]: want a node and claims", i)
		}
		ext.Joins = append(ext.Joins, service.JoinRule{Node: n.Node, Claims: n.Claims})
	}
	ext.Issuer = &token.Issuer{
		Name: in.Issuer, Keys: keys, Audience: in.Audience, MaxLife: in.MaxLife,
		Map: service.MapExternal(rules, len(in.Nodes) > 0),
	}
	e.issuers, e.keys = append(e.issuers, ext), append(e.keys, keys)
	return nil
}
