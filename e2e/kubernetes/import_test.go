//go:build kubernetes

package kubernetes

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/catalyst-router/catalyst/e2e/free"
	"github.com/catalyst-router/catalyst/e2e/kubeapi"
	"github.com/catalyst-router/catalyst/e2e/lab"
)

// has waits until the namespace has the Services that are wanted, each with where its calls go:
// NAME:PORT>ADDRESS:PORT…, by name; a + after it for one of Catalyst's.
func has(t *testing.T, c *kubeapi.Cluster, want ...string) {
	t.Helper()
	must(t, lab.Eventually(t.Context(), "the Services of the cluster", func(context.Context) error {
		var services struct {
			Items []struct {
				Metadata struct {
					Name   string
					Labels map[string]string
				}
				Spec struct{ Ports []struct{ Port int } }
			}
		}
		var slicesOf struct {
			Items []struct {
				Metadata  struct{ Labels map[string]string }
				Ports     []struct{ Port int }
				Endpoints []struct{ Addresses []string }
			}
		}
		list(t, c, &services, "get", "services", "-n", "catalyst")
		list(t, c, &slicesOf, "get", "endpointslices", "-n", "catalyst")
		var got []string
		left := len(slicesOf.Items)
		for _, s := range services.Items {
			if s.Metadata.Labels["app.kubernetes.io/managed-by"] == "Helm" {
				continue
			}
			line := fmt.Sprintf("%s:%d>", s.Metadata.Name, s.Spec.Ports[0].Port)
			for _, e := range slicesOf.Items {
				if e.Metadata.Labels["kubernetes.io/service-name"] == s.Metadata.Name {
					left--
					line += fmt.Sprintf("%s:%d", e.Endpoints[0].Addresses[0], e.Ports[0].Port)
				}
			}
			if s.Metadata.Labels["app.kubernetes.io/managed-by"] == "catalyst" {
				line += "+"
			}
			got = append(got, line)
		}
		if strings.Join(got, " ") != strings.Join(want, " ") || left > 0 {
			return fmt.Errorf("got %s (and %d EndpointSlices of no Service), want %s", got, left, want)
		}
		return nil
	}))
}

// Services of another site are Services of the cluster, by whose names Pods call them. They are put right when somebody
// changes them, stay over restarts of the node and of the kube-apiserver, and go with their routes after the stated
// time. What is not Catalyst's is left alone.
func TestServicesAreImported(t *testing.T) {
	c := cluster(t)
	ctx := t.Context()
	workload(t, 1)
	config := install(t, c, "--set", "import={*}")
	foreign := strings.ReplaceAll(service("films-acme-example", "note: mine"), "namespace: default", "namespace: catalyst")
	must(t, c.Apply(ctx, foreign))
	l := site(t)
	a, err := l.Add(ctx, "a")
	must(t, err)
	ports, err := free.Ports(1)
	must(t, err)
	egress := fmt.Sprintf("%s:%d", nodes, ports[0])
	// Before its port the egress has every address, as in the chart.
	b, err := l.Add(ctx, "b", "--envoy-egress", fmt.Sprintf("0.0.0.0:%d", ports[0]), "--envoy-tcp-ip", "0.0.0.0",
		"--kubernetes-import", "*", "--kubernetes-kubeconfig", config, "--kubernetes-address", nodes,
		"--kubernetes-pod", "catalyst-0/6e0a1b1e-0000-4000-8000-000000000000", "--kubernetes-owner", "catalyst-imports",
		"--discover-hold", "4s")
	must(t, err)
	must(t, lab.Peer(ctx, a, b))
	add := func(args ...string) {
		t.Helper()
		_, err := a.CLI(ctx, append([]string{"route", "add"}, append(args, "--addr", "10.99.0.1:8080")...)...)
		must(t, err)
	}
	add("books")
	add("orders-db", "--protocol", "tcp", "--service-port", "5432")
	add("films")
	var port string
	must(t, lab.Eventually(ctx, "a local port", func(ctx context.Context) (err error) {
		port, err = b.TCPPort(ctx, "orders-db.acme.example")
		return err
	}))
	port = port[strings.LastIndex(port, ":")+1:]
	books := "books-acme-example:80>" + egress + "+"
	orders := "orders--db-acme-example:5432>" + nodes + ":" + port + "+"
	has(t, c, books, "films-acme-example:80>", orders)
	status(t, b, "import to catalyst", func(s lab.Source) error {
		if s.Services != 2 || len(s.Problems) != 1 || !strings.Contains(s.Problems[0].Why,
			"services catalyst/films-acme-example is there and is not Catalyst's") {
			return fmt.Errorf("want the name that is taken")
		}
		return nil
	})
	calls(t, egress, "books-acme-example.catalyst", "200 OK pod 1")
	calls(t, egress, "books-acme-example.catalyst.svc.cluster.local", "200 OK pod 1")
	calls(t, nodes+":"+port, "orders--db-acme-example.catalyst:5432", "200 OK pod 1")
	owners, err := c.CLI(ctx, "get", "service/books-acme-example", "endpointslice/books-acme-example-b", "-n",
		"catalyst", "-o",
		"jsonpath={range .items[*]}{.metadata.ownerReferences[*].kind} {.metadata.ownerReferences[*].name},{end}")
	must(t, err)
	if owners != "ConfigMap catalyst-imports,Pod catalyst-0," {
		t.Errorf("its owners are %s", owners)
	}

	// Somebody removes it, and changes it: it is put right. The name that was taken is free: it is Catalyst's.
	_, err = c.CLI(ctx, "delete", "service", "books-acme-example", "films-acme-example", "-n", "catalyst")
	must(t, err)
	_, err = c.CLI(ctx, "patch", "service", "orders--db-acme-example", "-n", "catalyst", "--type=json", "-p",
		`[{"op":"replace","path":"/spec/ports/0/port","value":81}]`)
	must(t, err)
	_, err = c.CLI(ctx, "delete", "endpointslice", "orders--db-acme-example-b", "-n", "catalyst")
	must(t, err)
	films := "films-acme-example:80>" + egress + "+"
	has(t, c, books, films, orders)

	// The kube-apiserver is away, and the node is restarted meanwhile: calls go on, and nothing is written anew.
	before := uids(t, c)
	must(t, c.End())
	calls(t, egress, "books-acme-example.catalyst", "200 OK pod 1")
	restart(t, b)
	calls(t, egress, "books-acme-example.catalyst", "200 OK pod 1")
	must(t, c.Run(ctx))
	status(t, b, "import to catalyst", func(s lab.Source) error {
		if s.Away != "" || s.Services != 3 {
			return fmt.Errorf("want it there")
		}
		return nil
	})
	has(t, c, books, films, orders)
	if after := uids(t, c); after != before {
		t.Errorf("objects were written anew:\n%s\n%s", before, after)
	}

	// Their routes go: so do they, after the stated time, and nothing is left.
	for _, name := range []string{"books", "films", "orders-db"} {
		_, err = a.CLI(ctx, "route", "remove", name)
		must(t, err)
	}
	has(t, c)
}

// uids are those of everything that Catalyst has written, with their versions.
func uids(t *testing.T, c *kubeapi.Cluster) string {
	t.Helper()
	out, err := c.CLI(t.Context(), "get", "services,endpointslices", "-n", "catalyst", "-l",
		"app.kubernetes.io/managed-by=catalyst", "-o",
		`jsonpath={range .items[*]}{.metadata.name} {.metadata.uid} {.metadata.resourceVersion}{"\n"}{end}`)
	must(t, err)
	return out
}
