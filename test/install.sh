#!/usr/bin/env bash
# Installs what the tests need and this machine lacks: a browser, servers, and
# real front-end builds. Does nothing, quickly, where all is there.
set -euo pipefail
cd "$(dirname "$0")/.."

tools=${HOLDFAST_TOOLS:-$PWD/.cache/bin}
versitygw=v1.8.0 # an S3 server
h2spec=v2.2.1+incompatible # the conformance suite of HTTP/2

# package=a file that it brings
packages=(
  chromium=/usr/bin/chromium
  fonts-liberation=/usr/share/fonts/truetype/liberation
  curl=/usr/bin/curl
  zookeeper=/usr/share/java/zookeeper.jar
  default-jre-headless=/usr/bin/java
  etcd-server=/usr/bin/etcd
  user-mode-linux=/usr/bin/linux.uml
  nfs-ganesha-vfs=/usr/bin/ganesha.nfsd
  iproute2=/sbin/ip
  nftables=/usr/sbin/nft
  nginx=/usr/sbin/nginx
  haproxy=/usr/sbin/haproxy
  varnish=/usr/sbin/varnishd
)

missing=()
for entry in "${packages[@]}"; do
  [ -e "${entry#*=}" ] || missing+=("${entry%%=*}")
done
# These may come from elsewhere than Debian.
command -v npm >/dev/null || missing+=(npm)          # for the builds
command -v gcc >/dev/null || missing+=(gcc libc6-dev) # for the race detector
if [ ${#missing[@]} -gt 0 ]; then
  if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
    echo "install.sh: the tests need the Debian packages ${missing[*]}; install them, or run this as root on Debian" >&2
    exit 1
  fi
  echo "installing ${missing[*]}"
  export DEBIAN_FRONTEND=noninteractive
  # No daemon of a package may start: the tests start their own, on loopback.
  policy=/usr/sbin/policy-rc.d
  made=
  if [ ! -e $policy ]; then
    printf '#!/bin/sh\nexit 101\n' >$policy
    chmod +x $policy
    made=yes
  fi
  trap '[ -z "$made" ] || rm -f $policy' EXIT
  apt-get -qq update
  apt-get -qq install -y --no-install-recommends "${missing[@]}" >/dev/null
fi

mkdir -p "$tools"
if [ ! -x "$tools/versitygw" ]; then
  echo "building versitygw $versitygw"
  GOBIN=$tools go install "github.com/versity/versitygw/cmd/versitygw@$versitygw"
fi
if [ ! -x "$tools/h2spec" ]; then
  echo "building h2spec $h2spec"
  GOBIN=$tools go install "github.com/summerwind/h2spec/cmd/h2spec@$h2spec"
fi

test/corpora.sh
test/pages.sh
