//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/catalyst-router/catalyst/e2e/lab"
)

// resolving is a program whose resolver is a node's.
func resolving(server string) *net.Resolver {
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, server)
	}}
}

// A partner tells of what is below a name in one: each name below it, however deep, has the address at which HTTP
// services are called, and a program that looks it up and calls it there reaches the service. What is not below it has
// none, and with the last service of the pattern the names go.
func TestNamesBelowAPattern(t *testing.T) {
	_, n := world(t, "a", "")
	a, ip := n("a"), nameserver()
	x := organisation(t, "bravo.example", "x", "--dns", ip+":5353")
	const eu, books, lost = "*.eu.acme.example", "books.eu.acme.example", "no.such.eu.acme.example"
	offer(t, a, books, "one")
	offer(t, a, "secret.us.acme.example", "three")
	peered(t, a, x, "bravo.example", []string{"--export", eu, "--aggregate", eu}, nil)

	host, port, err := net.SplitHostPort(x.Egress)
	must(t, err)
	resolver := resolving(ip + ":5353")
	for _, name := range []string{books, lost, strings.ToUpper(books)} {
		must(t, lab.Eventually(t.Context(), name, func(ctx context.Context) error {
			if all, err := resolver.LookupHost(ctx, name); !slices.Equal(all, []string{host}) {
				return fmt.Errorf("has the addresses %v, %w: want %s", all, err, host)
			}
			return nil
		}))
	}
	client := &http.Client{Transport: &http.Transport{
		DialContext: (&net.Dialer{Resolver: resolver}).DialContext, DisableKeepAlives: true,
	}}
	for name, want := range map[string][2]string{
		books: {"200 ", "one"}, lost: {"404 ", "acme.example has no service of this name"},
	} {
		must(t, lab.Eventually(t.Context(), "a call of "+name, func(ctx context.Context) error {
			req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+net.JoinHostPort(name, port)+"/books", nil)
			if err != nil {
				return err
			}
			resp, err := client.Do(req)
			if err != nil {
				return err
			}
			defer func() { _ = resp.Body.Close() }()
			body, err := io.ReadAll(resp.Body)
			if got := fmt.Sprintf("%d %s", resp.StatusCode, body); !strings.HasPrefix(got, want[0]) ||
				!strings.Contains(got, want[1]) {
				return fmt.Errorf("%s, %w: want %q", got, err, want)
			}
			return nil
		}))
	}
	unknown := func(name string) error {
		if out := dig(t, ip, 5353, name); !strings.Contains(out, "status: NXDOMAIN") {
			return fmt.Errorf("%s: want NXDOMAIN:\n%s", name, out)
		}
		return nil
	}
	must(t, unknown("secret.us.acme.example"))
	_, err = a.CLI(t.Context(), "route", "remove", books)
	must(t, err)
	for _, name := range []string{books, lost} {
		must(t, lab.Eventually(t.Context(), name+" is nobody's", func(context.Context) error { return unknown(name) }))
	}
}
