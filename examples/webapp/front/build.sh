#!/bin/sh
# Builds the front end of both versions into ../version-1/dist and
# ../version-2/dist, which are committed: the same sources give the same bytes.
# Needs Node 20.19 or newer.
set -eu
cd "$(dirname "$0")"

npm ci --ignore-scripts --no-audit --no-fund
for version in 1 2; do
	VERSION=$version npx --no-install vite build --outDir "../version-$version/dist" --emptyOutDir --logLevel warn
done
