package service

import (
	"context"
	"errors"
	"fmt"

	"github.com/catalyst-router/catalyst/auth/token"
)

// External is an issuer outside of the organisation, such as an identity provider of people or a CI system.
type External struct {
	Issuer *token.Issuer
	// Joins are the rules by which its tokens let nodes join.
	Joins []JoinRule
}

// JoinRule lets a node join by a token of an external issuer.
type JoinRule struct {
	Node string // its short name; required
	// Claims that the token must have, exactly: at least one. sub is one of them.
	Claims map[string]string
}

// joinRule tells which rule lets the bearer of an external token be a node.
func (s *Service) joinRule(ctx context.Context, raw, node string) (string, error) {
	c, err := s.verifier.Inspect(ctx, raw)
	if err != nil {
		return "", fmt.Errorf("the OIDC token is not valid: %w", err)
	}
	if !c.External {
		return "", errors.New("the OIDC token is not of an external issuer")
	}
	for _, e := range s.cfg.External {
		if e.Issuer.Name != c.Issuer {
			continue
		}
		for i, r := range e.Joins {
			if r.Node == node && matches(c, r.Claims) {
				return fmt.Sprintf("by rule %d of %s for %s", i+1, c.Issuer, c.Subject), nil
			}
		}
	}
	return "", fmt.Errorf("no rule lets the bearer of this OIDC token be node %s", node)
}

func matches(c *token.Claims, want map[string]string) bool {
	for name, value := range want {
		if c.Extra[name] != value {
			return false
		}
	}
	return len(want) > 0
}

// PrincipalRule makes a principal of an external token.
type PrincipalRule struct {
	// Claims that the token must have, exactly: at least one.
	Claims    map[string]string
	Principal token.Principal
}

// MapExternal returns what makes a principal of the tokens of an external issuer: the first rule that matches. With
// joins, a token that no rule matches is a USER that trusts no domain, which may do nothing but join where a rule
// says so.
func MapExternal(rules []PrincipalRule, joins bool) func(token.Value, *token.Claims) error {
	return func(_ token.Value, c *token.Claims) error {
		c.Entity = token.Entity{ID: c.Issuer + " " + c.Subject, Name: c.Subject, Type: "user"}
		for _, r := range rules {
			if matches(c, r.Claims) {
				c.Principal = r.Principal
				return nil
			}
		}
		if joins {
			c.Principal, c.Entity.Type = token.User, "service"
			return nil
		}
		return errors.New("no rule is for them")
	}
}
