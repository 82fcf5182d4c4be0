#!/usr/bin/env bash
# Installs the web servers that "make bench-quick" compares with, and its clients, from
# Debian. Starts none of them.
set -euo pipefail
missing=()
for entry in wrk=/usr/bin/wrk nghttp2-client=/usr/bin/h2load nginx=/usr/sbin/nginx lighttpd=/usr/sbin/lighttpd lighttpd-mod-openssl=/usr/lib/lighttpd/mod_openssl.so h2o=/usr/bin/h2o openssl=/usr/bin/openssl; do
  [ -e "${entry#*=}" ] || missing+=("${entry%%=*}")
done
[ ${#missing[@]} -gt 0 ] || exit 0
echo "installing ${missing[*]}"
policy=/usr/sbin/policy-rc.d # no daemon of a package may start
if [ ! -e $policy ]; then
  printf '#!/bin/sh\nexit 101\n' >$policy
  chmod +x $policy
  trap 'rm -f $policy' EXIT
fi
export DEBIAN_FRONTEND=noninteractive
apt-get -qq update
apt-get -qq install -y --no-install-recommends "${missing[@]}" >/dev/null
