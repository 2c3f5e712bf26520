#!/usr/bin/env bash
# Installs packages of Debian that the tests want: debian.sh PACKAGE… Wants root, or sudo without a password; else it
# says what to run.
set -euo pipefail
as=()
if [ "$(id -u)" != 0 ]; then
	if ! sudo -n true 2>/dev/null; then
		echo "the tests want this: run  sudo apt-get install -y $*  and then this again" >&2
		exit 1
	fi
	as=(sudo -n)
fi
echo "installing $* with apt-get"
[ -n "$(ls -A /var/lib/apt/lists 2>/dev/null | grep -v -e lock -e partial)" ] || "${as[@]}" apt-get update -qq
DEBIAN_FRONTEND=noninteractive "${as[@]}" apt-get install -y -qq --no-install-recommends "$@" >/dev/null
