//go:build e2e

package containers

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/catalyst-router/catalyst/e2e/dockerd"
	"github.com/catalyst-router/catalyst/e2e/lab"
)

// run starts a container of the image serve and returns where it listens.
func run(t *testing.T, e *dockerd.Engine, name string, args ...string) string {
	t.Helper()
	_, err := e.CLI(
		t.Context(),
		append(append([]string{"run", "-d", "--name", name}, args...), "serve", "api=0.0.0.0:8080")...)
	must(t, err)
	ip, err := e.Address(t.Context(), name)
	must(t, err)
	return ip.String() + ":8080"
}

// calls waits until a service answers at a node, or does not.
func calls(t *testing.T, n *lab.Node, service string, want int) {
	t.Helper()
	must(t, lab.Eventually(t.Context(), service, func(ctx context.Context) error {
		code, body, err := n.Get(ctx, service+".acme.example", "/books")
		if err == nil && code != want {
			err = fmt.Errorf("%d %s, want %d", code, body, want)
		}
		return err
	}))
}

// Containers with labels are offered while they run and are healthy, replicas together, over restarts of the node and
// of Docker; an operator's order stays.
func TestContainersAreOffered(t *testing.T) {
	e := engine(t)
	must(t, e.Image(t.Context(), "serve", program(t, "./e2e/examples/serve")))
	books := []string{"-l", "catalyst.service=books", "-l", "catalyst.port=8080", "-l", "catalyst.tags=old,paper"}
	one := run(t, e, "books-1", books...)
	n := node(t, "--discover", "docker="+e.Socket)
	by := "docker=" + e.Socket
	offered(t, n, fmt.Sprintf("books.acme.example %s (%s; books-1)", one, by))
	calls(t, n, "books", 200)
	shown, err := n.CLI(t.Context(), "route", "show", "books")
	must(t, err)
	listed, err := n.CLI(t.Context(), "route", "list")
	must(t, err)
	if !strings.Contains(shown, by+" (books-1)") || !strings.Contains(listed, "local ("+by+")") {
		t.Errorf("its source is not shown:\n%s\n%s", shown, listed)
	}

	// A replica, and one with a HEALTHCHECK, which counts from its first success on.
	two := run(t, e, "books-2", books...)
	sick := run(t, e, "films", "-l", "catalyst.service=films", "-l", "catalyst.port=8080", "--health-cmd", "exit 0",
		"--health-interval", "1h") // there is no shell: it never becomes healthy
	run(t, e, "wrong", "-l", "catalyst.service=wrong", "-l", "catalyst.prot=8080")
	both := fmt.Sprintf("books.acme.example %s %s (%s; books-1, books-2)", one, two, by)
	offered(t, n, both)
	status(t, n, func(s lab.Source) error {
		if len(s.Problems) != 1 || !strings.Contains(s.Problems[0].Why, "did you mean catalyst.port?") {
			return errors.New("want the label that there is not")
		}
		return nil
	})

	// An operator's order of the same name stays, and is not the source's.
	_, err = n.CLI(t.Context(), "route", "add", "films", "--addr", sick)
	must(t, err)
	_, err = e.CLI(t.Context(), "rm", "-f", "films", "wrong")
	must(t, err)
	mine := run(t, e, "films", "-l", "catalyst.service=films", "-l", "catalyst.port=8080")
	status(t, n, func(s lab.Source) error {
		if len(s.Conflicts) != 1 || s.Conflicts[0].Service != "films.acme.example" || len(s.Problems) != 0 {
			return errors.New("want one conflict")
		}
		return nil
	})
	offered(t, n, both, "films.acme.example "+sick+" (; )")
	if _, err := n.CLI(
		t.Context(),
		"route",
		"remove",
		"books",
	); err == nil ||
		!strings.Contains(err.Error(), "was found by") {
		t.Errorf("what was found is removed by hand: %v", err)
	}
	_, err = n.CLI(t.Context(), "route", "remove", "films")
	must(t, err)
	offered(t, n, both, fmt.Sprintf("films.acme.example %s (%s; films)", mine, by))

	// Told to stop, one gets no more calls; the node is restarted meanwhile, and learns of what went while it was away.
	_, err = e.CLI(t.Context(), "stop", "-t", "1", "books-1")
	must(t, err)
	offered(
		t,
		n,
		fmt.Sprintf("books.acme.example %s (%s; books-2)", two, by),
		fmt.Sprintf("films.acme.example %s (%s; films)", mine, by),
	)
	calls(t, n, "books", 200)

	// Docker is restarted, as for an upgrade, while its containers run on; the node is, too. Nothing is withdrawn, and
	// nothing is announced anew.
	must(t, e.End())
	status(t, n, func(s lab.Source) error {
		if s.Away == "" || s.Services != 2 {
			return errors.New("want it away, and two services")
		}
		return nil
	})
	kept := []string{
		fmt.Sprintf("books.acme.example %s (%s; books-2)", two, by),
		fmt.Sprintf("films.acme.example %s (%s; films)", mine, by),
	}
	before := changes(t, n)
	offered(t, n, kept...)
	calls(t, n, "books", 200)
	restart(t, n)
	offered(t, n, kept...)
	calls(t, n, "books", 200)
	must(t, e.Run(t.Context()))
	status(t, n, func(s lab.Source) error {
		if s.Away != "" {
			return errors.New("want it there")
		}
		return nil
	})
	offered(t, n, kept...)
	if after := changes(t, n); after != before {
		t.Errorf("a restart of both changed %d services", after-before)
	}

	_, err = e.CLI(t.Context(), "rm", "-f", "books-2", "films")
	must(t, err)
	offered(t, n)
}

// changes is how often the node has offered something that it found, or withdrawn it, over its restarts.
func changes(t *testing.T, n *lab.Node) int {
	t.Helper()
	all, err := n.Changes()
	must(t, err)
	return all
}
