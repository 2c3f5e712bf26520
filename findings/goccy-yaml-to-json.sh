#!/usr/bin/env bash
# github.com/goccy/go-yaml 1.19.2, YAMLToJSON: of a stream of several documents only the first is converted, without an error; ".inf" and ".nan" become
# text that is not JSON, without an error; "1e3", a number in YAML 1.2, becomes a string, while "010", ten in YAML 1.2, becomes 8.
# sigs.k8s.io/yaml 1.6.0, beside it on the same input, also drops all documents but the first, refuses .inf, and makes 1e3 a number.
# Whoever reads YAML by way of JSON has to split the documents first and to check that what came out is JSON.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
cat > go.mod <<'MOD'
module finding

go 1.24

require (
	github.com/goccy/go-yaml v1.19.2
	sigs.k8s.io/yaml v1.6.0
)
MOD
cat > main.go <<'GO'
package main

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/goccy/go-yaml"
	k8s "sigs.k8s.io/yaml"
)

func main() {
	for _, in := range []string{"a: 1\n---\nb: 2\n", "a: .inf\n", "a: .nan\n", "a: 1e3\n", "a: 010\n"} {
		out, err := yaml.YAMLToJSON([]byte(in))
		other, otherErr := k8s.YAMLToJSON([]byte(in))
		fmt.Printf("%q goccy %s error=%t json=%t | k8s %s error=%t\n", in, strings.TrimSpace(string(out)), err != nil, json.Valid(out), other, otherErr != nil)
	}
}
GO
go mod tidy >/dev/null 2>&1
got=$(go run .)
want='"a: 1\n---\nb: 2\n" goccy {"a": 1} error=false json=true | k8s {"a":1} error=false
"a: .inf\n" goccy {"a": .inf} error=false json=false | k8s  error=true
"a: .nan\n" goccy {"a": .nan} error=false json=false | k8s  error=true
"a: 1e3\n" goccy {"a": "1e3"} error=false json=true | k8s {"a":1000} error=false
"a: 010\n" goccy {"a": 8} error=false json=true | k8s {"a":8} error=false'
echo "$got"
[ "$got" = "$want" ] || { echo "changed; it was:"; echo "$want"; exit 1; }
