"""Images of handwritten digits that come with the package.

UCI's Optical Recognition of Handwritten Digits (CC BY 4.0); source and licence
are in ATTRIBUTION.md.
"""

import pathlib

import numpy as np

_PATH = pathlib.Path(__file__).parent / "digits.npz"
_LARGEST = 16


def load() -> np.ndarray:
  """Returns all images, float32 (1797, 8, 8), in [0, 1]."""
  with np.load(_PATH) as arrays:
    return arrays["images"].astype(np.float32) / np.float32(_LARGEST)
