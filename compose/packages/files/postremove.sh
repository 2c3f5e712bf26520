#!/bin/sh
# Keys and state stay when the package is removed, and go when it is purged. rpm knows no purge: they stay.
set -e
if [ -d /run/systemd/system ]; then
	systemctl daemon-reload || true
fi
if [ "$1" = purge ]; then
	rm -rf /var/lib/catalyst
	rm -f /etc/catalyst/node.yaml
	rmdir /etc/catalyst 2>/dev/null || true
fi
exit 0
