#!/usr/bin/env bash
# Makes .venv if it is missing, installs the dev extra, and runs the tests.
#
#   ./launch/test.sh [PYTEST ARGUMENTS ...]     for example: -m slow
#
# Two processes share the test files; -n 8 takes eight, -n 0 none.
# PYTHON names the interpreter to use (3.11 to 3.13); python3 unless set.
set -euo pipefail
cd "$(dirname "$0")/.."
source launch/environment.sh

make_environment ".[dev]"
exec .venv/bin/python -m pytest -n 2 --dist loadfile "$@"
