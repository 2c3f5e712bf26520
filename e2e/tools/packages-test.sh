#!/usr/bin/env bash
# Tries the packages: two sites, each an empty Debian of its own (debootstrap) in a network of its own, from nothing to the
# first call; then an upgrade from the commit before and back under load, removal, purge; and the .rpm in a third root.
# Wants root, debootstrap and rpm. packages-test.sh [OLD-REF]
set -euo pipefail
cd "$(dirname "$0")/../.."
old_ref=${1:-HEAD~1}
work=$(mktemp -d)
base=$PWD/.tools/debian
say() { echo "-- $*"; }
fail() { echo "FAILED: $*" >&2; exit 1; }
declare -A init # process that is the first one of a site, by site
inside() { local site=$1; shift; nsenter -t "${init[$site]}" --net --pid env -i PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin chroot "$work/$site" "$@"; }
cleanup() {
	local code=$?
	for site in one two; do
		[ $code = 0 ] || tail -n 15 "$work/$site"/var/log/catalyst-*.log >&2 2>/dev/null || true
		[ -z "${init[$site]:-}" ] || kill -KILL "${init[$site]}" || true
		for pid in $(ip netns pids "p-$site" 2>/dev/null); do kill -KILL "$pid" 2>/dev/null || true; done
		ip netns del "p-$site" 2>/dev/null || true
		umount "$work/$site/proc" 2>/dev/null || true
	done
	git worktree remove --force "$work/before" 2>/dev/null || true
	if grep -q " $work/" /proc/mounts; then
		echo "$work is left: something is mounted in it" >&2
	else
		rm -rf --one-file-system "$work"
	fi
}
trap cleanup EXIT

say 'packages of now and of the commit before'
if [ "${MADE:-}" ]; then # folders old and new with packages of versions 1.0.0 and 2.0.0 that were made before
	cp -r "$MADE/old" "$MADE/new" "$work/"
else
	e2e/tools/packages.sh 2.0.0 "$work/new" >/dev/null
	git worktree add -q --detach "$work/before" "$old_ref"
	(cd "$work/before" && CGO_ENABLED=0 go build -trimpath -ldflags '-s -w -X main.version=1.0.0' -o "$work/catalyst-before" ./cmd/catalyst)
	PROGRAM=$work/catalyst-before e2e/tools/packages.sh 1.0.0 "$work/old" >/dev/null
fi
CGO_ENABLED=0 go build -trimpath -o "$work/serve" ./e2e/examples/serve

[ -d "$base" ] || debootstrap --variant=minbase bookworm "$base.new" ${DEBIAN_MIRROR:-} >/dev/null
[ -d "$base" ] || mv "$base.new" "$base"
for site in one two rpm; do
	cp -a "$base" "$work/$site"
	mkdir -p "$work/$site/run/systemd/system"
	install -m 755 e2e/tools/systemctl.sh "$work/$site/usr/bin/systemctl" # rpm's scripts have /usr/bin on their PATH
done
for site in one two; do
	ip netns add "p-$site"
	ip -n "p-$site" link set lo up
	# The first process of a machine reaps the others, as init does.
	ip netns exec "p-$site" unshare --pid --fork --kill-child bash -c 'while :; do sleep 1 & wait $!; done' &
	forked=$!
	until init[$site]=$(pgrep -P "$forked" bash); do sleep 0.1; done
	nsenter -t "${init[$site]}" --pid mount -t proc proc "$work/$site/proc"
	# Nodes of its own: the machine's /dev is bound nowhere, so that removing the folder cannot reach it.
	for node in 'null 1 3' 'zero 1 5' 'full 1 7' 'random 1 8' 'urandom 1 9'; do
		read -r name major minor <<<"$node"
		[ -e "$work/$site/dev/$name" ] || mknod -m 666 "$work/$site/dev/$name" c "$major" "$minor"
	done
done
ip -n p-one link add eth0 type veth peer name eth0 netns p-two
for site in one two; do
	ip -n "p-$site" addr add "192.0.2.$([ $site = one ] && echo 1 || echo 2)/24" dev eth0
	ip -n "p-$site" link set eth0 up
done
ip netns exec p-one "$work/serve" books=127.0.0.1:9000 2>/dev/null &

say 'two sites, from an empty Debian to the first call: four commands and three'
install_() { cp "$work/$2"/*.deb "$work/$1/tmp/"; inside "$1" sh -c "dpkg -i /tmp/*.deb >/tmp/dpkg.log 2>&1 || { cat /tmp/dpkg.log; exit 1; }"; rm "$work/$1"/tmp/*.deb; }
install_ one old
inside one catalyst site init acme.example --address 192.0.2.1 --node one
inside one catalyst route add books --addr 127.0.0.1:9000
invitation=$(inside one catalyst site invite two)
install_ two old
inside two $invitation --address 192.0.2.2
question='{"query":"{ __typename }"}' # the workload is an example subgraph
call() { ip netns exec p-two curl -m 5 -s -o /dev/null -w '%{http_code}' -H 'Host: books.acme.example' -H 'Content-Type: application/json' -d "$question" http://127.0.0.1:8080/; }
for _ in $(seq 100); do [ "$(call || true)" != 200 ] || break; sleep 0.1; done
[ "$(call || true)" = 200 ] || fail 'the first call'
[ "$(inside two stat -c '%U %a' /var/lib/catalyst)" = 'catalyst 700' ] || fail 'the state directory'
inside two catalyst doctor -o json >"$work/doctor.json" || true
grep -q '"state": "wrong"' "$work/doctor.json" && { grep -B1 -A4 '"state": "wrong"' "$work/doctor.json"; fail 'doctor finds something wrong'; }

say 'an upgrade and back under load'
cat >"$work/load.py" <<'PY'
import http.client, sys, threading, time, signal
stop, lock, counts = threading.Event(), threading.Lock(), {}
signal.signal(signal.SIGTERM, lambda *_: stop.set())
def run():
    c = http.client.HTTPConnection("127.0.0.1", 8080, timeout=10)
    while not stop.is_set():
        try:
            c.request("POST", "/", '{"query":"{ __typename }"}', {"Host": "books.acme.example", "Content-Type": "application/json"})
            r = c.getresponse(); r.read(); what = r.status
        except Exception as e:
            what = repr(e); c = http.client.HTTPConnection("127.0.0.1", 8080, timeout=10)
        with lock: counts[what] = counts.get(what, 0) + 1
        time.sleep(0.002)
all = [threading.Thread(target=run) for _ in range(8)]
[t.start() for t in all]
while not stop.is_set(): time.sleep(0.05)
[t.join() for t in all]
print(counts); sys.exit(set(counts) != {200})
PY
ip netns exec p-two python3 "$work/load.py" >"$work/load.out" &
load=$!
envoy() { cat "$work/$1/var/lib/catalyst/data/envoy.pid"; }
before="$(envoy one) $(envoy two)"
echo '# kept' >>"$work/two/etc/default/catalyst-node"
for version in new old; do
	for site in two one; do
		install_ "$site" $version
		inside "$site" catalyst status --wait >"$work/status" || { cat "$work/status"; fail "$site is not ready"; }
		grep -q "version *$([ $version = new ] && echo 2.0.0 || echo 1.0.0)" "$work/status" || fail "the version of $site: $(cat "$work/status")"
	done
done
[ "$(envoy one) $(envoy two)" = "$before" ] || fail 'an Envoy was restarted'
grep -q '# kept' "$work/two/etc/default/catalyst-node" || fail 'a configuration file was overwritten'
kill "$load"
wait "$load" || fail "calls during the upgrade: $(cat "$work/load.out")"
echo "   $(cat "$work/load.out")"

say 'removed, and purged'
inside two dpkg -r catalyst >/dev/null
[ -f "$work/two/var/lib/catalyst/data/journal.db" ] || fail 'removal took the state'
ip netns pids p-two | xargs -r ps -o args= -p | grep -q envoy && fail 'Envoy runs on after the removal'
inside two dpkg -P catalyst catalyst-envoy >/dev/null
[ ! -e "$work/two/var/lib/catalyst" ] && [ ! -e "$work/two/etc/catalyst/node.yaml" ] || fail 'a purge leaves state behind'
[ "$(call || true)" != 200 ] || fail 'the purged site answers'

say 'the .rpm'
rpmdo() { rpm --root "$work/rpm" --nodeps "$@"; }
rpmdo -i "$work"/old/catalyst-1*.rpm "$work"/old/catalyst-envoy-*.rpm
chroot "$work/rpm" /usr/bin/catalyst version | grep -q 1.0.0 || fail 'the version of the rpm'
chroot "$work/rpm" stat -c %U /var/lib/catalyst | grep -q catalyst || fail 'the user of the rpm'
echo '# kept' >>"$work/rpm/etc/default/catalyst-node"
rpmdo -U "$work"/new/catalyst-2*.rpm
chroot "$work/rpm" /usr/bin/catalyst version | grep -q 2.0.0 || fail 'the upgrade of the rpm'
grep -q '# kept' "$work/rpm/etc/default/catalyst-node" || fail 'the rpm overwrote a configuration file'
rpmdo -U --oldpackage "$work"/old/catalyst-1*.rpm
rpmdo -e catalyst catalyst-envoy
[ ! -e "$work/rpm/usr/bin/catalyst" ] && [ -d "$work/rpm/var/lib/catalyst" ] || fail 'the removal of the rpm'
say 'all is well'
