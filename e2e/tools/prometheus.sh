#!/usr/bin/env bash
# Unpacks Debian's Prometheus, with promtool, into the folder that is given. Nothing is installed, no service is started.
set -euo pipefail
[ -n "$(ls -A /var/lib/apt/lists 2>/dev/null | grep -v -e lock -e partial)" ] || {
	if [ "$(id -u)" = 0 ]; then apt-get update -qq; else sudo -n apt-get update -qq; fi
}
to=$1
mkdir -p "$to"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
(cd "$work" && apt-get download -qq prometheus 2>/dev/null && dpkg -x prometheus_*.deb .)
mv "$work"/usr/bin/prometheus "$work"/usr/bin/promtool "$to"/
