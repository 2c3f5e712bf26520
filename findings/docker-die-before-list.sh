#!/usr/bin/env bash
# Docker Engine (Debian 12's docker.io, 20.10.24): the event "die" of a container is sent before the engine's own list knows of it. Whoever lists the
# containers that run (GET /containers/json with the filter status=running) at that event is told that the dead one still runs, and no event has to
# follow for a while (with docker run --rm or docker stop one does). So "list again at each event" leaves a dead container in a load balancer: what an
# event says has to be kept beside the list. Wants root; the engine has namespaces and a temporary folder of its own.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
command -v dockerd >/dev/null || PATH=$PATH:/usr/sbin command -v dockerd >/dev/null || apt-get install -y -qq --no-install-recommends docker.io >/dev/null
apt-get download -qq busybox-static >/dev/null 2>&1
dpkg -x busybox-static_*.deb box && mkdir image && cp box/bin/busybox image/ && tar -C image -cf image.tar busybox

cat > look.py <<'PY'
import http.client, json, socket, subprocess, sys, time, urllib.parse
class Engine(http.client.HTTPConnection):
    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect("d.sock")
def ask(path, **filters):
    c = Engine("docker")
    c.request("GET", path + "?filters=" + urllib.parse.quote(json.dumps(filters)))
    return c.getresponse()
events = ask("/events", type=["container"], event=["die"])
version = json.load(ask("/version"))["Version"]
tries, stale = 20, 0
for n in range(tries):
    subprocess.run(["docker", "run", "-d", "box", "/busybox", "sleep", "0.1"], check=True, stdout=subprocess.DEVNULL)
    died = json.loads(events.readline())["Actor"]["ID"]
    stale += died in [c["Id"] for c in json.load(ask("/containers/json", status=["running"]))]
print(f"Docker Engine {version}: after {stale} of {tries} 'die' events the container is still listed as running")
sys.exit(0 if stale > 0 else "the behaviour has changed: no dead container was listed as running")
PY
cat > inside.sh <<'SH'
ip link set lo up
PATH=$PATH:/usr/sbin dockerd --data-root "$PWD/data" --exec-root "$PWD/exec" --pidfile "$PWD/pid" --shutdown-timeout 1 -H "unix://$PWD/d.sock" >log 2>&1 &
daemon=$!
export DOCKER_HOST=unix://$PWD/d.sock
for _ in $(seq 300); do docker version >/dev/null 2>&1 && break; sleep 0.1; done
docker import image.tar box >/dev/null
status=0
python3 look.py || status=$?
docker ps -aq | xargs -r docker rm -f >/dev/null
kill $daemon
for _ in $(seq 100); do kill -0 $daemon 2>/dev/null || break; sleep 0.1; done
kill -9 $daemon 2>/dev/null || true
exit $status
SH
unshare --net --mount bash inside.sh
