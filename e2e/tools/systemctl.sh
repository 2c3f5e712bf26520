#!/bin/bash
# Stands in for systemd in a scratch root, where there is no init: does to processes what systemd does with the package's
# units. It starts what ExecStart says as the unit's user, and a restart is SIGTERM to that process and another one
# (KillMode=process). What systemd keeps a service from doing is not tried here: systemd-analyze security judges it.
set -u
now='' names=() signal=TERM verb=''
for a in "$@"; do
	case $a in
	--now) now=1 ;;
	--signal=*) signal=${a#*=} ;;
	-*) ;;
	*) if [ -z "$verb" ]; then verb=$a; else names+=("${a%.service}"); fi ;;
	esac
done
alive() { [ -s "/run/$1.pid" ] && kill -0 "$(cat "/run/$1.pid")" 2>/dev/null; }
start() {
	alive "$1" && return 0
	local unit=/usr/lib/systemd/system/$1.service
	[ -f "$unit" ] || { echo "Unit $1.service not found." >&2; return 5; }
	set -a
	eval "$(sed -n 's/^Environment=\([A-Z_]*\)=\(.*\)/\1="\2"/p' "$unit")"
	. "$(sed -n 's/^EnvironmentFile=-//p' "$unit")"
	set +a
	ulimit -n "$(ulimit -Hn)"
	cd "$(sed -n 's/^WorkingDirectory=//p' "$unit")" || return 1
	setsid setpriv --reuid catalyst --regid catalyst --clear-groups \
		$(eval "echo $(sed -n 's/^ExecStart=//p' "$unit")") >>"/var/log/$1.log" 2>&1 </dev/null &
	echo $! >"/run/$1.pid"
}
end() { # UNIT SIGNAL
	alive "$1" || return 0
	kill "-$2" "$(cat "/run/$1.pid")"
	for _ in $(seq 600); do alive "$1" || return 0; sleep 0.05; done
	return 1
}
for n in "${names[@]}"; do
	case $verb in
	enable) [ -z "$now" ] || start "$n" ;;
	start) start "$n" ;;
	stop) end "$n" TERM ;;
	kill) alive "$n" && kill "-$signal" "$(cat "/run/$n.pid")" ;;
	restart) end "$n" TERM && start "$n" ;;
	try-restart) ! alive "$n" || { end "$n" TERM && start "$n"; } ;;
	is-active) alive "$n" || exit 3 ;;
	esac || exit
done
exit 0
