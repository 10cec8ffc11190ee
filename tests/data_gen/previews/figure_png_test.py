"""Figures show texts as they are, and say which letters no font has."""

import io
import warnings

import numpy as np
import pytest
from matplotlib import font_manager
from matplotlib.figure import Figure
from PIL import Image

from data_gen.previews import figure_png


def _draw(text):
  figure = Figure((2, 1))
  figure.text(0.1, 0.5, text)
  axes = figure.add_subplot()
  axes.set_title(text)
  with warnings.catch_warnings():
    warnings.simplefilter("error")
    data = figure_png.make_png(figure)
  return np.asarray(Image.open(io.BytesIO(data)).convert("L"))


def test_letters_that_no_font_has_are_told_in_one_sentence(capsys):
  missing = "扔球"
  fonts = font_manager.fontManager.ttflist
  there = [figure_png._letters(f.fname) for f in fonts if "Last" not in f.name]
  if any(missing[0] in letters for letters in there):
    missing = "\U0001f9ff\U0001fae8"  # Where Chinese fonts are installed.
  assert _draw(f"to throw {missing}").min() == 0
  found = capsys.readouterr()
  assert found.out == "" and found.err.count("\n") == 1
  assert "no installed font has " in found.err
  assert all(letter in found.err for letter in missing)
  assert "throw" not in found.err


def test_letters_of_another_font_are_drawn_by_it(capsys, monkeypatch):
  usual = font_manager.findfont(
    font_manager.FontProperties(family=["sans-serif"])
  )
  figure_png._find_families.cache_clear()
  letters = figure_png._letters

  def without_q(path):
    return letters(path) - ({"q"} if path == usual else set())

  monkeypatch.setattr(figure_png, "_letters", without_q)
  families, missing = figure_png._find_families(frozenset("aq"))
  figure_png._find_families.cache_clear()
  assert missing == set() and len(families) == 2
  assert families[0] == "sans-serif"
  _draw("aq")
  assert capsys.readouterr().err == ""


@pytest.mark.parametrize("text", ["$x_$ and $", r"$\frac{a$", "a\udce9b", ""])
def test_no_text_is_a_formula_or_an_error(text, capsys):
  _draw(text)
  assert capsys.readouterr().err == ""


def test_dollars_are_drawn(capsys):
  assert not np.array_equal(_draw("$a$"), _draw("a"))
