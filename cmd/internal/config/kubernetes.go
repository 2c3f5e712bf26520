package config

import (
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strings"

	"github.com/catalyst-router/catalyst/bgp/filter"
)

// Kubernetes is the cluster in which services are found, and into which those of other nodes are brought.
type Kubernetes struct {
	Kubeconfig string   `yaml:"kubeconfig" doc:"file with the address of the cluster and credentials, for a node that runs outside of it; empty: the service account of the node's Pod" default:""`
	Namespaces []string `yaml:"namespaces" doc:"namespaces in which discover=kubernetes finds Services, at most 100; empty for all" default:"[]"`
	Import     []string `yaml:"import" doc:"services of other nodes that the cluster has as Services: names, *.NAME for all below NAME, or * for all" default:"[]"`
	Namespace  string   `yaml:"namespace" doc:"namespace of these Services; empty for that of the node's Pod, or of the kubeconfig" default:""`
	Address    string   `yaml:"address" doc:"IP at which Pods reach this node's Envoy; wanted with kubernetes.import" default:""`
	Pod        string   `yaml:"pod" doc:"NAME/UID of the Pod in which Envoy runs: when it is gone, Kubernetes removes its EndpointSlices; empty: they stay until the node removes them" default:""`
	Owner      string   `yaml:"owner" doc:"ConfigMap in kubernetes.namespace: when it is removed, Kubernetes removes the Services; empty: they stay until the node removes them" default:""`
}

const maxNamespaces = 100

// dnsLabel is what the names of namespaces are (RFC 1123).
func dnsLabel(name string) bool {
	return len(name) <= 63 && regexp.MustCompile(`^[a-z0-9]([-a-z0-9]*[a-z0-9])?$`).MatchString(name)
}

// NeedsCluster tells whether the node speaks with a kube-apiserver.
func (c *Config) NeedsCluster() bool {
	return len(c.Kubernetes.Import) > 0 || slices.Contains(c.Discover, SourceKubernetes)
}

// PodName and PodUID are the two parts of kubernetes.pod.
func (k *Kubernetes) PodName() (name, uid string) {
	name, uid, _ = strings.Cut(k.Pod, "/")
	return name, uid
}

func (k *Kubernetes) check(bad func(key, format string, args ...any)) {
	for _, n := range k.Namespaces {
		if !dnsLabel(n) {
			bad("kubernetes.namespaces", "%q: want the name of a namespace", n)
		}
	}
	if n := len(k.Namespaces); n > maxNamespaces {
		bad("kubernetes.namespaces", "%d of them: want at most %d, or none for all", n, maxNamespaces)
	}
	for _, pattern := range k.Import {
		if err := filter.CheckPattern(pattern); err != nil {
			bad("kubernetes.import", "%q %w", pattern, err)
		}
	}
	if k.Namespace != "" && !dnsLabel(k.Namespace) {
		bad("kubernetes.namespace", "%q: want the name of a namespace", k.Namespace)
	}
	if k.Address != "" || len(k.Import) > 0 {
		if err := podAddress(k.Address); err != nil {
			bad("kubernetes.address", "%w", err)
		}
	}
	if name, uid := k.PodName(); k.Pod != "" && (name == "" || uid == "" || strings.Contains(uid, "/")) {
		bad("kubernetes.pod", "%q: want NAME/UID", k.Pod)
	}
	if strings.ContainsAny(k.Owner, "/ ") {
		bad("kubernetes.owner", "%q: want the name of a ConfigMap", k.Owner)
	}
}

// podAddress checks an address as an EndpointSlice may have it: kube-apiserver refuses loopback and link-local ones.
func podAddress(text string) error {
	ip, err := netip.ParseAddr(text)
	if err != nil || ip.IsLoopback() || ip.IsLinkLocalUnicast() || ip.IsUnspecified() || ip.IsMulticast() {
		return fmt.Errorf("%q: want the IP address at which Pods reach this node's Envoy, which is not one of loopback",
			text)
	}
	return nil
}
