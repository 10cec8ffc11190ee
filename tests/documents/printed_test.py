"""Every command of a document shows what it prints, or says why it does not."""

import re

import documented
import pytest
import shrunk

# Between a block of commands and the next one, or the next heading, comes what
# they print: as a block, within a sentence, or it was not to be had.
_NEXT = re.compile(r"^#+ |^```sh$", re.M)
_PRINTED = re.compile(
  r"^```(text)?$|\bprints\s+(`|the\s+tables?\b)|\b[Nn]ot\s+run\s+here\b", re.M
)
_PROGRAMS = re.compile(r"^```(?!text$)\w+$.*?^```$", re.M | re.S)
_DOCUMENTS = [
  name
  for name in documented.DOCUMENTS
  if name == "README.md" or name.startswith("docs/")
]


def _silent(text: str) -> list[str]:
  """Returns the blocks of commands that nothing is shown of."""
  silent = []
  for block in re.finditer(r"^```sh\n(.*?)^```$", text, re.M | re.S):
    lines = block[1].replace("\\\n", " ").splitlines()
    rest = text[block.end() + 1 :]
    end = _NEXT.search(rest)
    after = _PROGRAMS.sub("", rest[: end.start()] if end else rest)
    # What pip prints differs with what is there.
    if all(line.startswith("pip ") for line in lines):
      continue
    if not _PRINTED.search(after):
      silent.append(block[1])
  return silent


@pytest.mark.parametrize("document", _DOCUMENTS)
def test_every_command_shows_what_it_prints(document):
  assert not _silent((shrunk.ROOT / document).read_text())


@pytest.mark.parametrize(
  ("after", "is_silent"),
  [
    ("", True),
    ("\nIt writes a page.\n\n## Next\n\n```\nPage: a\n```\n", True),
    ("\n```sh\npython b.py\n```\n\n```\nPage: b\n```\n", True),
    ("\n```python\nprint(1)\n```\n", True),
    ("\n```\nPage: a\n```\n", False),
    ("\nIt prints `Page: a`.\n", False),
    ("\nIt needs a GPU; not\nrun here.\n", False),
  ],
)
def test_a_command_without_is_found(after, is_silent):
  text = f"```sh\npython a.py\n```\n{after}"
  assert _silent(text) == ["python a.py\n"] * is_silent
