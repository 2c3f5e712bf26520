package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/catalyst-router/catalyst/bgp"
	"github.com/catalyst-router/catalyst/e2e/lab"
	"github.com/catalyst-router/catalyst/e2e/liar"
)

// organisations makes peerings of three organisations, in a line: acme offers, delta carries, bravo calls.
func (s *show) organisations(ctx context.Context) (err error) {
	say("Other organisations, with CAs of their own and nothing in common: delta.example, and behind it bravo.example.")
	var delta, bravo *lab.Lab
	for _, o := range []struct {
		org string
		at  **lab.Lab
		nn  string
		n   **lab.Node
	}{{"delta.example", &delta, "d", &s.d}, {"bravo.example", &bravo, "x", &s.x}} {
		l, e := lab.New(ctx, s.Binary, o.org)
		if e != nil {
			return e
		}
		defer func() { err = errors.Join(err, l.Close()) }()
		*o.at = l
		shows("catalyst org init %s; catalyst node …", o.org)
		if *o.n, err = l.Add(ctx, o.nn); err != nil {
			return err
		}
	}
	say("acme offers delta one of the services that its node a knows. Two commands, and nothing is copied but the " +
		"invitation:")
	err = peerWith(ctx, s.a, s.d, "delta.example", []string{"--export", "books", "--role", "provider"}, nil)
	if err != nil {
		return err
	}
	say("delta offers bravo the same service, and so carries its calls:")
	err = peerWith(ctx, s.d, s.x, "bravo.example", []string{"--export", "books.acme.example", "--role", "peer"},
		[]string{"--import", "books.acme.example"})
	if err != nil {
		return err
	}
	for _, act := range []func(context.Context) error{s.callAbroad, s.absent, s.lies} {
		if err := act(ctx); err != nil {
			return err
		}
	}
	return nil
}

// peerWith has a offer and b accept.
func peerWith(ctx context.Context, a, b *lab.Node, with string, offer, accept []string) error {
	shows("at %s: catalyst peering offer --with %s %s", a.Name, with, strings.Join(offer, " "))
	text, err := a.CLI(ctx, append([]string{"peering", "offer", "--with", with}, offer...)...)
	if err != nil {
		return err
	}
	shows("at %s: catalyst peering accept INVITATION %s", b.Name, strings.Join(accept, " "))
	_, err = b.CLI(ctx, append([]string{"peering", "accept", strings.TrimSpace(text), "--yes"}, accept...)...)
	return err
}

// callAbroad calls books at bravo, as somebody who claims to be of acme.
func (s *show) callAbroad(ctx context.Context) error {
	return lab.Eventually(ctx, "books answers at bravo", func(ctx context.Context) error {
		began := time.Now()
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+s.x.Egress+"/headers", nil)
		if err != nil {
			return err
		}
		req.Host = "books.acme.example"
		req.Header.Set("X-Catalyst-Organisation", "acme.example")
		seen, err := headers(req)
		if err != nil {
			return err
		}
		shows("An application at x calls books.acme.example: 200 in %s. It claims to be acme's. The workload reads",
			time.Since(began).Round(100*time.Microsecond))
		shows("x-catalyst-organisation: %s    x-catalyst-path: %s", seen.Get("X-Catalyst-Organisation"),
			strings.Join(seen.Values("X-Catalyst-Path"), " "))
		return nil
	})
}

// absent shows that the other services of a are not there, and why.
func (s *show) absent(ctx context.Context) error {
	say("Two others that a knows are absent at x. Why? At a: catalyst route explain films | grep delta")
	for _, name := range []string{"films", "stock"} {
		status, _, err := s.x.Get(ctx, name+".acme.example", "/books")
		if err != nil || status != http.StatusNotFound {
			return fmt.Errorf("%s at x: %d, %w, want 404", name, status, err)
		}
		shows("GET %s.acme.example at x → %d", name, status)
		if err := s.line(ctx, s.a, name, "delta.example/d"); err != nil {
			return err
		}
	}
	return nil
}

// line shows the lines of route explain that have a text.
func (s *show) line(ctx context.Context, n *lab.Node, service, has string) error {
	return lab.Eventually(ctx, "route explain "+service+" has "+has, func(ctx context.Context) error {
		out, err := n.CLI(ctx, "route", "explain", service)
		found := false
		for _, l := range strings.Split(out, "\n") {
			if strings.Contains(l, has) {
				found = true
				fmt.Println("    " + l)
			}
		}
		if !found {
			return fmt.Errorf("%w: %s", err, out)
		}
		return nil
	})
}

// lie is what delta's modified node says of a route, and what x says to it.
type lie struct {
	what string
	a    bgp.Attributes
	want string
}

// theLies are refused by who announces and what the path says. That an organisation in the middle of a path is left
// out shows in the signatures along the path alone.
func theLies(d, a bgp.NodeID) []lie {
	path := func(nodes ...bgp.NodeID) bgp.Attributes { return bgp.Attributes{Protocol: bgp.HTTP, NodePath: nodes} }
	leak := path(d, a)
	leak.OnlyToCustomer = "carol.example"
	return []lie{
		{"a hijack: delta says that books is its own", path(d), "may not originate"},
		{"a leak: what carol told delta for its customers alone", leak, "route leak"},
		{"a shortened path: delta leaves itself out", path(a), "does not begin with the announcing peer"},
	}
}

// lies has delta's node taken over, and shows what x says to what it tells then.
func (s *show) lies(ctx context.Context) error {
	say("delta's node is taken over. In its place, with its key, a modified node speaks to x. It announces " +
		"books.acme.example again, in three ways; at x: catalyst route explain books.acme.example | grep delta")
	if err := s.d.Stop(syscall.SIGKILL); err != nil {
		return err
	}
	to := bgp.NodeID{Org: "bravo.example", Name: "x"}
	evil, err := liar.Dial(ctx, filepath.Join(s.d.Dir, "identity"), to, s.x.Peering, bgp.RolePeer)
	if err != nil {
		return err
	}
	defer evil.Close()
	for _, l := range theLies(evil.Node, bgp.NodeID{Org: "acme.example", Name: "a"}) {
		shows("%s", l.what)
		if err := evil.Announce("books.acme.example", l.a); err != nil {
			return err
		}
		if err := s.line(ctx, s.x, "books.acme.example", l.want); err != nil {
			return errors.Join(err, logOf(s.x))
		}
	}
	status, _, err := s.x.Get(ctx, "books.acme.example", "/books")
	if err == nil {
		shows("GET books.acme.example at x → %d: nothing of it is used", status)
	}
	return err
}

// logOf is the end of a node's log, as an error.
func logOf(n *lab.Node) error {
	text, err := os.ReadFile(filepath.Join(n.Dir, "node.log"))
	return errors.Join(err, fmt.Errorf("%s: %s", n.Name, text[max(0, len(text)-3000):]))
}
