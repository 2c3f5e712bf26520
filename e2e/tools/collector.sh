#!/usr/bin/env bash
# Builds an OpenTelemetry Collector with its own builder from the Go module proxy, as collector.yaml beside this says, into
# the folder that is given.
set -euo pipefail
config=$(cd "$(dirname "$0")" && pwd)/collector.yaml
mkdir -p "$1"
to=$(cd "$1" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
GOBIN=$work/bin "${GO:-go}" install go.opentelemetry.io/collector/cmd/builder@v0.140.0
sed "s|^dist: {|dist: {output_path: $work/source, |" "$config" >"$work/collector.yaml"
"$work/bin/builder" --config "$work/collector.yaml"
mv "$work/source/otelcol" "$to/otelcol"
