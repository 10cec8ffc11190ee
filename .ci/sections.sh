# Sourced by .ci/run and .ci/nightly.

# section TITLE: says what begins, and when.
section() {
  echo "== $1 ($((SECONDS / 60)) min)"
}

# newest_python: prints the newest Python that magvit3d supports, if it is here.
newest_python() {
  local candidate found=""
  for candidate in python3.13 "$HOME"/.pyenv/versions/3.13.*/bin/python; do
    if "$candidate" --version >/dev/null 2>&1; then
      found=$candidate
    fi
  done
  echo "$found"
}
