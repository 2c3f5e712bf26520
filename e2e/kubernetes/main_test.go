//go:build kubernetes

package kubernetes

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/catalyst-router/catalyst/e2e/dockerd"
	"github.com/catalyst-router/catalyst/e2e/kubeapi"
	"github.com/catalyst-router/catalyst/e2e/lab"
)

// Addresses of the tests' own network. Those of loopback are refused in EndpointSlices.
const (
	pods  = "10.99.0.%d" // at which workloads listen
	nodes = "10.99.1.1"  // at which Pods reach the node's Envoy
)

func TestMain(m *testing.M) { os.Exit(dockerd.Apart(m.Run)) }

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// root is the module's directory.
const root = "../.."

// tools is the folder of kube-apiserver, kubectl and helm.
func tools(t *testing.T) string {
	t.Helper()
	dir, err := filepath.Abs(filepath.Join(root, ".tools", "kubernetes"))
	must(t, err)
	if given := os.Getenv("CATALYST_KUBERNETES"); given != "" {
		dir = given
	}
	return dir
}

// cluster starts a kube-apiserver that ends with the test.
func cluster(t *testing.T) *kubeapi.Cluster {
	t.Helper()
	out, err := exec.Command("ip", "address", "replace", "10.99.0.0/16", "dev", "lo").CombinedOutput()
	if err != nil {
		t.Fatalf("give loopback the addresses of Pods: %v %s", err, out)
	}
	out, err = exec.Command("ip", "route", "replace", "local", "10.99.0.0/16", "dev", "lo").CombinedOutput()
	if err != nil {
		t.Fatalf("give loopback the addresses of Pods: %v %s", err, out)
	}
	c, err := kubeapi.Start(t.Context(), tools(t))
	must(t, err)
	t.Cleanup(func() { must(t, c.Stop()) })
	return c
}

// site is an organisation with its nodes.
func site(t *testing.T) *lab.Lab {
	t.Helper()
	binary, err := lab.Binary(root)
	must(t, err)
	l, err := lab.New(t.Context(), binary, "acme.example")
	must(t, err)
	t.Cleanup(func() {
		if t.Failed() {
			for name := range l.Nodes {
				log, _ := os.ReadFile(filepath.Join(l.Dir, name, "node.log"))
				t.Logf("node %s:\n%s", name, log[max(0, len(log)-6000):])
			}
		}
		must(t, l.Close())
	})
	return l
}

// chart renders the chart with some values, as catalyst in the namespace catalyst.
func chart(t *testing.T, values ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), filepath.Join(tools(t), "helm"), append([]string{"template", "catalyst",
		filepath.Join(root, "compose", "kubernetes"), "-n", "catalyst"}, values...)...)
	var complaint strings.Builder
	cmd.Stderr = &complaint
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v %s", err, complaint.String())
	}
	return string(out)
}

// install gives the cluster what the chart says, in a namespace that takes confined Pods alone, and returns the
// kubeconfig of the node's service account.
func install(t *testing.T, c *kubeapi.Cluster, values ...string) string {
	t.Helper()
	must(t, c.Apply(t.Context(), "{apiVersion: v1, kind: Namespace, metadata: {name: catalyst, labels: "+
		"{pod-security.kubernetes.io/enforce: restricted}}}"))
	must(t, c.Apply(t.Context(), chart(t, append([]string{"--set", "join.token=t"}, values...)...)))
	path, err := c.Account(t.Context(), "catalyst", "catalyst")
	must(t, err)
	return path
}

// workload listens at the address of a Pod and answers with its name.
func workload(t *testing.T, n int) {
	t.Helper()
	l, err := net.Listen("tcp", fmt.Sprintf(pods+":8080", n))
	must(t, err)
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, "pod %d", n)
	})}
	done := make(chan struct{})
	go func() { defer close(done); _ = srv.Serve(l) }()
	t.Cleanup(func() { _ = srv.Close(); <-done })
}

// service is a Service with annotations.
func service(name, annotations string) string {
	return fmt.Sprintf(`
apiVersion: v1
kind: Service
metadata: {name: %s, namespace: default, annotations: {%s}}
spec: {selector: {app: %[1]s}, ports: [{name: web, port: 80, targetPort: 8080}]}
---
`, name, annotations)
}

// endpoints is its EndpointSlice, as a controller would write it; what is below zero is not ready.
func endpoints(name string, of ...int) string {
	var all []string
	for _, n := range of {
		all = append(all, fmt.Sprintf("{addresses: ['"+pods+"'], conditions: {ready: %t}}", max(n, -n), n > 0))
	}
	return fmt.Sprintf(`
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: %s-1, namespace: default, labels: {kubernetes.io/service-name: %[1]s}}
addressType: IPv4
ports: [{name: web, port: 8080, protocol: TCP}]
endpoints: [%s]
---
`, name, strings.Join(all, ", "))
}

// offered waits until a node offers what is wanted: NAME ADDRESS… (FOUND BY; FOUND IN), by name.
func offered(t *testing.T, n *lab.Node, want ...string) {
	t.Helper()
	must(t, n.Offers(t.Context(), want...))
}

// status waits until the node says of a source what is wanted.
func status(t *testing.T, n *lab.Node, name string, want func(s lab.Source) error) {
	t.Helper()
	must(t, lab.Eventually(t.Context(), "the status of discovery", func(ctx context.Context) error {
		all, err := n.Sources(ctx)
		if err != nil {
			return err
		}
		for _, s := range all {
			if s.Source == name {
				if err := want(s); err != nil {
					return fmt.Errorf("%w: %+v", err, s)
				}
				return nil
			}
		}
		return fmt.Errorf("no %s among %+v", name, all)
	}))
}

// calls waits until a call at an address, of a host, is answered as wanted.
func calls(t *testing.T, address, host, want string) {
	t.Helper()
	must(t, lab.Eventually(t.Context(), "a call of "+host, func(ctx context.Context) error {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+"/", nil)
		if err != nil {
			return err
		}
		req.Host = host
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return err
		}
		defer func() { _ = resp.Body.Close() }()
		var body strings.Builder
		if _, err := fmt.Fprint(&body, resp.Status, " "); err != nil {
			return err
		}
		b := make([]byte, 512)
		n, _ := resp.Body.Read(b)
		if body.Write(b[:n]); !strings.Contains(body.String(), want) {
			return fmt.Errorf("%s, want %s", body.String(), want)
		}
		return nil
	}))
}

// restart restarts a node, over which its Envoy and its peers go on.
func restart(t *testing.T, n *lab.Node) {
	t.Helper()
	must(t, n.Stop(syscall.SIGTERM))
	must(t, n.Start(t.Context()))
}

// changes is how often the node has offered something that it found, or withdrawn it, over its restarts.
func changes(t *testing.T, n *lab.Node) int {
	t.Helper()
	all, err := n.Changes()
	must(t, err)
	return all
}

// list reads objects of the cluster.
func list(t *testing.T, c *kubeapi.Cluster, into any, args ...string) {
	t.Helper()
	out, err := c.CLI(t.Context(), append(args, "-o", "json")...)
	must(t, err)
	must(t, json.Unmarshal([]byte(out), into))
}
