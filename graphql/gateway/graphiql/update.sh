#!/bin/sh
# Fetches GraphiQL and React from npm and packs what the page needs into assets/. The versions are those of package.json.
set -eu
cd "$(dirname "$0")"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cp package.json package-lock.json "$work"/
npm ci --prefix "$work" --ignore-scripts --no-audit --no-fund --legacy-peer-deps
modules="$work/node_modules"
pack() { gzip -9 -n -c "$modules/$1" >"assets/$2.gz"; }
pack graphiql/graphiql.min.js graphiql.js
pack graphiql/graphiql.min.css graphiql.css
pack react/umd/react.production.min.js react.js
pack react-dom/umd/react-dom.production.min.js react-dom.js
cp "$modules/graphiql/LICENSE" assets/LICENSE.graphiql
cp "$modules/react/LICENSE" assets/LICENSE.react
