#!/usr/bin/env bash
# Prints the figures: each against its rivals, in one run, because the machine's speed drifts. Rivals live in a module of their own.
# BIRD (Debian's bird2) takes part if it is there; GoBGP is built from its module.
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
out=$root/.tools/bench
mkdir -p "$out"
cd "$root/e2e/bench"
go build -o "$out/" ./routing ./dataplane ./throughput ./graphql ./floods ./start ./tap github.com/osrg/gobgp/v4/cmd/gobgpd
rivals=catalyst,gobgp
PATH=$PATH:/usr/sbin:/sbin
if command -v bird >/dev/null; then rivals+=,bird; else echo 'BIRD is not installed (apt-get install bird2): its column is missing' >&2; fi
# FULL=1 adds a table of a million routes.
echo '== routing (×: the rival by us; above 1 is worse than us)'
"$out/routing" -only "$rivals" -catalyst "$root/bin/catalyst" -gobgpd "$out/gobgpd" -routes "${ROUTES:-10000,100000${FULL:+,1000000}}"
echo
echo '== with a real Envoy: from the declaration of a service to its acknowledgement, and to the first 200'
"$out/dataplane" -services "${SERVICES:-10,1000,10000}"
echo
echo '== over two Envoys, 32 connections (ours writes an access log)'
"$out/throughput" -catalyst "$root/bin/catalyst"

echo
echo '== what it costs that Envoy tells the node of calls (tap.enabled), in turns: processor time of the Envoys and nodes of two sites'
"$out/tap" -catalyst "$root/bin/catalyst" -for "${TAP_FOR:-3s}" -rounds "${TAP_ROUNDS:-7}"

echo
echo '== floods: what honest peers and applications notice while another peer floods a node'
"$out/floods" -catalyst "$root/bin/catalyst" -for "${FLOOD_FOR:-10s}"

echo
# BEFORE=PATH measures another build beside it.
echo '== start: a node that was killed, from exec to the first answer of its API and to the first answer of a workload'
"$out/start" -catalyst "$root/bin/catalyst" ${BEFORE:+-before "$BEFORE"} -services "${START_SERVICES:-10000}" -rounds "${START_ROUNDS:-5}"

echo
echo '== names over DNS, in turns with CoreDNS and its plugin file (ours ÷ theirs: answers above 1 and times below 1 are better than CoreDNS)'
(cd dns/coredns && CGO_ENABLED=0 go build -trimpath -o "$out/coredns" .)
"$out/dns" -catalyst "$root/bin/catalyst" -coredns "$out/coredns" -for "${DNS_FOR:-3s}" -rounds "${DNS_ROUNDS:-7}"

echo
echo '== policy: one Envoy that asks, 16 connections, a bound token on every request (the floor says yes to all)'
(cd policy && go build -tags opa -o "$out/policy" . && "$out/policy" -envoy "${CATALYST_ENVOY:-$root/.tools/envoy/bin/envoy}" -for "${POLICY_FOR:-2s}" -rounds "${POLICY_ROUNDS:-7}")
(cd "$root" && go test -run '^$' -bench 'BenchmarkDecide/sliced|BenchmarkCheck' -benchmem -benchtime 20000x ./policy ./policy/extauthz | grep -E '^Benchmark')
echo
# FULL=1 measures each operation for longer, and changes the graph a thousand times.
echo '== federation gateways'
only=catalyst
if command -v npm >/dev/null; then
	(cd graphql/rivals && { [ -d node_modules ] || npm ci --no-audit --no-fund --silent; })
	only+=,hive,apollo
else
	echo 'npm is not installed: the rivals of the gateway are missing' >&2
fi
# HIVE_ROUTER=PATH and COSMO_ROUTER=PATH name programs that are not on npm; a line says so when they are missing.
"$out/graphql" -catalyst "$root/bin/catalyst" -rivals graphql/rivals -only "$only" -hive-router "${HIVE_ROUTER:-}" -cosmo-router "${COSMO_ROUTER:-}" -seconds "${SECONDS_EACH:-$([ "${FULL:-}" ] && echo 20 || echo 8)}" \
	-recompositions "${RECOMPOSITIONS:-$([ "${FULL:-}" ] && echo 1000 || echo 100)}"

echo
echo '== identity: a verification against plain golang-jwt, revocations among a million, and how soon one is in force'
(cd "$root" && go test -run '^$' -bench 'Verify|Check|Revocation' -benchtime "${IDENTITY:-200x}" ./auth/token ./auth/revoke ./auth/server | grep -E '^Benchmark')
(cd "$root" && CATALYST_ENVOY="${CATALYST_ENVOY:-$root/.tools/envoy/bin/envoy}" BENCH_REVOCATIONS="${REVOCATIONS:-100}" \
	go test -tags e2e -count=1 -run TestRevocationBounds -v ./e2e | grep -E 'revocation at|FAIL')

echo
echo '== between organisations: 100,000 attested routes, signed paths, and a border with 1,000 peers'
(cd "$root" && go test -run '^$' -bench 'Attested|SignedPaths|ThousandPeers' -benchtime "${PEERS:-3x}" -count "${PEERS_COUNT:-3}" ./bgp/rib ./bgp/sim | grep -E '^Benchmark')
