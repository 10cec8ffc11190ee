#!/usr/bin/env bash
# Makes .venv, installs magvit3d, and runs the small experiment end to end.
#
#   ./launch/quickstart.sh [FLAGS OF magvit3d.main ...]
#
# Run again, it continues where it stopped, or says that all is done.
# PYTHON names the interpreter to use (3.11 to 3.13); python3 unless set.
set -euo pipefail
cd "$(dirname "$0")/.."
source launch/environment.sh

if [[ ${1-} == -h || ${1-} == --help ]]; then
  sed -n '2,/^set /{/^#/s/^# \{0,1\}//p}' "$0"
  exit
fi
make_environment ".[onednn]"
echo "Data, tokenizer, transformer, evaluation, report: see runs/quickstart."
exec .venv/bin/python -m magvit3d.main --config=configs/traj3d.py:tiny \
  --workdir=runs/quickstart "$@"
