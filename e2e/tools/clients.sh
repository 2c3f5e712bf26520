#!/usr/bin/env bash
# Installs the clients and resolvers of Debian that the end-to-end tests of names use. Wants root, or sudo without a
# password; else it says what to run.
set -euo pipefail
packages=(bind9-dnsutils postgresql-client redis-server redis-tools dnsmasq-base unbound)
as=()
if [ "$(id -u)" != 0 ]; then
	if ! sudo -n true 2>/dev/null; then
		echo "the tests want these: run  sudo apt-get install -y ${packages[*]}  and then this again" >&2
		exit 1
	fi
	as=(sudo -n)
fi
echo "installing ${packages[*]} with apt-get"
[ -n "$(ls -A /var/lib/apt/lists 2>/dev/null | grep -v -e lock -e partial)" ] || "${as[@]}" apt-get update -qq
DEBIAN_FRONTEND=noninteractive "${as[@]}" apt-get install -y -qq --no-install-recommends "${packages[@]}" >/dev/null
