#!/usr/bin/env bash
# cedar-go 1.9.0: where two members of a record cannot be evaluated, the decision's diagnostics tell the error of one of them, now this and now that, for
# the same policy, request and process: members are evaluated in the order of a Go map. Cedar in Rust (cedarpy 4.8.0 below) evaluates them in one order and
# always tells the same. Decision and policy id never differ. Whoever compares diagnostics, to replay recorded decisions, to alarm on new errors or to test
# against the reference, finds differences that are none: compare the ids, not the texts.
set -euo pipefail
dir=$(mktemp -d)
trap 'chmod -R u+w "$dir"; rm -rf "$dir"' EXIT
cd "$dir"
cat > main.go <<'GO'
package main

import (
	"fmt"
	"os"

	"github.com/cedar-policy/cedar-go"
)

func main() {
	text, _ := os.ReadFile("policy.cedar")
	set, err := cedar.NewPolicySetFromBytes("policy.cedar", text)
	if err != nil {
		panic(err)
	}
	u := cedar.NewEntityUID("U", "joe")
	said, decisions := map[string]bool{}, map[string]bool{}
	for range 1000 {
		d, diag := cedar.Authorize(set, cedar.EntityMap{}, cedar.Request{Principal: u, Action: u, Resource: u})
		decisions[fmt.Sprint(d, len(diag.Errors), diag.Errors[0].PolicyID)] = true
		said[diag.Errors[0].Message] = true
	}
	fmt.Printf("cedar-go: %d decisions, %d texts\n", len(decisions), len(said))
}
GO
cat > policy.cedar <<'CEDAR'
permit (principal, action, resource) when { {lifetime: 1 + "a", quota: principal.quota} == {lifetime: 1, quota: 2} };
CEDAR
cat > main.py <<'PY'
import cedarpy
said, decisions = set(), set()
for _ in range(100):
    r = cedarpy.is_authorized({"principal": 'U::"joe"', "action": 'U::"joe"', "resource": 'U::"joe"', "context": {}}, open("policy.cedar").read(), [])
    decisions.add((str(r.decision), len(r.diagnostics.errors)))
    said.add(str(r.diagnostics.errors))
print(f"cedarpy: {len(decisions)} decisions, {len(said)} texts")
PY
go mod init finding >/dev/null 2>&1
GOMODCACHE=$dir/mod GOFLAGS=-mod=mod go get github.com/cedar-policy/cedar-go@v1.9.0 >/dev/null 2>&1
python3 -m venv venv >/dev/null
venv/bin/pip install --quiet cedarpy==4.8.0
got=$(GOMODCACHE=$dir/mod GOFLAGS=-mod=mod go run . && venv/bin/python main.py)
want='cedar-go: 1 decisions, 2 texts
cedarpy: 1 decisions, 1 texts'
echo "$got"
[ "$got" = "$want" ] || { echo "changed; it was:"; echo "$want"; exit 1; }
