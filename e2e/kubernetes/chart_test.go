//go:build kubernetes

package kubernetes

import (
	"encoding/json"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// The chart is one that Helm takes, and its objects are ones that a kube-apiserver takes, with the fields that there
// are, whatever values are given. Its Pods are as confined as the strictest Pod Security Standard wants, and its
// account may do what the node needs, and nothing else.
func TestTheChart(t *testing.T) {
	out, err := exec.CommandContext(t.Context(), filepath.Join(tools(t), "helm"), "lint", "--strict",
		filepath.Join(root, "compose", "kubernetes"), "--set", "join.token=t").CombinedOutput()
	if err != nil {
		t.Errorf("helm lint: %s", out)
	}
	for values, want := range map[string]string{
		"replicas=1":              "a node joins its organisation with a token",
		"join.token=t,replicas=2": "give a Secret with a token for each Pod",
	} {
		out, err := exec.CommandContext(t.Context(), filepath.Join(tools(t), "helm"), "template", "x",
			filepath.Join(root, "compose", "kubernetes"), "--set", values).CombinedOutput()
		if err == nil || !strings.Contains(string(out), want) {
			t.Errorf("%s: %v %s", values, err, out)
		}
	}
	c := cluster(t)
	ctx := t.Context()
	install(t, c, "--set", "import={*}", "--set", "networkPolicy.enabled=true")
	var set struct {
		Spec struct {
			Template struct {
				Metadata map[string]any
				Spec     map[string]any
			}
		}
	}
	list(t, c, &set, "get", "statefulset", "catalyst", "-n", "catalyst")
	pod := set.Spec.Template
	state := map[string]any{"name": "state", "emptyDir": map[string]any{}}
	pod.Spec["volumes"] = append(pod.Spec["volumes"].([]any), state)
	pod.Metadata["name"], pod.Metadata["namespace"] = "catalyst-0", "catalyst"
	text, err := json.Marshal(map[string]any{
		"apiVersion": "v1", "kind": "Pod", "metadata": pod.Metadata, "spec": pod.Spec,
	})
	must(t, err)
	must(t, c.Apply(ctx, string(text)))

	can := func(want bool, args ...string) {
		t.Helper()
		as := []string{"auth", "can-i", "--as", "system:serviceaccount:catalyst:catalyst"}
		said, _ := c.CLI(ctx, append(as, args...)...)
		if got := strings.TrimSpace(said) == "yes"; got != want {
			t.Errorf("%s: %t, want %t", strings.Join(args, " "), got, want)
		}
	}
	can(true, "watch", "services", "-A")
	can(true, "list", "endpointslices.discovery.k8s.io", "-A")
	can(true, "create", "events", "-n", "default")
	can(true, "update", "services", "-n", "catalyst")
	can(true, "get", "configmaps/catalyst-imports", "-n", "catalyst")
	for _, not := range [][]string{{"get", "secrets", "-n", "catalyst"}, {"list", "pods", "-n", "catalyst"},
		{"create", "services", "-n", "default"}, {"update", "endpointslices.discovery.k8s.io", "-n", "default"},
		{"get", "configmaps", "-n", "catalyst"}, {"get", "nodes"}, {"list", "secrets", "-A"}} {
		can(false, not...)
	}

	// With its namespaces named, it has no right beyond them.
	must(t, c.Apply(ctx, "{apiVersion: v1, kind: Namespace, metadata: {name: shop}}"))
	_, err = c.CLI(ctx, "delete", "clusterrolebinding", "catalyst-catalyst-finds")
	must(t, err)
	install(t, c, "--set", "discover.namespaces={shop}", "--set", "service.type=NodePort", "--set", "bind=[::]")
	can(true, "list", "services", "-n", "shop")
	can(false, "list", "services", "-n", "default")
	_, err = c.CLI(ctx, "delete", "statefulset", "catalyst", "-n", "catalyst") // its volumes cannot be changed
	must(t, err)
	install(t, c, "--set", "join.token=", "--set", "discover.enabled=false", "--set",
		"join.existingSecret=tokens", "--set", "replicas=3",
		"--set", "persistence.storageClass=fast", "--set", "extraArgs={--policy-enforce=on}")
}
