package server_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/catalyst-router/catalyst/auth/service"
	"github.com/catalyst-router/catalyst/auth/token"
	"github.com/catalyst-router/catalyst/policy"
)

// ordered is the status of an order at the service, by a token and the certificate of a node.
func (s *site) ordered(c *http.Client, raw, order, body string) int {
	s.t.Helper()
	method, path, _ := strings.Cut(order, " ")
	r, err := http.NewRequestWithContext(s.t.Context(), method, "https://"+s.address+path, strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Authorization", "Bearer "+raw)
	resp, err := c.Do(r)
	if err != nil {
		s.t.Fatal(err)
	}
	_ = resp.Body.Close()
	return resp.StatusCode
}

// tokenOrders has the orders of the service by the actions that they need.
func tokenOrders() map[string]string {
	return map[string]string{
		"POST /v1/tokens":                `{"principal": "USER", "subject": "joe"}`, // TOKEN_CREATE
		"POST /v1/revocations":           `{"kind": "jti", "value": "1"}`,           // TOKEN_REVOKE
		"GET /v1/tokens":                 "",                                        // TOKEN_LIST
		"GET /v1/nodes":                  "",                                        // MANAGE
		"GET /v1/audit?after=0&limit=10": "",
		"POST /v1/joins":                 `{"node": "edge-7"}`,
		"GET /v1/authorities":            "",
	}
}

// Every principal × every order × trusted domains × trusted nodes, with tokens of the service's own: by the defaults an
// ADMIN may, who is trusted with the organisation, and with the service itself if his token names nodes.
func TestRightsAtTheService(t *testing.T) {
	s := start(t, options{})
	dir := s.enrol("edge-1")
	c, bound := s.client(dir), token.ThumbprintOf(leafOf(t, dir))
	for _, principal := range token.Principals() {
		for _, domains := range [][]string{{org}, {"eu." + org}, {"eu." + org, org}} {
			for _, nodes := range [][]string{nil, {"auth"}, {"a"}, {"a", "auth"}} {
				raw, _, err := s.service.Mint(t.Context(), service.Owner(), service.MintRequest{
					Principal: principal, Subject: "ada", Bound: bound,
					Entity: token.Entity{TrustedDomains: domains, TrustedNodes: nodes},
				})
				if err != nil {
					t.Fatal(err)
				}
				want := principal == token.Admin && slices.Contains(domains, org) &&
					(nodes == nil || slices.Contains(nodes, "auth"))
				for order, body := range tokenOrders() {
					if got := s.ordered(c, raw, order, body); (got != http.StatusForbidden) != want {
						t.Errorf("%s of domains %v, nodes %v: %s: %d, want it permitted: %t", principal, domains, nodes, order, got, want)
					}
				}
			}
		}
	}
}

// An operator's own policies permit more, and forbid some of what the defaults permit; each order is decided by its own
// action on its own resource.
func TestOwnPoliciesOfTheService(t *testing.T) {
	const own = `@id("clerks-list") permit (principal == CATALYST::USER::"clerk", action == CATALYST::Action::"TOKEN_LIST", resource);
		@id("no-root") forbid (principal, action == CATALYST::Action::"TOKEN_CREATE", resource == CATALYST::Token::"root");`
	set, err := policy.Compile(policy.Source{Policies: []policy.Document{{Name: "own.cedar", Text: own}}})
	if err != nil {
		t.Fatal(err)
	}
	s := start(t, options{also: func(c *service.Config) { c.Policies = set }})
	dir := s.enrol("edge-1")
	c, bound := s.client(dir), token.ThumbprintOf(leafOf(t, dir))
	mint := func(p token.Principal, subject string) string {
		raw, _, err := s.service.Mint(t.Context(), service.Owner(), service.MintRequest{
			Principal: p, Subject: subject, Bound: bound,
		})
		if err != nil {
			t.Fatal(err)
		}
		return raw
	}
	clerk, admin := mint(token.User, "clerk"), mint(token.Admin, "ada")
	for i, tt := range []struct {
		raw, order, body string
		want             int
	}{
		{clerk, "GET /v1/tokens", "", 200}, {clerk, "GET /v1/nodes", "", 403},
		{clerk, "POST /v1/tokens", `{"principal": "USER", "subject": "joe"}`, 403},
		{admin, "POST /v1/tokens", `{"principal": "USER", "subject": "joe"}`, 200},
		{admin, "POST /v1/tokens", `{"principal": "ADMIN", "subject": "root"}`, 403},
		{mint(token.User, "joe"), "GET /v1/tokens", "", 403},
	} {
		if got := s.ordered(c, tt.raw, tt.order, tt.body); got != tt.want {
			t.Errorf("%s: %s: %d, want %d", fmt.Sprint(i), tt.order, got, tt.want)
		}
	}
}
