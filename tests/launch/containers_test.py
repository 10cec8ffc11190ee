"""Recipes of containers, and scripts for clusters that are not here."""

import os
import re
import shutil
import subprocess

import pytest
import shrunk

_LAUNCH = shrunk.ROOT / "launch"


def _call(*command, **kwargs):
  return subprocess.run(command, capture_output=True, text=True, **kwargs)


@pytest.mark.parametrize(
  "name",
  sorted(p.name for p in _LAUNCH.iterdir() if p.suffix in (".sh", ".sbatch")),
)
def test_scripts_are_shell_and_may_be_run(name):
  path = _LAUNCH / name
  done = _call("bash", "-n", str(path))
  assert (done.returncode, done.stderr) == (0, "")
  if name != "environment.sh":  # That one is sourced.
    assert os.access(path, os.X_OK)


def _instructions(path):
  """Those of a Dockerfile: name and the rest, without comments."""
  text = re.sub(r"^#.*\n", "", path.read_text(), flags=re.M)
  text = text.replace("\\\n", " ")
  return [line.split(maxsplit=1) for line in text.splitlines() if line]


def _sections(path):
  """What stands before the sections of an Apptainer recipe, and these."""
  head, *parts = re.split(r"^%(\w+)\n", path.read_text(), flags=re.M)
  return head, dict(zip(parts[::2], parts[1::2], strict=True))


def test_both_recipes_have_the_same_base_and_install_step():
  found = _instructions(_LAUNCH / "Dockerfile")
  names = [name for name, _ in found]
  assert names == ["FROM", "ARG", "WORKDIR", "COPY", "RUN", "ENV", "ENTRYPOINT"]
  values = dict(found)
  assert values["RUN"] == 'launch/container_install.sh "$EXTRA"'
  head, bodies = _sections(_LAUNCH / "apptainer.def")
  assert f"From: {values['FROM']}\n" in head and "Bootstrap: docker\n" in head
  assert list(bodies) == ["files", "post", "environment", "runscript"]
  extra = values["ARG"].removeprefix("EXTRA=")
  assert bodies["post"].split() == [
    "/magvit3d/launch/container_install.sh",
    extra,
  ]
  assert (
    "/opt/magvit3d/bin" in values["ENV"]
    and extra in (shrunk.ROOT / "pyproject.toml").read_text()
  )
  for name in ("post", "environment", "runscript"):
    assert _call("sh", "-n", "-c", bodies[name]).returncode == 0


@pytest.mark.slow
def test_the_install_step_works_in_a_clean_system(tmp_path):
  """In Debian with Python alone, for CPUs; as much as needs no registry."""
  if shutil.which("mmdebstrap") is None or os.geteuid():
    pytest.skip("it needs root and mmdebstrap: apt-get install mmdebstrap")
  root = tmp_path / "root"
  made = _call(
    *("mmdebstrap", "--variant=apt", "--include=python3-venv,ca-certificates"),
    *("bookworm", str(root)),
  )
  assert made.returncode == 0, made.stderr[-2000:]
  _, bodies = _sections(_LAUNCH / "apptainer.def")
  for line in bodies["files"].strip().splitlines():
    source, target = line.split()
    path, place = shrunk.ROOT / source, root / target.removeprefix("/")
    if path.is_dir():
      ignored = shutil.ignore_patterns("__pycache__")
      shutil.copytree(path, place, ignore=ignored)
    else:
      place.parent.mkdir(exist_ok=True)
      shutil.copy(path, place)
  environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root"}
  authorities = os.environ.get("PIP_CERT")
  if authorities:  # Of a proxy between this machine and the index.
    shutil.copy(authorities, root / "authorities.crt")
    environment["PIP_CERT"] = "/authorities.crt"
  kept = ("http_proxy", "https_proxy", "no_proxy", "PIP_INDEX_URL")
  environment |= {k: v for k, v in os.environ.items() if k in kept}
  done = _call(
    *("chroot", str(root), "/magvit3d/launch/container_install.sh", ""),
    env=environment,
  )
  assert done.returncode == 0, done.stderr[-2000:]
  assert done.stdout.startswith("JAX ")
  # As the entry point, in the folder of the image.
  flags = "--config=configs/traj3d.py:tiny --config.stages=data --workdir=/run1"
  small = "--config.data.num_train=8 --config.data.num_validation=4"
  done = _call(
    *("chroot", str(root), "/bin/sh", "-c"),
    f"cd /magvit3d && exec /opt/magvit3d/bin/python -m magvit3d.main {flags} "
    f"{small} --config.data.num_test=4",
    env=environment | {"JAX_PLATFORMS": "cpu"},
  )
  assert done.returncode == 0, done.stderr[-2000:]
  assert (root / "run1" / "data" / "manifest.json").exists()
  shutil.rmtree(root)


def _pod(*arguments):
  return _call(str(_LAUNCH / "tpu_pod.sh"), *arguments)


_PLACE = ("--name=a", "--project=p", "--zone=z", "--dry_run")


@pytest.mark.parametrize(
  "command, begin",
  [
    ("create", "gcloud compute tpus queued-resources create a --project=p"),
    ("status", "gcloud compute tpus queued-resources describe a"),
    ("install", "tar --create --gzip"),
    ("log", "gcloud compute tpus tpu-vm ssh a --project=p --zone=z --worker=0"),
    ("stop", "gcloud compute tpus tpu-vm ssh a"),
    ("delete", "gcloud compute tpus queued-resources delete a"),
  ],
)
def test_a_dry_run_prints_what_a_pod_would_be_told(command, begin):
  done = _pod(command, *_PLACE)
  assert done.returncode == 0 and done.stdout.startswith(begin)


def test_flags_reach_the_hosts_as_they_were_written(tmp_path):
  workdir = "--workdir=/mnt/my runs/it's $x"
  done = _pod("run", *_PLACE, "--", "--config=a.py", workdir)
  # A shell here reads the printed command, one there what it sends.
  program = tmp_path / "gcloud"
  program.write_text(
    '#!/bin/sh\nfor last; do :; done\necho "${last#--command=}"'
  )
  program.chmod(0o755)
  path = f"{tmp_path}:{os.environ['PATH']}"
  sent = _call("bash", "-c", done.stdout, env={"PATH": path}).stdout
  assert _call("bash", "-n", "-c", sent).returncode == 0
  (_, flags) = sent.split("-m magvit3d.main ")
  flags = flags.split(" >>")[0]
  said = _call("bash", "-c", f"printf '%s\\n' {flags}").stdout
  assert said.splitlines() == ["--config=a.py", workdir]
  xpk = _pod(
    *("xpk", *_PLACE, "--cluster=c", "--image=i", "--", workdir),
  )
  assert xpk.stdout.startswith("xpk workload create --workload=a --cluster=c")


@pytest.mark.parametrize(
  "arguments, message",
  [
    ((), "a command is missing"),
    (("crate", *_PLACE), "crate is no command"),
    (("create", "--name=a"), "--project is missing"),
    (("create", *_PLACE, "--spto"), "--spto is unknown"),
    (("run", *_PLACE, "--", "--config=a"), "--workdir=DIR is missing"),
    (("xpk", *_PLACE, "--cluster=c"), "--image is missing"),
  ],
)
def test_wrong_flags_of_a_pod_are_told(arguments, message):
  done = _pod(*arguments)
  assert done.returncode == 2 and done.stdout == ""
  assert done.stderr.startswith(f"Error: {message}")
