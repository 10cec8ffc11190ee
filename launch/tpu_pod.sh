#!/usr/bin/env bash
# Runs magvit3d on a Cloud TPU slice: on a queued VM (gcloud) or on GKE (xpk).
#
#   ./launch/tpu_pod.sh COMMAND --name=NAME --project=PROJECT --zone=ZONE
#     [--type=v5litepod-16] [--version=v2-alpha-tpuv5-lite] [--spot]
#     [--source=DIR] [--cluster=CLUSTER --image=IMAGE] [--dry_run]
#     [-- FLAGS OF magvit3d.main]
#
# COMMAND, in this order:
#   create    asks for the slice, and waits for nothing
#   status    says whether it is there
#   install   copies --source (this checkout) to every host and installs it
#   run       starts magvit3d.main on every host, in the background; --workdir
#             is a folder that all hosts see (a mounted bucket or Filestore)
#   log       shows what the first host prints
#   stop      asks all hosts to save and stop (SIGTERM)
#   delete    gives the slice back
#   xpk       instead of all of these: submits the run to a GKE cluster that
#             xpk made, in a container (launch/Dockerfile)
#
# The hosts of a slice find each other without other flags. A spot slice that was
# taken away is made again with create, install and run, and the run goes on
# where it had saved. --dry_run prints the commands, and does nothing. Nobody has
# tried them on a TPU yet.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)

fail() {
  echo "Error: $1" >&2
  exit 2
}

command=${1:-}
(($#)) && shift
name="" project="" zone="" type=v5litepod-16 version=v2-alpha-tpuv5-lite
cluster="" image="" source=$root dry="" spot=() flags=()
while (($#)); do
  case $1 in
    --name=*) name=${1#*=} ;;
    --project=*) project=${1#*=} ;;
    --zone=*) zone=${1#*=} ;;
    --type=*) type=${1#*=} ;;
    --version=*) version=${1#*=} ;;
    --cluster=*) cluster=${1#*=} ;;
    --image=*) image=${1#*=} ;;
    --source=*) source=${1#*=} ;;
    --spot) spot=(--spot) ;;
    --dry_run) dry=1 ;;
    --)
      shift
      flags=("$@")
      break
      ;;
    *) fail "$1 is unknown; the head of $0 lists what there is." ;;
  esac
  shift
done
case $command in
  create | status | install | run | log | stop | delete | xpk) ;;
  "") fail "a command is missing; the head of $0 lists them." ;;
  *) fail "$command is no command; the head of $0 lists them." ;;
esac
for field in name project zone; do
  [[ -n ${!field} ]] || fail "--$field is missing."
done

# call PROGRAM ...: runs it, or prints it so that a shell would read it back.
call() {
  if [[ -n $dry ]]; then
    printf '%q ' "$@" | sed 's/ $/\n/'
  else
    command -v "$1" >/dev/null || fail "there is no program $1 here."
    "$@"
  fi
}

place=(--project="$project" --zone="$zone")
vm=(gcloud compute tpus tpu-vm)
queue=(gcloud compute tpus queued-resources)

# Says to a host which it is, as GKE does; elsewhere the VM's metadata know.
find_others='attribute() { curl -sf -H "Metadata-Flavor: Google" "http://metadata.google.internal/computeMetadata/v1/instance/attributes/$1"; }; export TPU_WORKER_ID=$(attribute agent-worker-number) TPU_WORKER_HOSTNAMES=$(attribute worker-network-endpoints | sed "s/[^,]*://g")'

# on WORKER COMMAND: a shell command on one host, or on all.
on() {
  call "${vm[@]}" ssh "$name" "${place[@]}" --worker="$1" --command="$2"
}

case $command in
  create)
    call "${queue[@]}" create "$name" "${place[@]}" --node-id="$name" \
      --accelerator-type="$type" --runtime-version="$version" \
      ${spot[@]+"${spot[@]}"}
    ;;
  status) call "${queue[@]}" describe "$name" "${place[@]}" ;;
  install)
    call tar --create --gzip --directory="$source" --exclude=./runs \
      --exclude=./.venv --exclude=./.git --exclude=./.cache \
      --file=/tmp/magvit3d.tar.gz .
    call "${vm[@]}" scp /tmp/magvit3d.tar.gz "$name:/tmp/magvit3d.tar.gz" \
      "${place[@]}" --worker=all
    on all "mkdir -p ~/magvit3d && tar -xzf /tmp/magvit3d.tar.gz -C ~/magvit3d && cd ~/magvit3d && python3 -m pip install --quiet uv && python3 -m uv venv --clear --python=3.12 .venv && python3 -m uv pip install --quiet --python=.venv --editable '.[tpu]'"
    ;;
  run)
    [[ ${flags[*]-} == *--workdir=* ]] ||
      fail "--workdir=DIR is missing behind --: a folder that all hosts see."
    quoted=$(printf '%q ' "${flags[@]}")
    on all "$find_others; cd ~/magvit3d || exit; nohup .venv/bin/python -u -m magvit3d.main ${quoted% } >>~/magvit3d.log 2>&1 </dev/null & echo \$! >~/magvit3d.pid"
    ;;
  log) on 0 "tail -n 50 -F ~/magvit3d.log" ;;
  stop) on all "kill -TERM \$(cat ~/magvit3d.pid)" ;;
  delete) call "${queue[@]}" delete "$name" "${place[@]}" --force --quiet ;;
  xpk)
    [[ -n $cluster ]] || fail "--cluster is missing: one that xpk made."
    [[ -n $image ]] || fail "--image is missing: built from launch/Dockerfile."
    [[ ${flags[*]-} == *--workdir=* ]] ||
      fail "--workdir=DIR is missing behind --: a folder that all hosts see."
    quoted=$(printf '%q ' "${flags[@]}")
    call xpk workload create --workload="$name" --cluster="$cluster" \
      "${place[@]}" --tpu-type="$type" --docker-image="$image" \
      --command="python -m magvit3d.main ${quoted% }"
    ;;
esac
