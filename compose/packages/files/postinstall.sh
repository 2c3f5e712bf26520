#!/bin/sh
# After an installation or an upgrade: the user, the directory, and the services that run are restarted. A node that is
# restarted leaves its Envoy running, which carries traffic meanwhile.
set -e
if command -v systemd-sysusers >/dev/null; then
	systemd-sysusers catalyst.conf
elif ! getent passwd catalyst >/dev/null; then
	useradd --system --home-dir /var/lib/catalyst --no-create-home --shell /usr/sbin/nologin --comment 'Catalyst router' catalyst
fi
install -d -m 0700 -o catalyst -g catalyst /var/lib/catalyst
if [ -d /run/systemd/system ]; then
	systemctl daemon-reload
	for unit in catalyst-auth.service catalyst-node.service; do
		systemctl try-restart "$unit" || echo "catalyst: $unit does not run: see journalctl -u $unit" >&2
	done
fi
exit 0
