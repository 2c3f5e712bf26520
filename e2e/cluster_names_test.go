//go:build e2e

package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Pods call a service by its name as a Service of their cluster. Whatever is behind the egress sees its own name. The
// cluster itself is away here, which harms no call.
func TestNamesInACluster(t *testing.T) {
	t.Parallel()
	config := filepath.Join(t.TempDir(), "kubeconfig")
	must(t, os.WriteFile(config, []byte(`{apiVersion: v1, kind: Config, current-context: x,
  clusters: [{name: x, cluster: {server: "http://127.0.0.1:1"}}], contexts: [{name: x, context: {cluster: x}}]}`), 0o600))
	_, n := world(t, "a", "", "--kubernetes-import", "*", "--kubernetes-kubeconfig", config, "--kubernetes-namespace",
		"catalyst", "--kubernetes-address", "10.0.0.1")
	offer(t, n("a"), "books-of-old", "one")
	answers(t, n("a"), "books-of-old", "one")
	const label = "books--of--old-acme-example"
	for host, want := range map[string]string{
		label:                   " 200 ",
		label + ":80":           " 200 ",
		strings.ToUpper(label):  " 200 ",
		label + ".catalyst":     " 200 ",
		label + ".catalyst.svc": " 200 ",
		label + ".catalyst.svc.cluster.local.:8080": " 200 ",
		"books-of-old.acme.example":                 " 200 ",
		label + ".other":                            " 404 ",
		label + ".catalyst.example":                 " 404 ",
		"books-of-old-acme-example":                 " 404 ",
		"-":                                         " 404 ",
	} {
		got := raw(t, n("a").Egress, "GET /books HTTP/1.1\r\nHost: "+host+"\r\n\r\n")
		if !strings.Contains(strings.SplitN(got, "\r\n", 2)[0], want) {
			t.Errorf("%s: got %q, want%s", host, got, want)
		}
	}
}
