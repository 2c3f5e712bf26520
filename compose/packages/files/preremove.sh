#!/bin/sh
# Before a removal, and not before an upgrade: the node ends for good, and its Envoy with it. Peers are told.
# dpkg gives remove or upgrade, rpm the number of versions that stay.
set -e
case "$1" in
remove | 0) ;;
*) exit 0 ;;
esac
if [ -d /run/systemd/system ]; then
	systemctl disable catalyst-node.service catalyst-auth.service >/dev/null 2>&1 || true
	if systemctl is-active --quiet catalyst-node.service; then
		systemctl kill --kill-who=main --signal=INT catalyst-node.service || true
		for _ in $(seq 300); do
			systemctl is-active --quiet catalyst-node.service || break
			sleep 0.1
		done
	fi
	systemctl stop catalyst-node.service catalyst-auth.service || true
fi
exit 0
