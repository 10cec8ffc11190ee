"""A figure of Matplotlib as a PNG, whatever letters its texts have."""

import functools
import io
import os
import sys
import warnings

from matplotlib import font_manager
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ft2font import FT2Font
from matplotlib.text import Text

_FALLBACK = "Last Resort"  # Comes with Matplotlib; has boxes for all letters.
_MOST_NAMED = 10


def make_png(figure: Figure) -> bytes:
  """Draws a figure.

  Texts are drawn as they are, without formulas in them. Letters that the usual
  font lacks come from any installed font that has them; if none has, they are
  boxes, which is said on stderr in one sentence.
  """
  texts = [text for text in figure.findobj(Text) if isinstance(text, Text)]
  for text in texts:
    text.set_text(printable(text.get_text()))
    text.set_parse_math(False)
  letters = {x for text in texts for x in text.get_text() if x.isprintable()}
  families, missing = _find_families(frozenset(letters))
  for text in texts:
    text.set_fontfamily(families)
  file = io.BytesIO()
  with warnings.catch_warnings():
    # Letters may also be other than printable ones, or of tick labels.
    warnings.filterwarnings("ignore", r"Glyph .* missing")
    FigureCanvasAgg(figure).print_png(file)
  if missing:
    named = "".join(sorted(missing)[:_MOST_NAMED])
    more = len(missing) - _MOST_NAMED
    print(
      f"Note: no installed font has {named}"
      + (f" and {more} more letters" if more > 0 else "")
      + ", which are boxes in the picture. Install one that has them, such as "
      "Noto Sans CJK; an .html file shows them as the browser does.",
      file=sys.stderr,
    )
  return file.getvalue()


def printable(text: str) -> str:
  """Returns a text without bytes of file names that are no UTF-8."""
  return os.fsencode(text).decode("utf-8", "backslashreplace")


@functools.lru_cache(8)
def _find_families(letters: frozenset[str]) -> tuple[list[str], set[str]]:
  """Returns fonts that have all letters, and the letters that none has."""
  usual = font_manager.findfont(
    font_manager.FontProperties(family=["sans-serif"])
  )
  families, missing = ["sans-serif"], letters - _letters(usual)
  for font in font_manager.fontManager.ttflist:
    if not missing:
      break
    if font.name.startswith(_FALLBACK):
      continue
    try:
      there = missing & _letters(font.fname)
    except (OSError, RuntimeError):  # Gone, or of no kind that is known.
      continue
    if there:
      families.append(font.name)
      missing -= there
  return families, set(missing)


@functools.lru_cache(256)
def _letters(path: str) -> frozenset[str]:
  return frozenset(map(chr, FT2Font(path).get_charmap()))
