"""Pages that are made from the code are of today; the site is built."""

import re
import sys

import pytest
import shrunk

from docs import write_configs, write_troubleshooting

_CASES = shrunk.ROOT / "tests" / "parity" / "cases"


@pytest.mark.parametrize("page", [write_configs, write_troubleshooting])
def test_pages_are_of_today(page):
  """If not: `python -m docs.write_configs`, or `docs.write_troubleshooting`."""
  assert page.OUTPUT.read_text() == page.render()


def test_every_field_says_what_it_is():
  rows = re.findall(
    r"^\| `(\S+)` \|.*\| (.*) \|$", write_configs.render(), re.M
  )
  assert len(rows) > 400
  assert not [name for name, words in rows if words == "–"]


def test_comments_of_configs_are_read():
  found = write_configs.comments("traj3d")
  assert found["transformer.num_views"].startswith("Ours: cameras")
  assert found["tasks.frame_prediction.cond_latent_frames"] == (
    "None: from cond_frames."
  )
  assert found["vqgan"] == "Tokenizer losses."


def test_errors_are_read_with_names_for_what_is_filled_in(
  tmp_path, monkeypatch
):
  monkeypatch.setattr(write_troubleshooting, "ROOT", tmp_path)
  path = tmp_path / "magvit3d" / "made_up.py"
  path.parent.mkdir()
  path.write_text(
    "def f(a_b):\n"
    "  raise UserError(\n"
    "    f'--flag={a_b.size!r} is no size of '\n"
    "    f'{len(a_b)} things. Name *one*.'\n"
    "  )\n"
    "  raise ValueError('The programmer is at fault here, and nobody else.')\n"
  )
  found = write_troubleshooting.messages()[
    "Everything that opens a trained model"
  ]
  text = "--flag=‹size› is no size of ‹a b› things. Name \\*one\\*."
  assert found == [(text, "magvit3d/made_up.py")]


def test_places_of_subjects_are_there():
  files = [
    path.relative_to(shrunk.ROOT).as_posix()
    for path in write_troubleshooting._files()
  ]
  for _, places, _ in write_troubleshooting._SUBJECTS:
    for place in places:
      assert any(file.startswith(place) for file in files), place


def test_the_parity_table_has_every_case():
  text = (shrunk.ROOT / "docs" / "faithful.md").read_text()
  table = text.partition("## What is identical")[2].partition(
    "## What differs"
  )[0]
  named = {
    name.removesuffix(".json")
    for name in re.findall(r"`(\w+(?:\.json)?)`", table)
  }
  cases = {path.stem for path in _CASES.iterdir()}
  # Those of networks that MAGVIT's own numbers do not say anything about.
  assert named == cases - {"lpips_torch", "resnet50_torchvision"}
  assert len(named) == 29


def test_the_readme_fits_on_three_screens():
  assert (shrunk.ROOT / "README.md").read_text().count("\n") <= 130


def _build(tmp_path, monkeypatch, **changes):
  monkeypatch.setenv("NO_MKDOCS_2_WARNING", "1")
  config = pytest.importorskip("mkdocs.config")
  pytest.importorskip("mkdocstrings")
  build = pytest.importorskip("mkdocs.commands.build")
  monkeypatch.delitem(sys.modules, "site_hooks", raising=False)
  loaded = config.load_config(
    str(shrunk.ROOT / "mkdocs.yml"),
    site_dir=str(tmp_path / "site"),
    strict=True,
    **changes,
  )
  build.build(loaded)
  return tmp_path / "site"


@pytest.mark.filterwarnings("default")
def test_the_site_is_built_strictly(tmp_path, monkeypatch):
  site = _build(tmp_path, monkeypatch)
  pages = {
    path.relative_to(site).as_posix(): path.read_text()
    for path in site.rglob("*.html")
  }
  for page in ("index", "configs", "project/security", "models/traj3d-small"):
    assert f"{page}.html" in pages
  for text in pages.values():
    assert not re.search(r'(src|<link[^>]* href)="?https?:', text)
  assert "predict_views" in pages["reference.html"]
  # Links of README.md lead to pages, and to headings.
  assert 'href="faithful.html"' in pages["index.html"]
  assert (
    'href="../reliability.html#files-of-others"'
    in pages["project/security.html"]
  )


@pytest.mark.variants
@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize(
  "link", ["nowhere.md", "configs.md#nothing", "../nowhere.py"]
)
def test_a_link_to_nowhere_fails(link, tmp_path, monkeypatch):
  exceptions = pytest.importorskip("mkdocs.exceptions")
  docs = tmp_path / "docs"
  docs.mkdir()
  for path in (shrunk.ROOT / "docs").iterdir():
    if path.suffix in (".md", ".css", ".png", ".webp"):
      (docs / path.name).write_bytes(path.read_bytes())
  page = docs / "crops.md"
  page.write_text(page.read_text() + f"\n[lost]({link})\n")
  with pytest.raises(exceptions.Abort):
    _build(tmp_path, monkeypatch, docs_dir=str(docs))


@pytest.mark.slow
def test_pictures_can_be_drawn(tmp_path):
  from docs import draw_concepts, draw_tasks

  draw_tasks.draw(tmp_path / "tasks.png")
  draw_concepts.draw(tmp_path)
  assert len(list(tmp_path.glob("concept_*.png"))) == 5
