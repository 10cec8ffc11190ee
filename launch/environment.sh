# Sourced by the other scripts: the project's virtual environment.

# make_environment WHAT: makes .venv and installs WHAT ("." or ".[dev]") in it.
# Does nothing if that was done since pyproject.toml last changed.
make_environment() {
  local what=$1 python=${PYTHON:-python3} stamp
  if ! "$python" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))'; then
    echo "Error: $python is $("$python" --version 2>&1); magvit3d needs Python" \
      "3.11 to 3.13. Name one: PYTHON=python3.12 $0" >&2
    return 1
  fi
  stamp=".venv/installed-$(echo "$what" | tr -dc 'a-z')"
  if [[ -e $stamp && $stamp -nt pyproject.toml ]]; then
    return
  fi
  echo "Installing into $PWD/.venv ..."
  [[ -x .venv/bin/python ]] || "$python" -m venv .venv
  tell_time .venv/bin/python -m pip install --quiet \
    --disable-pip-version-check --editable "$what"
  touch "$stamp"
}

# tell_time COMMAND ...: runs it, and says every 5 s that it goes on.
tell_time() {
  local begun=$SECONDS clock status=0
  while sleep 5; do echo "... $((SECONDS - begun)) s"; done &
  clock=$!
  "$@" || status=$?
  kill "$clock"
  wait "$clock" 2>/dev/null || true
  return "$status"
}
