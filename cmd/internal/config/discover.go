package config

import (
	"fmt"
	"path/filepath"
	"strings"
)

// Kinds of sources of discovery.
const (
	SourceDirectory = "dir"
	SourceDocker    = "docker"

	SourceKubernetes = "kubernetes"
)

// dockerSocket is where a Docker engine listens.
const dockerSocket = "/var/run/docker.sock"

// Source is one of the places in which services are found.
type Source struct {
	Kind string
	// Path is the directory or the socket; "" for a cluster.
	Path string
	// Text is how it stands in the configuration.
	Text string
}

// Sources reads discover.
func (c *Config) Sources() ([]Source, error) {
	all := make([]Source, 0, len(c.Discover))
	seen := map[string]bool{}
	for _, text := range c.Discover {
		kind, path, given := strings.Cut(text, "=")
		s := Source{Kind: kind, Path: path, Text: text}
		switch kind {
		case SourceDirectory:
			if !filepath.IsAbs(path) {
				return nil, fmt.Errorf("%q: want an absolute path, as in dir=/etc/catalyst/services.d", text)
			}
		case SourceDocker:
			if given && !filepath.IsAbs(path) {
				return nil, fmt.Errorf("%q: want the absolute path of a Unix socket, as in docker=%s", text, dockerSocket)
			}
			if !given {
				s.Path = dockerSocket
			}
		case SourceKubernetes:
			if given {
				return nil, fmt.Errorf("%q: want kubernetes alone; a cluster elsewhere is given by kubernetes.kubeconfig", text)
			}
		default:
			return nil, fmt.Errorf("%q: want docker, docker=SOCKET, kubernetes or dir=DIRECTORY", text)
		}
		key := kind + "=" + filepath.Clean(s.Path)
		if seen[key] {
			return nil, fmt.Errorf("%q: stands there twice", text)
		}
		seen[key] = true
		all = append(all, s)
	}
	return all, nil
}
