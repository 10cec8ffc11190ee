#!/usr/bin/env bash
# Measures magvit3d on a machine with one GPU, within some minutes.
#
#   ./launch/gpu_check.sh [--output=DIR] [--minutes=10] [--steps=smoke,...]
#     [--wheels=DIR] [--golden=DIR] [--variant=small] [--work=DIR] [--small]
#     [--config.FIELD=VALUE ...]
#
# Steps: smoke, operations, steps, bits, training. Each has a time limit, writes
# its JSON into the output folder at once, and leaves the next one alone if it
# fails; summary.json says how each ended. docs/gpu.md has more. PYTHON names
# the interpreter; it needs JAX for the GPU, and nothing is downloaded. Packages
# that it lacks come from --wheels; --config fields are those of `training`.
set -uo pipefail
cd "$(dirname "$0")/.."

output=gpu_check minutes=10 steps=smoke,operations,steps,bits,training
wheels="" work="" small="" golden="" variant="" fields=()
for argument in "$@"; do
  case $argument in
    --output=*) output=${argument#*=} ;;
    --minutes=*) minutes=${argument#*=} ;;
    --steps=*) steps=${argument#*=} ;;
    --wheels=*) wheels=${argument#*=} ;;
    --work=*) work=${argument#*=} ;;
    --golden=*) golden=$argument ;;
    --variant=*) variant=$argument ;;
    --small) small=--small ;;
    --config.*=*) fields+=("$argument") ;;
    *)
      echo "Error: $argument is unknown; the head of $0 lists what there is." >&2
      exit 2
      ;;
  esac
done
for step in ${steps//,/ }; do
  if [[ ! -f benchmarks/gpu/$step.py ]]; then
    echo "Error: --steps=$steps: there is no step $step." >&2
    exit 2
  fi
done

python=${PYTHON:-python3}
mkdir -p "$output"
work=${work:-$(mktemp -d)}
mkdir -p "$work"
SECONDS=0 # Bash counts on by itself.
total=$((minutes * 60))
margin=10 # For the end.

export PYTHONPATH=$PWD${PYTHONPATH:+:$PYTHONPATH} PYTHONUNBUFFERED=1
if [[ -n $wheels ]]; then
  "$python" -m pip install -q --no-index --no-deps --no-compile \
    --no-cache-dir --upgrade --target "$work/site" "$wheels"/*.whl || exit
  export PYTHONPATH=$PWD:$work/site${PYTHONPATH#"$PWD"}
fi
# JAX and torch share the memory; programs are compiled once for all steps.
export XLA_PYTHON_CLIENT_PREALLOCATE=${XLA_PYTHON_CLIENT_PREALLOCATE:-false}
export JAX_COMPILATION_CACHE_DIR=${JAX_COMPILATION_CACHE_DIR:-$work/compiled}
export TF_CPP_MIN_LOG_LEVEL=${TF_CPP_MIN_LOG_LEVEL:-1}

# limit_of STEP: its seconds; training has all that are left.
limit_of() {
  local left=$((total - SECONDS - margin)) limit
  case $1 in
    steps) limit=$((total * 2 / 10)) ;;
    bits) limit=$((total * 15 / 100)) ;;
    training) limit=$left ;;
    *) limit=$((total / 10)) ;;
  esac
  echo $((limit < left ? limit : left))
}

has_failed=0
for step in ${steps//,/ }; do
  limit=$(limit_of "$step") start=$SECONDS log=$work/$step.log
  own=()
  case $step in
    smoke) own=(${golden:+"$golden"}) ;;
    bits) own=("--work=$work/bits") ;;
    training)
      own=("--work=$work/training" "--seconds=$((limit - 10))"
        ${variant:+"$variant"} "${fields[@]}")
      ;;
  esac
  echo "== $step, $limit s at most"
  status=124
  if ((limit > 0)); then
    timeout --kill-after=10 "$limit" "$python" -m "benchmarks.gpu.$step" \
      --output="$output" $small "${own[@]}" >"$log" 2>&1
    status=$?
  else
    echo "No time was left." >"$log"
  fi
  "$python" -m benchmarks.gpu.summary "$output" "$step" "$status" \
    $((SECONDS - start)) "$limit" "$log"
  echo "   status $status, $((SECONDS - start)) s"
  ((status == 0)) || {
    has_failed=1
    tail -n 5 "$log" | cut -c1-300
  }
done
exit $has_failed
