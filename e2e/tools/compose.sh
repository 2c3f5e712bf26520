#!/usr/bin/env bash
# Builds Docker Compose v2 into the folder that is given, from the module that its project publishes for Go, with the
# versions that it names itself. Debian has Compose 1.29, which the tests use otherwise.
set -euo pipefail
module=github.com/docker/compose/v2 version=v2.40.3
go=${GO:-go}
to=$1
mkdir -p "$to"
to=$(cd "$to" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
$go mod download -json $module@$version >module.json
# What its go.mod excludes has to be excluded here as well: that counts in the main module alone.
sed "s#^module .*#module compose#" "$(sed -n 's/.*"GoMod": "\(.*\)",*/\1/p' module.json)" >go.mod
printf '\nrequire %s %s\n' $module $version >>go.mod
export GOFLAGS="-mod=mod ${GOFLAGS-}" CGO_ENABLED=0
$go build -trimpath -ldflags "-s -w -X $module/internal.Version=$version" -o "$to/docker-compose" $module/cmd
