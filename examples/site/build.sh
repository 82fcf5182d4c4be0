#!/bin/sh
# Builds both releases of the demo site into cmd/holdfast/demosite, which is
# committed: the same sources give the same bytes. Needs Node 20.19 or newer.
set -eu
cd "$(dirname "$0")"
out=../../cmd/holdfast/demosite

npm ci --ignore-scripts --no-audit --no-fund
for release in 1 2; do
	RELEASE=$release npx --no-install vite build --outDir "$out/release-$release" --emptyOutDir --logLevel warn
done
