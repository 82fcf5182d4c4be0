#!/usr/bin/env bash
# A rolling update, and a rollback, of a web application: three processes behind
# nginx, one after the other replaced, while Chromium opens every page again and
# again and opens parts of pages in tabs that stay open all the time. The same
# without Holdfast, to see what it would find. And what a browser fetches again
# when another process answers.
#
#   examples/rolling/run.sh
#
# Everything listens on loopback and lies in a temporary directory. Ctrl-C, and
# the end, stop every process and remove the directory. `make install-deps`
# installs what it needs.
set -euo pipefail
cd "$(dirname "$0")/../.."

tools=${HOLDFAST_TOOLS:-$PWD/.cache/bin}
base=${ROLLING_PORT:-23200} # and some ten ports above it
nginx=/usr/sbin/nginx
front=http://127.0.0.1:$base

for needed in "$tools/versitygw" /usr/bin/etcd $nginx; do
  [ -e "$needed" ] || { echo "run.sh: $needed is missing; run \`make install-deps\`" >&2; exit 1; }
done

work=$(mktemp -d)
names=()       # of what runs, in the order of its start
declare -A pid # of each
finish() {
  trap - EXIT INT TERM
  # The last one started ends first, and is waited for.
  local i
  for ((i = ${#names[@]} - 1; i >= 0; i--)); do
    kill "${pid[${names[i]}]}" 2>/dev/null || true
    wait "${pid[${names[i]}]}" 2>/dev/null || true
  done
  rm -rf "$work"
}
trap finish EXIT
trap 'echo; exit 130' INT
trap 'exit 143' TERM

# start NAME COMMAND...: in the background, deaf to the terminal's Ctrl-C, which is
# for this script alone. Its standard input is the file in $input.
start() {
  local log=$work/$1.log
  names+=("$1")
  setsid "${@:2}" <"${input:-/dev/null}" >>"$log" 2>&1 &
  pid[$1]=$!
}

# stop NAME [SIGNAL]: and wait until it has ended; its exit code is left in $code.
stop() {
  kill -"${2:-TERM}" "${pid[$1]}" 2>/dev/null || true
  ended "$1"
}

# ended NAME: wait until it has.
ended() {
  local kept=() other
  code=0
  wait "${pid[$1]}" || code=$?
  for other in "${names[@]}"; do
    [ "$other" = "$1" ] || kept+=("$other")
  done
  names=("${kept[@]+"${kept[@]}"}")
}

# await WHAT NAME COMMAND...: until the command succeeds, while NAME runs.
await() {
  local what=$1 name=$2 tries
  shift 2
  for ((tries = 0; tries < 1200; tries++)); do
    "$@" >/dev/null 2>&1 && return
    kill -0 "${pid[$name]}" 2>/dev/null || break
    sleep 0.05
  done
  echo "run.sh: $what is not there; the end of the log of $name:" >&2
  tail -n 20 "$work/$name.log" >&2
  exit 1
}

echo "building"
go build -o "$work/holdfast" ./cmd/holdfast
go build -o "$work/visitors" ./examples/rolling
go build -o "$work/webapp1" ./examples/webapp
go build -tags version2 -o "$work/webapp2" ./examples/webapp

echo "starting etcd and an S3 store"
start etcd etcd --name=rolling --data-dir="$work/etcd" --log-level=warn --logger=zap \
  --listen-client-urls="http://127.0.0.1:$((base + 1))" --advertise-client-urls="http://127.0.0.1:$((base + 1))" \
  --listen-peer-urls="http://127.0.0.1:$((base + 2))" --initial-advertise-peer-urls="http://127.0.0.1:$((base + 2))" \
  --initial-cluster="rolling=http://127.0.0.1:$((base + 2))"
mkdir -p "$work/s3/holdfast"
export AWS_ACCESS_KEY_ID=rolling AWS_SECRET_ACCESS_KEY=rolling-secret
export ROOT_ACCESS_KEY=$AWS_ACCESS_KEY_ID ROOT_SECRET_KEY=$AWS_SECRET_ACCESS_KEY
start s3 "$tools/versitygw" --port "127.0.0.1:$((base + 3))" --keep-alive posix "$work/s3"
await etcd etcd curl -sf "http://127.0.0.1:$((base + 1))/health"
await "the S3 store" s3 curl -s "http://127.0.0.1:$((base + 3))"

# cluster NAME: let processes join the cluster of that name, which is empty. Somebody
# has to do its work: programs that share a store never lead.
cluster() {
  cluster=$1
  export HOLDFAST_REGISTRY="etcd://127.0.0.1:$((base + 1))/$cluster"
  export HOLDFAST_STORE="s3://holdfast/$cluster?endpoint=http://127.0.0.1:$((base + 3))"
  start "$cluster" "$work/holdfast" --data "$work/$cluster" serve --name leader \
    --listen "127.0.0.1:$((base + 7))" --admin "127.0.0.1:$((base + 8))"
}
# process N VERSION [FLAG...]: start number N, and wait until it is ready.
process() {
  local n=$1 version=$2
  shift 2
  [ -z "$cluster" ] || set -- -registry "$HOLDFAST_REGISTRY" -store "$HOLDFAST_STORE" \
    -name "process$n" -data "$work/$cluster$n" "$@"
  start "process$n" "$work/webapp$version" -listen "127.0.0.1:$((base + 3 + n))" "$@"
  await "process $n" "process$n" curl -sf "http://127.0.0.1:$((base + 3 + n))/readyz"
}

# route N...: have nginx ask these processes. Returns when no worker of nginx is
# left that may ask another one.
route() {
  local n workers=
  {
    echo "upstream webapp {"
    # One failure is no reason to leave a process out: it would hide the next ones.
    for n in "$@"; do echo "  server 127.0.0.1:$((base + 3 + n)) max_fails=0;"; done
    echo "  keepalive 16;"
    echo "}"
  } >"$work/upstream.conf"
  [ -n "${pid[nginx]:-}" ] || return 0
  workers=$(cat "/proc/${pid[nginx]}/task/${pid[nginx]}/children")
  kill -HUP "${pid[nginx]}" # what nginx -s reload does
  for n in $workers; do await "nginx's reload" nginx gone "$n"; done
}
gone() { [ ! -e "/proc/$1" ]; }

# Round robin, no stickiness, and what a process answers is what the browser gets.
cat >"$work/nginx.conf" <<CONFIG
daemon off;
pid $work/nginx.pid;
error_log $work/nginx.log warn;
worker_processes 1;
events {}
http {
  # A browser's spare connection, on which nothing was asked yet, holds up the end of
  # a worker for as long as this.
  client_header_timeout 2s;
  include $work/upstream.conf;
  log_format visits '\$status \$upstream_addr \$request_uri';
  access_log $work/access.log visits;
  client_body_temp_path $work/nginx-body;
  proxy_temp_path $work/nginx-proxy;
  fastcgi_temp_path $work/nginx-fastcgi;
  uwsgi_temp_path $work/nginx-uwsgi;
  scgi_temp_path $work/nginx-scgi;
  server {
    listen 127.0.0.1:$base;
    location / {
      proxy_pass http://webapp;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_set_header Host \$http_host;
      proxy_next_upstream off;
      proxy_max_temp_file_size 0;
    }
  }
}
CONFIG
balance() { # N...: start nginx
  unset 'pid[nginx]'
  route "$@"
  : >"$work/access.log"
  start nginx $nginx -e "$work/nginx.log" -c "$work/nginx.conf"
  await nginx nginx curl -sf "$front/readyz"
}

# visitors [FLAG...]: start them, with what say says as their input.
visitors() {
  : >"$work/visitors.log"
  relayed=0
  input=$work/steps start visitors "$work/visitors" -base "$front" "$@" 1=examples/webapp/version-1 2=examples/webapp/version-2
}
say() { echo "$@" >&9; }
mkfifo "$work/steps"
exec 9<>"$work/steps"

# shown LABEL: wait until the visitors have printed its line, and print it.
shown() {
  await "the visitors' line \"$1\"" visitors grep -q "^$1 " "$work/visitors.log"
  relay
}
# relay: print what is new in the visitors' log.
relay() {
  tail -n "+$((relayed + 1))" "$work/visitors.log"
  relayed=$(wc -l <"$work/visitors.log")
}

# leave: let the visitors print their sums. $code says whether they were content.
leave() {
  say "done"
  ended visitors
  local verdict=$code n
  relay
  stop nginx QUIT
  for n in 1 2 3; do stop "process$n"; done
  code=$verdict
}

# counted: what nginx has to say.
counted() {
  awk -v base=$((base + 3)) '
    $3 ~ /^\/readyz/ { next }
    { requests++; split($2, address, ":"); by[address[2] - base]++ }
    $1 >= 400 { failed++ }
    END { printf "nginx: %d requests, to the processes %d, %d, %d; %d with a status of 400 or more\n", requests, by[1], by[2], by[3], failed }
  ' "$work/access.log"
}

# replace N FROM TO RUNNING: as an operator would, out of nginx, SIGTERM, the new
# one, and into nginx once that is ready. RUNNING are the versions that run then.
replace() {
  local n=$1 from=$2 to=$3 running=$4 label="process $1: version $2 to $3" others=() other
  say "begin $label"
  for other in 1 2 3; do [ "$other" = "$n" ] || others+=("$other"); done
  route "${others[@]}"
  stop "process$n"
  [ $code = 0 ] || { echo "run.sh: process $n ended with exit code $code:" >&2; tail -n 20 "$work/process$n.log" >&2; exit 1; }
  process "$n" "$to"
  route 1 2 3
  say "end $running"
  shown "$label"
}

# begin: three processes of version 1, and visitors.
begin() {
  local n
  for n in 1 2 3; do process $n 1; done
  balance 1 2 3
  visitors
  say "begin version 1 everywhere"
  say "end 1"
  shown "version 1 everywhere"
}
update() {
  replace 1 1 2 1,2
  replace 2 1 2 1,2
  replace 3 1 2 2
}
rollback() {
  replace 1 2 1 1,2
  replace 2 2 1 1,2
  replace 3 2 1 1
}

echo
echo "1. update from version 1 to 2 and back, joined to a cluster"
cluster rolling
begin
update
status=$("$work/holdfast" --data "$work/data" status | grep '^release ')
rollback
leave
counted
echo "holdfast status, between update and rollback:"
echo "$status"
[ $code = 0 ] || exit 1
stop rolling

echo
echo "2. an update without a cluster: each process knows its own build alone"
cluster=
begin
update
leave
counted
grep -q '^failed requests [1-9]' "$work/visitors.log" ||
  { echo "run.sh: the visitors found nothing wrong where there must be: they cannot be trusted" >&2; exit 1; }

# caches WHAT: the processes answer one after the other, and as much is fetched again.
caches() {
  local n
  balance 1
  visitors -caches "$1"
  for n in 1 2 3; do
    route $n
    say "look process $n"
    shown "process $n"
  done
  leave
  counted
  [ $code = 0 ] || exit 1
}

echo
echo "3. one browser, one process after the other, with one build: identity content"
cluster content
for n in 1 2 3; do process $n 1; done
caches none
stop content

echo
echo "4. the same with URLs that name the process: identity node"
cluster node
for n in 1 2 3; do process $n 1 -identity node; done
caches some
