"""Networks go to a hub and come back, by a server on localhost."""

import os
import subprocess
import sys
import textwrap

import jax
import pytest
import small_hub
from shrunk import ROOT

from magvit3d.api import Magvit
from magvit3d.errors import UserError
from magvit3d.pretrained import hub

pytest.importorskip("huggingface_hub")


@pytest.fixture
def server():
  made = small_hub.SmallHub()
  yield made
  made.stop()


def _python(server, folder, program):
  """In a process of its own: the client reads its variables when imported."""
  return subprocess.run(
    [sys.executable, "-c", textwrap.dedent(program)],
    cwd=ROOT,
    env={
      **{key: os.environ[key] for key in ("PATH", "HOME")},
      "HF_ENDPOINT": server.url,
      "HF_HOME": str(folder / "hf"),
      "HF_TOKEN": "hf_test",
      "HF_HUB_DISABLE_PROGRESS_BARS": "1",
      "JAX_PLATFORMS": "cpu",
    },
    capture_output=True,
    text=True,
    check=False,
  )


def test_networks_go_to_the_hub_and_come_back(server, trained_run, tmp_path):
  done = _python(
    server,
    tmp_path,
    f"""
    from magvit3d.api import Magvit

    m = Magvit.from_run({str(trained_run)!r})
    print(m.push_to_hub("me/small", license="apache-2.0", message="First"))
    m.push_to_hub("me/small", dtype="float16", message="Half")
    back = Magvit.from_pretrained("me/small")
    back.save_pretrained({str(tmp_path / "back")!r})
    commit = {small_hub._hash(1)!r}
    first = Magvit.from_pretrained("me/small", revision=commit)
    first.save_pretrained({str(tmp_path / "first")!r})
    """,
  )
  assert done.returncode == 0, done.stderr
  assert done.stdout.strip().endswith(f"me/small/commit/{small_hub._hash(1)}")
  assert server.messages == ["First", "Half"] and server.is_private["me/small"]
  _, first, half = server.models["me/small"]
  for files in (first, half):  # The first file of weights is gone again.
    names = sorted(name.partition("-")[0] for name in files)
    assert names == ["README.md", "config.json", "model"]
  card = first["README.md"].decode()
  assert "\n# me/small\n" in card and '\nlicense: "apache-2.0"\n' in card
  wanted = Magvit.from_run(trained_run).trained
  for name, most in (("first", 0), ("back", 2**-11)):
    found = Magvit.from_pretrained(tmp_path / name).trained
    for a, b in zip(
      jax.tree.leaves(found.tokenizer_params),
      jax.tree.leaves(wanted.tokenizer_params),
      strict=True,
    ):
      assert (abs(a - b) <= most * abs(b) + most * 2**-14).all()


@pytest.mark.variants
@pytest.mark.parametrize(
  ("call", "text"),
  [
    ("from_pretrained('me/none')", "The hub has no model 'me/none'"),
    (
      "from_pretrained('me/there', revision='v9')",
      "The hub's 'me/there' has no such revision",
    ),
    ("from_pretrained('me/there')", "config.json is missing"),
  ],
)
def test_what_the_hub_lacks_is_told(server, tmp_path, call, text):
  server.models["me/there"] = [{"x.txt": b"x"}]
  done = _python(
    server, tmp_path, f"from magvit3d.api import Magvit\nMagvit.{call}"
  )
  last = done.stderr.strip().splitlines()[-1]
  assert last.startswith("magvit3d.errors.UserError") and text in last


def test_without_a_hub_it_says_so(server, tmp_path):
  server.stop()
  done = _python(
    server,
    tmp_path,
    "from magvit3d.api import Magvit\nMagvit.from_pretrained('me/there')",
  )
  last = done.stderr.strip().splitlines()[-1]
  assert "The hub did not do what was asked of it for 'me/there' (" in last


def test_a_name_is_told_from_a_folder(tmp_path):
  assert hub.is_name("me/small-3d.v2")
  for text in ("small", "a/b/c", "/me/small", "../small", "me/", "~/small"):
    assert not hub.is_name(text)
  with pytest.raises(UserError, match="no folder, and no model that comes"):
    Magvit.from_pretrained(tmp_path / "none")
  with pytest.raises(UserError, match="must be a name such as user/model"):
    hub.upload(tmp_path, "small", True, "")
