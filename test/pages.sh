#!/usr/bin/env bash
# Builds the projects in test/pages three times each, into DIR/pages/<tool>/<1 to 3>/,
# with the tools that test/pages/package-lock.json pins. See test/pages/README.md.
set -euo pipefail
cd "$(dirname "$0")/.."

dir=${HOLDFAST_CORPORA:-$PWD/.cache/corpora}
sources=$PWD/test/pages
font=/usr/share/fonts/truetype/liberation/LiberationMono-Regular.ttf
stamp=$(cd "$sources" && find . -type f | sort | xargs sha256sum | sha256sum | cut -c1-16)
[ -e "$dir/pages/$stamp" ] && exit 0

mkdir -p "$dir"
work=$(mktemp -d "$dir/.pages.XXXXXX")
trap 'rm -rf "$work"' EXIT
echo "building the projects of test/pages (a minute or two)"
cp -r "$sources/." "$work"
cd "$work"
npm ci --silent --no-audit --no-fund --ignore-scripts
mkdir out
export NEXT_TELEMETRY_DISABLED=1

# parts BUILD DIR: what differs by build and is no code.
parts() {
  printf '<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="10"><rect width="100%%" height="10"/></svg>\n' $((100 + $1)) >"$2/pic.svg"
  { cat "$font" && printf '%s' "$1"; } >"$2/font.ttf"
  sed "s/BUILD/$1/" plain/style.css >"$2/style.css"
  printf 'h1 { background: url(./pic.svg) }\n' >>"$2/style.css"
}

for build in 1 2 3; do
  mkdir -p out/plain/$build
  for f in plain/*; do sed "s/BUILD/$build/g" "$f" >"out/plain/$build/$(basename "$f")"; done
  cp report.js out/plain/$build/
  parts $build out/plain/$build
  parts $build vite && VITE_BUILD=$build npx vite build --logLevel warn --outDir "$work/out/vite/$build" vite
  parts $build webpack/src && BUILD=$build OUT=$work/out/webpack/$build npx webpack --config webpack/webpack.config.js --stats errors-warnings
  parts $build next/app && (cd next && BUILD=$build OUT=../out/next/$build npx next build >../next.log 2>&1) || { cat next.log >&2; exit 1; }
done
parts 1 vite && BASE=/ VITE_BUILD=1 npx vite build --logLevel warn --outDir "$work/out/vite/absolute" vite
parts 1 next/app && (cd next && BUILD=1 PREFIX=/@known OUT=../out/next/known npx next build >../next.log 2>&1) || { cat next.log >&2; exit 1; }

touch "out/$stamp"
rm -rf "$dir/pages"
mv out "$dir/pages" # appears whole or not at all
