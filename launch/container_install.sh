#!/bin/sh
# The install step of the containers (Dockerfile, apptainer.def), in any system
# with Python 3.11 to 3.13 and its module venv:
#
#   launch/container_install.sh [EXTRA] [FOLDER]
#
# Installs the checkout with the extra EXTRA (cuda12, cuda13, tpu; '' for CPUs)
# into a virtual environment in FOLDER (/opt/magvit3d), and tries it.
set -eu
extra=${1-cuda12}
folder=${2-/opt/magvit3d}
cd "$(dirname "$0")/.."
python3 -m venv "$folder"
"$folder/bin/pip" install --no-cache-dir --quiet ".${extra:+[$extra]}"
cd /
"$folder/bin/python" -m magvit3d.main --help >/dev/null || [ $? -eq 1 ]
"$folder/bin/python" -c 'import jax; print("JAX", jax.__version__)'
