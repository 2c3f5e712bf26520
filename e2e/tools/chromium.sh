#!/usr/bin/env bash
# Installs Debian's Chromium, for the tests of the looking glass. Wants root, or sudo without a password; else it says what to run.
set -euo pipefail
as=()
if [ "$(id -u)" != 0 ]; then
	if ! sudo -n true 2>/dev/null; then
		echo 'the tests want Chromium: run  sudo apt-get install -y chromium  and then this again' >&2
		exit 1
	fi
	as=(sudo -n)
fi
echo 'installing Chromium with apt-get'
[ -n "$(ls -A /var/lib/apt/lists 2>/dev/null | grep -v -e lock -e partial)" ] || "${as[@]}" apt-get update -qq
DEBIAN_FRONTEND=noninteractive "${as[@]}" apt-get install -y -qq --no-install-recommends chromium >/dev/null
