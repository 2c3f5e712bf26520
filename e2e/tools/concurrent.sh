#!/usr/bin/env bash
# Prints the packages in which something runs beside something else, in their code or in their tests: those that the
# race detector can say something about. The pure ones (tables, compilers, planners) are run by one goroutine at a time
# in their own tests; where they are shared, the tests of those who share them are on the list.
set -euo pipefail
cd "$(dirname "$0")/../.."
beside='^\s*(defer )?go [a-zA-Z]|\.Go\(|AfterFunc\(|t\.Parallel\(\)|synctest|httptest|net\.Listen|Run\(ctx'
"${GO:-go}" list -f '{{if or .TestGoFiles .XTestGoFiles}}{{.Dir}}{{end}}' ./... | while read -r dir; do
	[ -z "$dir" ] || ! grep -qE "$beside" "$dir"/*.go || echo "./${dir#"$PWD"/}"
done
