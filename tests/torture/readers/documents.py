"""Readers of JSON and text."""

import json
from typing import Any

from tests.torture.readers import data_sets


def read_json(folder, data):
  from data_gen.files import json_files

  (folder / "a.json").write_bytes(data)
  value = json_files.read(folder / "a.json", Any)
  text = json.dumps(value, ensure_ascii=False).encode()
  assert json.dumps(json.loads(data.decode("utf-8-sig"))) == json.dumps(value)
  return text


def prepare_json(folder):
  return [
    data_sets.make_data_set()["manifest.json"],
    prepare_calibration(folder),
  ]


def prepare_calibration(folder):
  pose = [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 2.5]]
  intrinsics = [[20.0, 0, 8], [0, 20.0, 8], [0, 0, 1]]
  names = "abcd"
  for name in names:
    (folder / f"{name}.mp4").write_bytes(b"0")
  (folder / "t.csv").write_text("x,y,z\n1,2,3\n4,,6\n")
  cameras = [
    {
      "video": f"{name}.mp4",
      "intrinsics": intrinsics,
      "camera_from_world": pose,
      "first_frame": 1,
      "image_size": [16, 16],
      "distortion": [0, 0],
    }
    for name in names
  ]
  content = {
    "class_names": ["walk", "run"],
    "recordings": [
      {
        "name": "one",
        "split": "train",
        "class": "walk",
        "caption": "x",
        "cameras": cameras[:2],
        "track": [[0, 1, 2], None, [3, None, 4.5]],
      },
      {
        "name": "two",
        "split": "test",
        "class": "run",
        "cameras": cameras[2:],
        "track": "t.csv",
      },
    ],
  }
  return json.dumps(content).encode()


def read_calibration(folder, data):
  from data_gen.footage import calibration

  (folder / "c.json").write_bytes(data)
  calibration.read_calibration(folder / "c.json")


def read_track(folder, data):
  from data_gen.files.json_fields import JsonField
  from data_gen.footage import tracks

  (folder / "t.csv").write_bytes(data)
  tracks.read_track(JsonField("t.csv", "track", folder / "c.json"))


def prepare_track(folder):
  return [
    b"x,y,z\n1,2,3\n4,,6\n",
    b"1,2,3\n1e3,-.5,nan\n",
    b"\xef\xbb\xbft,z,y,x\r\n0,1,2,3\r\n\r\n",
  ]
