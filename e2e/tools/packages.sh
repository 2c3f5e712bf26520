#!/usr/bin/env bash
# Makes the packages catalyst (.deb and .rpm) and catalyst-envoy into a folder: packages.sh VERSION FOLDER [ARCH]
# PROGRAM is a catalyst that was built before.
# ARCH is amd64 (the default: this machine's) or arm64. Envoy is that of make tools, for this machine's processor alone.
set -euo pipefail
cd "$(dirname "$0")/../.."
version=$1 out=$(mkdir -p "$2" && cd "$2" && pwd) arch=${3:-$(go env GOARCH)}
built=$(mktemp -d)
trap 'rm -rf "$built"' EXIT
# A version of a package begins with a digit, and a dash would begin Debian's revision.
VERSION=$(sed -E 's/^v//; s/-/+/g; /^[0-9]/!s/^/0~/' <<<"$version")
export VERSION ARCH=$arch BUILT=$built SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}
nfpm=$out/.nfpm
(cd compose/packages && GOFLAGS=-trimpath go build -o "$nfpm" github.com/goreleaser/nfpm/v2/cmd/nfpm)
if [ "${PROGRAM:-}" ]; then
	cp "$PROGRAM" "$built/catalyst"
else
	CGO_ENABLED=0 GOARCH=$arch go build -trimpath -ldflags "-s -w -X main.version=$version" -o "$built/catalyst" ./cmd/catalyst
fi
CGO_ENABLED=0 go run -trimpath ./cmd/manpages "$version" "$built"
gzip -9n "$built"/man/*.1
for format in deb rpm; do "$nfpm" package -f compose/packages/nfpm.yaml -p $format -t "$out" >"$built/log" || { cat "$built/log" >&2; exit 1; }; done
if [ "$arch" = "$(go env GOARCH)" ] && [ -x "${CATALYST_ENVOY:-}" ]; then
	cp "$CATALYST_ENVOY" "$built/envoy"
	ENVOY_VERSION=$("$built/envoy" --version | grep -oE '[0-9]+\.[0-9]+\.[0-9]+' | head -1)
	export ENVOY_VERSION
	for format in deb rpm; do "$nfpm" package -f compose/packages/nfpm-envoy.yaml -p $format -t "$out" >"$built/log" || { cat "$built/log" >&2; exit 1; }; done
fi
rm "$nfpm"
ls -1 "$out"
