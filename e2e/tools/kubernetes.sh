#!/usr/bin/env bash
# Builds kube-apiserver, kubectl and helm into the folder that is given, from the modules that their projects publish
# for Go. The module of Kubernetes takes those of its own repository from beside it (v0.0.0 in its go.mod); outside of it
# they are the modules of the same release.
set -euo pipefail
kubernetes=v1.37.2 staging=v0.37.2 helm=v4.3.2
go=${GO:-go}
to=$1
mkdir -p "$to"
to=$(cd "$to" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

# module NAME MAIN VERSION: a module that needs MAIN and nothing else.
module() {
	mkdir "$1"
	cd "$1"
	printf 'module %s\n\ngo %s\n\nrequire %s %s\n' "$1" "$($go env GOVERSION | sed 's/^go//')" "$2" "$3" >go.mod
}

(
	module cluster k8s.io/kubernetes $kubernetes
	$go mod download -json k8s.io/kubernetes@$kubernetes >module.json
	file=$(sed -n 's/.*"GoMod": "\(.*\)",*/\1/p' module.json)
	sed -nE "s#^[[:space:]]*(require )?(k8s\\.io/[a-z0-9-]+) v0\\.0\\.0\$#replace \\2 => \\2 $staging#p" "$file" >>go.mod
	export GOFLAGS="-mod=mod ${GOFLAGS-}" CGO_ENABLED=0
	$go build -trimpath -ldflags '-s -w' -o "$to/" k8s.io/kubernetes/cmd/kube-apiserver k8s.io/kubernetes/cmd/kubectl
)
(
	module chart helm.sh/helm/v4 $helm
	export GOFLAGS="-mod=mod ${GOFLAGS-}" CGO_ENABLED=0
	$go build -trimpath -ldflags '-s -w' -o "$to/" helm.sh/helm/v4/cmd/helm
)
