"""Hooks of mkdocs.yml: files outside docs/ become pages, links lead to them.

Documents are written to be read in the repository. Here README.md and others
of `PAGES` get a place on the site, and every relative link is turned: to the
page of a file that has one, and to plain text where a file has none.
"""

import os
import pathlib
import re

from markdown.extensions import toc
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = pathlib.Path(__file__).parents[1]
# Of files of the repository: their pages.
PAGES = {
  "README.md": "index.md",
  "CONTRIBUTING.md": "project/contributing.md",
  "SECURITY.md": "project/security.md",
  "CHANGELOG.md": "project/changelog.md",
  "examples/README.md": "examples.md",
} | {
  card.relative_to(ROOT).as_posix(): f"models/{card.parent.name}.md"
  for card in ROOT.glob("magvit3d/pretrained/*/README.md")
}
_SOURCES = {page: source for source, page in PAGES.items()}
_LINK = re.compile(r"(!?)\[((?:[^\[\]]|\[[^\]]*\])*)\]\(([^()\s]+)\)")
_CODE = re.compile(r"(^```.*?^```|``[^`]+``|`[^`\n]+`)", re.M | re.S)


def on_files(files: Files, config: MkDocsConfig) -> Files:
  """Adds the pages of files outside docs/."""
  for source, page in PAGES.items():
    text = (ROOT / source).read_text()
    files.append(File.generated(config, page, content=text))
  return files


def on_page_markdown(
  markdown: str, page: Page, config: MkDocsConfig, files: Files
) -> str:
  """Turns the links of a page."""
  place = page.file.src_uri
  source = _SOURCES.get(place, f"docs/{place}")
  parts = _CODE.split(markdown)
  for i in range(0, len(parts), 2):  # The others are code.
    parts[i] = _LINK.sub(lambda link: _turned(link, source, place), parts[i])
  return "".join(parts)


def _turned(link: re.Match[str], source: str, place: str) -> str:
  mark, label, target = link.groups()
  path, hash_mark, anchor = target.partition("#")
  if not path or re.match(r"[a-z]+:", path):
    return link[0]
  file = os.path.normpath(os.path.join(os.path.dirname(source), path))
  if not (ROOT / file).exists():
    return link[0]  # mkdocs says so.
  page = PAGES.get(file, file.removeprefix("docs/"))
  if file not in PAGES and not file.startswith("docs/"):
    return label  # A source file: its name is enough.
  if label == target or label.endswith(
    ".md"
  ):  # Names of files say little here.
    label = _title(ROOT / file, anchor) or label
  new = os.path.relpath(page, os.path.dirname(place) or ".")
  return f"{mark}[{label}]({new}{hash_mark}{anchor})"


def _title(file: pathlib.Path, anchor: str) -> str:
  """The heading that a link leads to."""
  for line in file.read_text().splitlines():
    mark, _, heading = line.partition(" ")
    if (
      mark and not mark.strip("#") and anchor in ("", toc.slugify(heading, "-"))
    ):
      return heading
  return ""
