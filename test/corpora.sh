#!/usr/bin/env bash
# Brings the real front-end builds that the tests publish: consecutive releases
# of three packages of the npm registry, unpacked as DIR/<name>/<version>/.
# Each archive must have the SHA-256 recorded in test/corpora.sha256.
set -euo pipefail
cd "$(dirname "$0")/.."

dir=${HOLDFAST_CORPORA:-$PWD/.cache/corpora}
sums=$PWD/test/corpora.sha256
work= # where an archive is unpacked just now
trap '[ -z "$work" ] || rm -rf "$work"' EXIT

# bring NAME PACKAGE FOLDER VERSION...: FOLDER, if not empty, is where the build lies.
bring() {
  local name=$1 package=$2 folder=$3 version
  shift 3
  for version in "$@"; do
    [ -d "$dir/$name/$version" ] || unpack "$name" "$package" "$folder" "$version"
  done
}

unpack() {
  local name=$1 package=$2 folder=$3 version=$4 archive
  mkdir -p "$dir/$name"
  work=$(mktemp -d "$dir/.unpack.XXXXXX")
  echo "bringing $package $version"
  archive=$(cd "$work" && npm pack --silent --ignore-scripts "$package@$version")
  (cd "$work" && grep -F "  $archive" "$sums" | sha256sum --check --quiet --strict -) || {
    echo "corpora.sh: $archive is not the archive recorded in test/corpora.sha256" >&2
    exit 1
  }
  tar -xzf "$work/$archive" -C "$work"
  mv "$work/package${folder:+/$folder}" "$dir/$name/$version" # appears whole or not at all
  rm -rf "$work"
  work=
}

command -v npm >/dev/null || {
  echo "corpora.sh: npm is needed to bring the builds; install Node.js" >&2
  exit 1
}
mkdir -p "$dir"
bring directus @directus/app dist 16.2.0 16.2.1 17.0.0 17.1.0 17.1.1 18.0.0
bring swagger swagger-ui-dist "" 5.33.1 5.33.2 5.33.3 5.34.0 5.34.1 5.35.0
bring zigbee zigbee2mqtt-frontend dist 0.9.15 0.9.17 0.9.19 0.9.21
