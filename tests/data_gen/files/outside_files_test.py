"""Files of others: pipes, devices, archives and pictures that are bombs."""

import io
import os
import socket
import struct
import tracemalloc
import zipfile

import numpy as np
import pytest
from PIL import Image

from data_gen.errors import DataError
from data_gen.files import array_files, json_files, pictures, plain_files
from data_gen.files.folder_contents import walk
from data_gen.files.video_files import VideoFile, import_av
from data_gen.footage.calibration import read_calibration
from data_gen.records.scene_source import read_manifest


def _pipe(path):
  os.mkfifo(path)


def _socket(path):
  with socket.socket(socket.AF_UNIX) as one:
    one.bind(str(path))


def _device(path):
  path.symlink_to("/dev/zero")


@pytest.mark.parametrize("make", [_pipe, _socket, _device])
def test_what_is_no_file_is_not_waited_for(tmp_path, monkeypatch, make):
  monkeypatch.chdir(tmp_path)  # Sockets have short names.
  make(tmp_path.relative_to(tmp_path) / "manifest.json")
  with pytest.raises(DataError, match=r"manifest\.json.*pipe, socket or dev"):
    read_manifest(tmp_path)
  with pytest.raises(DataError, match="pipe, socket or device"):
    read_calibration(tmp_path / "manifest.json")
  with pytest.raises(pictures.PictureError, match="pipe, socket or device"):
    pictures.read(tmp_path / "manifest.json")
  with pytest.raises(OSError, match="pipe, socket or device"):
    array_files.open_npz(tmp_path / "manifest.json")


def test_a_pipe_is_no_video(tmp_path):
  import_av()
  os.mkfifo(tmp_path / "a.mp4")
  with pytest.raises(DataError, match=r"a\.mp4 .*pipe, socket or device"):
    VideoFile(tmp_path / "a.mp4", 0)


def test_a_playlist_is_no_video(tmp_path):
  import_av()
  (tmp_path / "a.mp4").write_text("ffconcat version 1.0\nfile '/etc/passwd'\n")
  with pytest.raises(DataError, match=r"a\.mp4 cannot be read as a video"):
    VideoFile(tmp_path / "a.mp4", 0)


def test_files_larger_than_they_may_be_are_not_read(tmp_path):
  path = tmp_path / "a"
  with path.open("wb") as file:
    file.truncate(2**40)
  with pytest.raises(OSError, match="1048576 MiB, where at most 1 MiB"):
    plain_files.read_bytes(path, 2**20)


@pytest.mark.parametrize("name", ["../a", "/etc/passwd", "", "..", "a\0b", "l"])
def test_names_that_lead_out_are_refused(tmp_path, name):
  (tmp_path / "in").mkdir()
  (tmp_path / "a").touch()
  (tmp_path / "in" / "l").symlink_to(tmp_path / "a")
  with pytest.raises(ValueError, match="leads out of"):
    plain_files.inside(tmp_path / "in", name)
  assert plain_files.inside(tmp_path / "in", "b").parent == tmp_path / "in"


@pytest.mark.parametrize(
  ("text", "reason"),
  [
    ("[" * 100_000, "nested"),
    ("[" * 65 + "]" * 65, "nested"),
    ('{"a": 1, "a": 2}', "'a' twice"),
    ('{"a": "\\ud800"}', "half of a letter"),
    ('{"a": ' + "9" * 41 + "}", "41 digits"),
    ('{"a": ' + "9" * 5000 + "}", "5000 digits"),
    ("[1]", "Expected `object`"),
    ("{}, {}", "Extra data"),
    ("[" + "[]," * 2**20 + "1]", "more than 1048576 lists"),
  ],
)
def test_json_of_others_is_refused_in_words(tmp_path, text, reason):
  path = tmp_path / "a.json"
  path.write_text(text)
  with pytest.raises(json_files.JsonError, match=reason):
    json_files.read(path)


def test_json_keeps_what_old_runs_wrote():
  found = json_files.parse(
    b'\xef\xbb\xbf{"a": NaN, "b": 340282366920938463463}'
  )
  assert np.isnan(found["a"])
  assert found["b"] == 340282366920938463463


def _header(shape, descr="|u1", length=None):
  text = str({"descr": descr, "fortran_order": False, "shape": shape}).encode()
  text += b" " * (117 - len(text)) + b"\n"
  packed = struct.pack("<H", len(text) if length is None else length)
  return b"\x93NUMPY\x01\x00" + packed + text


def _write(path, **members):
  with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
    for name, data in members.items():
      archive.writestr(f"{name}.npy", data)


def test_arrays_are_looked_at_before_they_are_read(tmp_path):
  path = tmp_path / "a.npz"
  _write(path, a=_header((2**28,)) + bytes(2**28), b=_header((3,)) + b"abc")
  tracemalloc.start()
  try:
    found = array_files.open_npz(path)
    with pytest.raises(
      array_files.ArrayFileError, match="256 MiB, where at mo"
    ):
      array_files.check_size(found, 2**20)
    assert bytes(np.asarray(found["b"])) == b"abc"
    assert tracemalloc.get_traced_memory()[1] < 2**24
  finally:
    tracemalloc.stop()
  assert found["a"].shape == (2**28,)


@pytest.mark.parametrize(
  ("data", "reason"),
  [
    (_header((2**40,)) + b"abc", "where its header says"),
    (_header((3,)) + b"abcd", "where its header says"),
    (_header((-3,)) + b"abc", "the shape"),
    (_header((True,)) + b"a", "the shape"),
    (_header((3,), length=2**16 - 1) + b"abc", "header of 65535 bytes"),
    (
      b"\x93NUMPY\x02\x00" + struct.pack("<I", 2**31) + bytes(2**24),
      "header of 2147483648 bytes",
    ),
    (b"", "magic"),
  ],
)
def test_headers_that_cannot_be_are_refused(tmp_path, data, reason):
  _write(tmp_path / "a.npz", a=data)
  with pytest.raises(array_files.ArrayFileError, match=reason):
    array_files.open_npz(tmp_path / "a.npz")


def test_no_pickle_is_opened(tmp_path):
  np.savez(tmp_path / "a.npz", a=np.array([{}, {}], object))
  found = array_files.open_npz(tmp_path / "a.npz")
  assert found["a"].dtype == object
  with pytest.raises(array_files.ArrayFileError, match="type object"):
    np.asarray(found["a"])


def test_arrays_are_read_as_numpy_does(tmp_path):
  arrays = {
    "a": np.arange(6.0).reshape(2, 3),
    "b": np.asfortranarray(np.arange(6).reshape(2, 3)),
    "c": np.array(["x", "longer"]),
    "d": np.array(3, np.uint8),
    "e": np.zeros((0, 4), np.float32),
  }
  np.savez_compressed(tmp_path / "a.npz", **arrays)
  found = array_files.open_npz(tmp_path / "a.npz")
  assert list(found) == list(arrays)
  for key, array in arrays.items():
    read = np.asarray(found[key])
    np.testing.assert_array_equal(read, array)
    assert (read.dtype, read.shape) == (array.dtype, array.shape)


def test_single_arrays_are_read_as_numpy_does(tmp_path):
  path = tmp_path / "a.npy"
  for array in (
    np.arange(24, dtype=np.uint8).reshape(2, 3, 4),
    np.asfortranarray(np.arange(6.0).reshape(2, 3)),
    np.float32(3).reshape(()),
    np.zeros((0, 2), np.int64),
  ):
    np.save(path, array)
    found = array_files.read_npy(path)
    np.testing.assert_array_equal(found, array)
    assert (found.dtype, found.shape) == (array.dtype, array.shape)


@pytest.mark.parametrize(
  ("data", "reason"),
  [
    (b"", "magic"),
    (_header((99999999, 99999999)), "where its header says 9999999800000129"),
    (_header((3,)) + b"\0\0", "where its header says"),
    (_header((1,), "|O") + bytes(8), "which is not read"),
  ],
)
def test_single_arrays_are_looked_at_before_they_are_read(
  tmp_path, data, reason
):
  path = tmp_path / "a.npy"
  path.write_bytes(data)
  tracemalloc.start()
  with pytest.raises(array_files.ArrayFileError, match=reason):
    array_files.read_npy(path)
  # 10**16 bytes are told of; pytest takes a MiB.
  assert tracemalloc.get_traced_memory()[1] < 2**23
  tracemalloc.stop()


def _png(width, height):
  file = io.BytesIO()
  Image.new("L", (1, 1)).save(file, format="PNG")
  data = file.getvalue()
  size = struct.pack(">II", width, height)
  import zlib

  chunk = b"IHDR" + size + data[24:29]
  check = struct.pack(">I", zlib.crc32(chunk))
  return data[:12] + chunk + check + data[33:]


def test_pictures_are_looked_at_before_they_are_decoded():
  with pytest.raises(pictures.PictureError, match="6000 x 6000 pixels"):
    pictures.read(_png(6000, 6000))
  with pytest.raises(pictures.PictureError, match=r"where \(2, 2\) are"):
    pictures.read(_png(1, 1), size=(2, 2))
  assert pictures.read(_png(1, 1)).size == (1, 1)


def test_no_other_program_decodes_a_picture(tmp_path):
  text = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\nshowpage\n"
  (tmp_path / "a.png").write_bytes(text)
  with pytest.raises(pictures.PictureError, match="no PNG or JPEG"):
    pictures.read(tmp_path / "a.png")


def test_folders_are_walked_once(tmp_path):
  (tmp_path / "a" / "b").mkdir(parents=True)
  (tmp_path / "a" / "c.mp4").touch()
  found = [path.name for children in walk(tmp_path) for path in children]
  assert sorted(found) == ["a", "b", "c.mp4"]
  (tmp_path / "a" / "b" / "round").symlink_to(tmp_path / "a")
  with pytest.raises(DataError, match=r"round is the same folder as .*a, by a"):
    list(walk(tmp_path))
