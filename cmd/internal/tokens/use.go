package tokens

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"time"

	"github.com/catalyst-router/catalyst/bgp"
)

// Use is what becomes of another organisation's tokens in calls of a service.
type Use struct {
	Service string
	// How is believed, exchanged (refused, but the identity service exchanges them for tokens that are believed) or
	// refused.
	How string
	Why string
}

// What may become of a token.
const (
	Believed  = "believed"
	Exchanged = "exchanged"
	Refused   = "refused"
)

// Uses says of each service, or *.NAME for all below NAME, what becomes of the tokens of an organisation's issuer.
func (t *Tokens) Uses(ctx context.Context, org bgp.Org, services []string) []Use {
	all := make([]Use, 0, len(services))
	exchanged, at := error(nil), ""
	asked := false
	for _, service := range services {
		u := Use{Service: service, How: Believed, Why: "terms.tokens of the peering names it"}
		why := t.refuses(org, service)
		if why != nil && !asked {
			asked = true
			at, exchanged = t.exchanging(ctx, org)
		}
		switch {
		case why == nil:
		case exchanged == nil:
			u.How, u.Why = Exchanged, fmt.Sprintf("at %s (catalyst token exchange); as it is: %s", at, why)
		default:
			u.How, u.Why = Refused, fmt.Sprintf("%s; %s", why, exchanged)
		}
		all = append(all, u)
	}
	return all
}

// refuses returns why tokens of an organisation are not believed for a service; nil if they are.
func (t *Tokens) refuses(org bgp.Org, service string) error {
	for issuer, of := range t.orgs {
		if of == org {
			return t.honours(issuer, service)
		}
	}
	return fmt.Errorf("nothing says where the keys of %s are (policy.issuers)", org)
}

// exchanging returns where tokens of an organisation are exchanged, or why nowhere.
func (t *Tokens) exchanging(ctx context.Context, org bgp.Org) (at string, err error) {
	if t.cfg.Own == nil || t.cfg.Exchanging == nil {
		return "", fmt.Errorf("and tokens of this node's own identity service are not believed here (policy.tokens)")
	}
	if err := t.over(string(org)); err != nil {
		return "", err
	}
	at, orgs, err := t.cfg.Exchanging(ctx)
	switch {
	case err != nil:
		return "", fmt.Errorf("whether the identity service exchanges them is not known: %w", err)
	case !slices.Contains(orgs, string(org)):
		return "", fmt.Errorf("the identity service at %s does not exchange them either (catalyst auth --external)", at)
	}
	return at, nil
}

const (
	askTime = 3 * time.Second
	maxBody = 64 << 10
)

// Exchanging asks an identity service whose tokens it exchanges, by its metadata (RFC 8414).
func Exchanging(ctx context.Context, secure *tls.Config, address string) ([]string, error) {
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	tr := &http.Transport{TLSClientConfig: secure, ForceAttemptHTTP2: true, DisableKeepAlives: true}
	defer tr.CloseIdleConnections()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet,
		"https://"+address+"/.well-known/oauth-authorization-server", nil)
	if err != nil {
		return nil, err
	}
	resp, err := (&http.Client{Transport: tr}).Do(req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(io.LimitReader(resp.Body, maxBody))
	var said struct {
		Of []string `json:"catalyst_exchanges_tokens_of"`
	}
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("it answers %s", resp.Status)
	}
	if err == nil {
		err = json.Unmarshal(b, &said)
	}
	return said.Of, err
}
