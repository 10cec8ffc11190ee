"""Tests of reading metrics.jsonl as runs leave it."""

from magvit3d.monitoring import metrics_file


def test_resumed_steps_keep_their_last_value(tmp_path):
  path = tmp_path / "metrics.jsonl"
  path.write_text(
    '{"step": 1, "train/loss": 5.0}\n{"step": 2, "train/loss": 4.0}\n'
    '{"step": 2, "train/loss": 3.0}\n{"step": 2, "validation/loss": 3.5}\n'
    '{"step": 3, "train/l'
  )
  records = metrics_file.read_metrics(path)
  assert records == [
    {"step": 1, "train/loss": 5.0},
    {"step": 2, "train/loss": 3.0, "validation/loss": 3.5},
  ]


def test_a_file_that_is_not_there_has_no_records(tmp_path):
  assert metrics_file.read_metrics(tmp_path / "metrics.jsonl") == []
