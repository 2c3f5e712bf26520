//go:build kubernetes

package kubernetes

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/catalyst-router/catalyst/e2e/lab"
)

// Services with the annotation are offered at their ready endpoints, over restarts of the node and of the
// kube-apiserver; an operator's order stays; a mistake is told in the cluster as well.
func TestServicesAreOffered(t *testing.T) {
	c := cluster(t)
	for n := range 4 {
		workload(t, n+1)
	}
	ctx := t.Context()
	must(t, c.Apply(ctx, service("books", "catalyst.service: books, catalyst.tags: 'old,paper'")+endpoints("books", 1)+
		service("other", "")+endpoints("other", 4)))
	n, err := site(t).Add(ctx, "a", "--discover", "kubernetes", "--kubernetes-kubeconfig", install(t, c))
	must(t, err)
	one := "books.acme.example 10.99.0.1:8080 (kubernetes; default/books)"
	offered(t, n, one)
	calls(t, n.Egress, "books.acme.example", "200 OK pod 1")

	// A Pod that is ready is a replica; one that is not, or is about to end, is not.
	must(t, c.Apply(ctx, endpoints("books", 1, 2, -3)))
	both := "books.acme.example 10.99.0.1:8080 10.99.0.2:8080 (kubernetes; default/books)"
	offered(t, n, both)
	ends := strings.Replace(endpoints("books", 1, 2, 3), "ready: true}}]", "ready: true, terminating: true}}]", 1)
	must(t, c.Apply(ctx, ends))
	offered(t, n, both)

	// None ready: it is withdrawn, and comes back.
	must(t, c.Apply(ctx, endpoints("books", -1)))
	offered(t, n)
	status(t, n, "kubernetes", func(s lab.Source) error {
		if len(s.Problems) != 1 || s.Problems[0].Why != "none of its endpoints is ready" {
			return errors.New("want it told")
		}
		return nil
	})
	must(t, c.Apply(ctx, endpoints("books", 1)))
	offered(t, n, one)

	// A mistake harms nobody: the service stays as it was. Whoever looks at the Service is told.
	must(t, c.Apply(ctx, service("books", "catalyst.service: books, catalyst.prot: '80'")+
		service("films", "catalyst.service: films, catalyst.port: '99'")+endpoints("films", 2)))
	status(t, n, "kubernetes", func(s lab.Source) error {
		if len(s.Problems) != 2 || !strings.Contains(s.Problems[0].Why+s.Problems[1].Why, "did you mean catalyst.port?") {
			return errors.New("want the label that there is not")
		}
		return nil
	})
	offered(t, n, one)
	must(t, lab.Eventually(ctx, "an Event of each mistake", func(ctx context.Context) error {
		said, err := c.CLI(ctx, "get", "events", "-o",
			`jsonpath={range .items[*]}{.involvedObject.name} {.message}{"\n"}{end}`)
		if err == nil && (!strings.Contains(said, "books Catalyst does not offer it: catalyst.prot: there is no such") ||
			!strings.Contains(said, "films Catalyst does not offer it: catalyst.port: the Service has no TCP port 99")) {
			err = fmt.Errorf("got %s", said)
		}
		return err
	}))

	// An operator's order of the same name stays, and is not the source's.
	_, err = n.CLI(ctx, "route", "add", "films", "--addr", "10.99.0.3:8080")
	must(t, err)
	must(t, c.Apply(ctx, service("books", "catalyst.service: books")+service("films", "catalyst.service: films")))
	status(t, n, "kubernetes", func(s lab.Source) error {
		if len(s.Conflicts) != 1 || s.Conflicts[0].Service != "films.acme.example" || len(s.Problems) != 0 {
			return errors.New("want one conflict")
		}
		return nil
	})
	films := "films.acme.example 10.99.0.2:8080 (kubernetes; default/films)"
	offered(t, n, one, "films.acme.example 10.99.0.3:8080 (; )")
	_, err = n.CLI(ctx, "route", "remove", "films")
	must(t, err)
	offered(t, n, one, films)

	// The kube-apiserver is away, and the node is restarted meanwhile: nothing is withdrawn, or announced anew.
	before := changes(t, n)
	must(t, c.End())
	away := func(s lab.Source) error {
		if s.Away == "" || s.Services != 2 {
			return errors.New("want it away, and two services")
		}
		return nil
	}
	status(t, n, "kubernetes", away)
	restart(t, n)
	status(t, n, "kubernetes", away)
	offered(t, n, one, films)
	calls(t, n.Egress, "books.acme.example", "200 OK pod 1")
	must(t, c.Run(ctx))
	status(t, n, "kubernetes", func(s lab.Source) error {
		if s.Away != "" {
			return errors.New("want it there")
		}
		return nil
	})
	offered(t, n, one, films)
	if after := changes(t, n); after != before {
		t.Errorf("restarts of both changed %d services", after-before)
	}
	_, err = c.CLI(ctx, "delete", "service", "books", "films")
	must(t, err)
	offered(t, n)
}
