#!/usr/bin/env bash
# Runs every fuzz target of the module for the given time, one after another, and stops at the first failure.
set -euo pipefail
time=${1:-30s}
out=$(mktemp)
trap 'rm -f "$out"' EXIT
go list -f '{{if or .TestGoFiles .XTestGoFiles}}{{.ImportPath}}{{end}}' ./... | while read -r pkg; do
	go test -list '^Fuzz' "$pkg" | { grep '^Fuzz' || true; } | while read -r target; do
		echo "fuzz $pkg $target ($time)"
		if go test -run '^$' -fuzz "^$target\$" -fuzztime "$time" -fuzzminimizetime 50x "$pkg" 2>&1 | tee "$out"; then continue; fi
		# At the end of its time go test now and then takes the deadline itself for a failure (golang/go#75804). A failure of ours has an input.
		grep -q '^ *context deadline exceeded$' "$out" && ! grep -q 'Failing input written' "$out" || exit 1
		echo "fuzz $pkg $target: its time was over, nothing was found"
	done
done
