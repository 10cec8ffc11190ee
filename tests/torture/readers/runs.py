"""Readers of runs: reports, comparisons, status, checkpoints."""

import contextlib
import dataclasses
import json


def _report_folder(folder):
  import report_inputs

  if not (folder / "run").exists():
    report_inputs.make_workdir(folder / "run", num_clips=1, size=8, frames=4)
  return folder / "run"


def prepare_report(name):
  def prepare(folder):
    run = _report_folder(folder)
    sound = (run / name).read_bytes()
    for metrics in run.glob("*/metrics.jsonl"):
      metrics.write_text("".join(metrics.read_text().splitlines(True)[:20]))
    # Encoding moving pictures takes most of the time.
    for other in ("clips.npz", "paths.npz"):
      if not name.endswith(other):
        (run / "evaluation" / other).unlink()
    return [sound]

  return prepare


def read_report(name):
  def read(folder, data):
    from magvit3d.report.run_report import write_report

    path = folder / "run" / name
    sound = path.read_bytes()
    path.write_bytes(data)
    try:
      write_report(folder / "run")
    finally:
      path.write_bytes(sound)

  return read


def prepare_compared(name):
  def prepare(folder):
    import small_comparisons

    from magvit3d.evaluation.tables import Cell

    for run in ("a", "b"):
      if not (folder / run).exists():
        table = small_comparisons.make_table(24.0, Cell(0.1, 0.09, 0.12))
        small_comparisons.make_run(folder / run, [table])
    return [(folder / "a" / name).read_bytes()]

  return prepare


def read_compared(name):
  def read(folder, data):
    from magvit3d.report import compared_runs, comparison

    (folder / "a" / name).write_bytes(data)
    runs = compared_runs.load([folder / "a", folder / "b"])
    comparison.write(runs, folder / "page.html")

  return read


def prepare_old_scores(folder):
  old = {
    "tables": [
      {
        "title": "Probes: classes",
        "columns": ["", "PSNR, dB", "ADE (m)"],
        "rows": [["model", 20.5, "0.0123 [0.0101, 0.0145]"], ["copy", 1, "x"]],
        "baselines": ["copy"],
        "n": 12,
        "split": "test",
      }
    ]
  }
  single = {"tables": {"Of clips": {"model": {"psnr_db": 1.5}}}, "num_clips": 3}
  return [json.dumps(old).encode(), json.dumps(single).encode()]


def read_old_scores(folder, data):
  from magvit3d.report import file_reading, score_tables

  (folder / "scores.json").write_bytes(data)
  scores, _ = file_reading.load_json(folder / "scores.json")
  score_tables.section(file_reading.read_tables(scores))


def prepare_status(name):
  def prepare(folder):
    status = {
      "state": "RUNNING",
      "reason": "",
      "stage": "tokenizer",
      "activity": "training",
      "step": 3,
      "total_steps": 10,
      "loss_name": "loss",
      "loss": 0.5,
      "steps_per_second": 1.5,
      "eta_seconds": 4.0,
      "log_every_steps": 1,
      "started": "2026-11-20T20:00:00+00:00",
      "last_step": "2026-11-20T20:01:00+00:00",
      "seconds_since_last_step": 1.0,
      "updated": "2026-11-20T20:01:01+00:00",
    }
    stages = {
      "data": {"status": "done", "seconds": 1.0, "started": "20:00"},
      "tokenizer": {"status": "running", "seconds": 2.0, "started": "20:01"},
      "report": {"status": "pending", "seconds": 0.0},
    }
    for file, content in (("status.json", status), ("stages.json", stages)):
      (folder / file).write_text(json.dumps(content))
    return [(folder / name).read_bytes()]

  return prepare


def read_status(name):
  def read(folder, data):
    from magvit3d import status

    (folder / name).write_bytes(data)
    run = status.read_run(folder, 1.8e9)
    status.table([run])
    json.dumps(dataclasses.asdict(run))

  return read


def prepare_metrics(folder):
  lines = [
    {"step": step, "time": 1e9 + step, "train/loss": 1 / step, "lr": 1e-3}
    for step in range(1, 20)
  ]
  return ["\n".join(map(json.dumps, lines)).encode(), *(
    json.dumps(line).encode() for line in lines[:2]
  )]  # fmt: skip


def read_metrics(folder, data):
  from magvit3d.monitoring import metrics_file
  from magvit3d.report import curves

  path = folder / "metrics.jsonl"
  path.write_bytes(data)
  panels = curves.group_panels(metrics_file.read_metrics(path))
  for item in panels.items():
    curves.panel_svg(*item)


def prepare_run_config(folder):
  import shrunk

  config = shrunk.make_config()
  return [json.dumps(config, default=list).encode()]


def read_run_config(folder, data):
  from magvit3d.exports import clips
  from magvit3d.inference import finished_run

  (folder / "config.json").write_bytes(data)
  clips.data_folder(folder, None)
  finished_run._read_config(folder)


def prepare_record_of_checkpoint(folder):
  from magvit3d.checkpoints import record

  content = {
    "step": 7,
    "time": "now",
    "code": {"magvit3d": "0.1.0", "commit": "abc"},
    "identity": {"vqvae": {"filters": 4}, "data": {"preset": "traj3d"}},
    "given": {"config": {}},
    "metrics": {"loss": 0.5},
    "iterator": {"next": 3},
    "leaves": {
      "ema_params/a": {"shape": [2, 3], "dtype": "float32", "checksum": "00"}
    },
  }
  (folder / "record").mkdir()
  return [json.dumps(record.seal(content)).encode()]


def seal_record(data):
  from magvit3d.checkpoints import record

  with contextlib.suppress(Exception):
    sealed = json.loads(data)
    sealed["crc32c"] = record._crc(sealed["schema"], sealed["content"])
    return json.dumps(sealed).encode()
  return data


def read_record_of_checkpoint(folder, data):
  from magvit3d.checkpoints import fit, record

  (folder / "record" / "metadata").write_bytes(data)
  content = record.read(folder)
  fit.differences(content, {"vqvae": {"filters": 4}}, sections=["vqvae"])
  return {key: value for key, value in content.items() if key != "time"}
