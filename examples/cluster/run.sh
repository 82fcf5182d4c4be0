#!/usr/bin/env bash
# A cluster on one machine: three ZooKeeper servers, an S3 store, and five nodes
# on two sides. Publishes two releases of a real site, flips between them while
# browsers ask for files of both, and prints what came back.
#
#   examples/cluster/run.sh [FLIPS]      40 unless given
#
# Everything listens on loopback and lies in a temporary directory. Ctrl-C, and
# the end, stop every process and remove the directory. `make install-deps`
# installs what it needs.
set -euo pipefail
cd "$(dirname "$0")/../.."

flips=${1:-40}
[[ $flips =~ ^[1-9][0-9]*$ ]] || { echo "run.sh: $flips: want the number of flips, such as 40" >&2; exit 2; }
tools=${HOLDFAST_TOOLS:-$PWD/.cache/bin}
corpora=${HOLDFAST_CORPORA:-$PWD/.cache/corpora}
base=${CLUSTER_PORT:-23100} # and some thirty ports above it
jars=/usr/share/java/zookeeper.jar:/usr/share/java/slf4j-simple.jar

for needed in "$tools/versitygw" "${jars%%:*}" /usr/bin/java; do
  [ -e "$needed" ] || { echo "run.sh: $needed is missing; run \`make install-deps\`" >&2; exit 1; }
done

work=$(mktemp -d)
pids=()
finish() {
  trap - EXIT INT TERM
  # The last one started ends first, and is waited for: a node says goodbye.
  local i
  for ((i = ${#pids[@]} - 1; i >= 0; i--)); do
    kill "${pids[i]}" 2>/dev/null || true
    wait "${pids[i]}" 2>/dev/null || true
  done
  rm -rf "$work"
}
trap finish EXIT
trap 'echo; exit 130' INT
trap 'exit 143' TERM

# start LOG COMMAND...: in the background, deaf to the terminal's Ctrl-C, which is
# for this script alone.
start() {
  local log=$work/$1
  shift
  setsid "$@" >"$log" 2>&1 &
  pids+=($!)
}

# await WHAT LOG COMMAND...: until the command succeeds.
await() {
  local what=$1 log=$2 tries
  shift 2
  for ((tries = 0; tries < 600; tries++)); do
    "$@" >/dev/null 2>&1 && return
    sleep 0.1
  done
  echo "run.sh: $what is not there after a minute; the end of its log:" >&2
  tail -n 20 "$work/$log" >&2
  exit 1
}

echo "building"
go build -o "$work/holdfast" ./cmd/holdfast
go build -o "$work/load" ./examples/cluster

zookeeper() { # NUMBER
  local dir=$work/zookeeper$1
  mkdir "$dir"
  echo "$1" >"$dir/myid"
  cat >"$dir/zoo.cfg" <<CONFIG
tickTime=500
initLimit=20
syncLimit=4
dataDir=$dir
admin.enableServer=false
4lw.commands.whitelist=srvr
server.1=127.0.0.1:$((base + 11)):$((base + 21));127.0.0.1:$((base + 1))
server.2=127.0.0.1:$((base + 12)):$((base + 22));127.0.0.1:$((base + 2))
server.3=127.0.0.1:$((base + 13)):$((base + 23));127.0.0.1:$((base + 3))
CONFIG
  start "zookeeper$1.log" java -Xms32m -Xmx128m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 \
    -cp "$jars" org.apache.zookeeper.server.quorum.QuorumPeerMain "$dir/zoo.cfg"
}
serving() { # PORT
  exec 3<>"/dev/tcp/127.0.0.1/$1" && echo srvr >&3 && grep -q '^Mode:' <&3
}

echo "starting three ZooKeeper servers and an S3 store"
for n in 1 2 3; do zookeeper $n; done
mkdir -p "$work/s3/holdfast"
export AWS_ACCESS_KEY_ID=cluster AWS_SECRET_ACCESS_KEY=cluster-secret
export ROOT_ACCESS_KEY=$AWS_ACCESS_KEY_ID ROOT_SECRET_KEY=$AWS_SECRET_ACCESS_KEY
start s3.log "$tools/versitygw" --port "127.0.0.1:$base" --keep-alive posix "$work/s3"
for n in 1 2 3; do await "ZooKeeper $n" "zookeeper$n.log" serving $((base + n)); done
await "the S3 store" s3.log curl -s "http://127.0.0.1:$base"

export HOLDFAST_REGISTRY="zk://127.0.0.1:$((base + 1)),127.0.0.1:$((base + 2)),127.0.0.1:$((base + 3))/demo"
export HOLDFAST_STORE="s3://holdfast/demo?endpoint=http://127.0.0.1:$base"
holdfast() { "$work/holdfast" --data "$work/data" "$@"; }

# Two releases of a real front end, or of the site that comes with the program.
old=$corpora/zigbee/0.9.19 new=$corpora/zigbee/0.9.21
if [ ! -d "$old" ] || [ ! -d "$new" ]; then
  old=$PWD/cmd/holdfast/demosite/release-1 new=$PWD/cmd/holdfast/demosite/release-2
fi
echo "publishing two releases"
holdfast publish "$old" --release old --effort fast >/dev/null
holdfast publish "$new" --release new --effort fast >/dev/null
for side in a b; do holdfast activate old --side $side --create >/dev/null; done

echo "starting five nodes"
nodes=
n=0
for side in a a a b b; do
  n=$((n + 1))
  start "node$n.log" "$work/holdfast" --data "$work/node$n" serve --name "node$n" --side $side \
    --listen "127.0.0.1:$((base + 30 + n))" --admin "127.0.0.1:$((base + 40 + n))" --drain 2s
  nodes=$nodes,http://127.0.0.1:$((base + 30 + n))
done
for n in 1 2 3 4 5; do await "node $n" "node$n.log" curl -sf "http://127.0.0.1:$((base + 40 + n))/readyz"; done
echo "activating what is live already, which changes nothing, and waits for all nodes"
for side in a b; do holdfast activate old --side $side; done
echo
holdfast status

echo
echo "flipping $flips times under load"
start load.log "$work/load" -nodes "${nodes#,}" old="$old" new="$new"
load=$!
began=$(date +%s%N)
for ((i = 0; i < flips; i++)); do
  if ((i % 4 < 2)); then side=a; else side=b; fi
  if ((i % 2 == 0)); then holdfast activate new --side $side >/dev/null; else holdfast rollback --side $side >/dev/null; fi
done
took=$((($(date +%s%N) - began) / 1000000))
kill -TERM "$load"
code=0
wait "$load" || code=$?
unset 'pids[-1]'

echo "flips and rollbacks $flips, $((took / flips)) ms each until all five nodes knew"
cat "$work/load.log"
echo
holdfast status
exit $code
