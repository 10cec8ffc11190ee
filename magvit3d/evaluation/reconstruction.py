"""How well the tokenizer shows the scenes, and where the object is in them."""

from magvit3d.evaluation import tokenizer_scores
from magvit3d.evaluation.metres import path_tables, run_paths
from magvit3d.evaluation.metres.tally import RECONSTRUCTIONS, SceneTally
from magvit3d.evaluation.outputs import RunOutputs, to_uint8
from magvit3d.evaluation.results import Results
from magvit3d.evaluation.tables import Column


def score_clips(outputs: RunOutputs, results: Results) -> None:
  """Adds the scores of reconstructed clips, and clips to show."""
  rows, gain, color_ratio = tokenizer_scores.reconstruction_table(
    outputs.reconstruction, outputs.clips
  )
  results.add_table(
    "Reconstruction",
    "Foreground: pixels within 2 of the true object mask. Most of a frame is "
    "background, so PSNR over whole frames says little. Colour error: of the "
    "object's mean colour, root mean square over red, green, blue in [0, 1].",
    [*tokenizer_scores.IMAGE_COLUMNS, Column("colour error", "", "lower")],
    rows,
    n=len(outputs.real),
  )
  results.measured["foreground_gain_db"] = gain
  results.measured["color_error_ratio"] = color_ratio
  shown = slice(outputs.settings.num_shown_clips)
  results.shown |= {
    "reconstruction/real": outputs.clips["frames"][shown],
    "reconstruction/reconstructed": to_uint8(outputs.reconstruction[shown]),
    "reconstruction/captions": outputs.captions[shown],
  }


def score_codes(outputs: RunOutputs, results: Results) -> None:
  """Adds how many codes are used."""
  size = outputs.model.vocabulary.codebook_size
  tokens = outputs.tokens.tokens
  rows, perplexity = tokenizer_scores.code_table(
    tokens, outputs.object_cells, size
  )
  results.add_table(
    "Use of the codebook",
    f"{size} codes; perplexity is the number of codes that, used equally "
    "often, would be as varied.",
    [
      Column("tokens", "", None),
      Column("share of codes used", "", None),
      Column("perplexity", "", None),
    ],
    rows,
    n=len(outputs.real),
  )
  results.measured["foreground_perplexity"] = perplexity


def score_paths(outputs: RunOutputs, results: Results) -> SceneTally:
  """Adds the scores in metres; returns them."""
  tally = run_paths.score_paths(
    outputs.held_out,
    given_frames=0,
    videos={RECONSTRUCTIONS: outputs.by_scene(outputs.reconstruction)},
  )
  lines = tally.lines(outputs.seed)
  path_tables.add_tables(
    results, "Paths through the tokenizer", "All frames count.", lines
  )
  results.measured["tokenizer_ade_m"] = path_tables.mean_ade(
    lines, RECONSTRUCTIONS
  )
  return tally
