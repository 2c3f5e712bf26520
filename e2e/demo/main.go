// Command demo shows the main job on one machine: three nodes in a line, each with its Envoy, and an application at
// one end that reaches services at the other by their names; then two more organisations, one of them as transit. Each
// chapter is a file.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/catalyst-router/catalyst/e2e/lab"
)

func main() {
	once := flag.Bool("once", false, "end after the show, instead of staying up")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *once); err != nil && !errors.Is(err, context.Canceled) {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}

func say(format string, args ...any)   { fmt.Printf("\n"+format+"\n", args...) }
func shows(format string, args ...any) { fmt.Printf("    "+format+"\n", args...) }

// show is what the demo has at hand.
type show struct {
	*lab.Lab
	a, b, c *lab.Node
	d, x    *lab.Node          // of delta.example and bravo.example
	stopAPI context.CancelFunc // ends the HTTP API at a
	apiAddr string
	rpcAddr string // of the gRPC service
}

func run(ctx context.Context, once bool) (err error) {
	binary, err := filepath.Abs("bin/catalyst")
	if err != nil {
		return err
	}
	began := time.Now()
	l, err := lab.New(ctx, binary, "acme.example")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.Close()) }()
	s := &show{Lab: l}
	for _, act := range []func(context.Context) error{s.nodes, s.services, s.calls, s.crash, s.live, s.graph, s.drain,
		s.broken, s.policies, s.seen, s.tokens, s.organisations, s.gone} {
		if err := act(ctx); err != nil {
			return err
		}
	}
	say("That was it, in %s.", time.Since(began).Round(time.Second))
	page, err := s.c.CLI(ctx, "web")
	if err != nil {
		return err
	}
	say("What c knows is on a page for a browser, with a map of the nodes and the way of each service: catalyst web")
	shows("%s", strings.TrimSpace(page))
	if once {
		return nil
	}
	say("The three nodes stay up until you press Ctrl-C. Try, in another terminal:")
	shows("curl -H 'Host: films.acme.example' http://%s/books", s.c.Egress)
	shows("%s --socket %s route list", binary, filepath.Join(s.c.Dir, "data", "catalyst.sock"))
	shows("%s --socket %s trace stock", binary, filepath.Join(s.c.Dir, "data", "catalyst.sock"))
	shows("%s --socket %s route explain films", binary, filepath.Join(s.c.Dir, "data", "catalyst.sock"))
	shows("curl -H 'Content-Type: application/json' -d '{\"query\": \"{ books { title } }\"}' http://%s/graphql    # "+
		"or open http://%s/ in a browser", s.c.Gateway, s.c.Gateway)
	shows("%s --socket %s tap", binary, filepath.Join(s.c.Dir, "data", "catalyst.sock"))
	shows("%s --socket %s watch", binary, filepath.Join(s.b.Dir, "data", "catalyst.sock"))
	<-ctx.Done()
	return nil
}
