#!/usr/bin/env bash
# Rewrites golden files: every package that has a test flag named update is run with it.
set -euo pipefail
grep -rlE 'flag\.Bool\("update"' --include='*_test.go' . | xargs -r -n1 dirname | sort -u | while read -r dir; do
	go test "$dir" -update
done
git --no-pager diff --stat
