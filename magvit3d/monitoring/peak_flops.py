"""Peak FLOP/s of accelerators, from their makers' data sheets.

Dense figures: where a sheet gives them "with sparsity", half of that. Matrix
units with float32 sums, but for "float32" on GPUs, which is that of the
ordinary cores. One `jax.Device`, that is one chip (TPU v4 and v5p: both cores).
"""

from collections.abc import Mapping

_TERA = 1e12
# device_kind as JAX gives it: TFLOP/s by the format of the products.
_A100 = {"bfloat16": 312.0, "tf32": 156.0, "float32": 19.5}
_PEAKS: Mapping[str, Mapping[str, float]] = {
  # NVIDIA A100 Tensor Core GPU data sheet.
  "NVIDIA A100-SXM4-40GB": _A100,
  "NVIDIA A100-SXM4-80GB": _A100,
  "NVIDIA A100-PCIE-40GB": _A100,
  "NVIDIA A100 80GB PCIe": _A100,
  # NVIDIA H100 Tensor Core GPU data sheet: SXM, NVL; the PCIe card's is from
  # its earlier edition.
  "NVIDIA H100 80GB HBM3": {"bfloat16": 989.5, "tf32": 494.5, "float32": 67.0},
  "NVIDIA H100 NVL": {"bfloat16": 835.5, "tf32": 417.5, "float32": 60.0},
  "NVIDIA H100 PCIe": {"bfloat16": 756.5, "tf32": 378.0, "float32": 51.0},
  # NVIDIA H200 Tensor Core GPU data sheet: SXM, NVL.
  "NVIDIA H200": {"bfloat16": 989.5, "tf32": 494.5, "float32": 67.0},
  "NVIDIA H200 NVL": {"bfloat16": 835.5, "tf32": 417.5, "float32": 60.0},
  # NVIDIA Blackwell Architecture Technical Brief: HGX B200, per GPU.
  "NVIDIA B200": {"bfloat16": 2250.0, "tf32": 1100.0, "float32": 80.0},
  # NVIDIA L4 Tensor Core GPU data sheet.
  "NVIDIA L4": {"bfloat16": 121.0, "tf32": 60.0, "float32": 30.3},
  # NVIDIA Ada GPU Architecture white paper, appendix A.
  "NVIDIA GeForce RTX 4090": {
    "bfloat16": 165.2,
    "tf32": 82.6,
    "float32": 82.6,
  },
  # Google Cloud TPU documentation, "Peak compute per chip (bf16)".
  "TPU v4": {"bfloat16": 275.0},
  "TPU v5 lite": {"bfloat16": 197.0},
  "TPU v5e": {"bfloat16": 197.0},
  "TPU v5": {"bfloat16": 459.0},
  "TPU v5p": {"bfloat16": 459.0},
  "TPU v6 lite": {"bfloat16": 918.0},
  "TPU v6e": {"bfloat16": 918.0},
}
# Formats in which JAX multiplies float32 at a matmul precision; 'bfloat16' is
# its fastest, whatever the device does then (`jax.lax.Precision`).
_FASTEST = (None, "default", "fastest", "bfloat16")
_GPU_FORMATS = {
  **dict.fromkeys(_FASTEST, "tf32"),
  "high": "tf32",
  "tensorfloat32": "tf32",
  "highest": "float32",
  "float32": "float32",
}
_TPU_FORMATS = dict.fromkeys(_FASTEST, "bfloat16")


def find(
  device_kind: str, dtype: str, matmul_precision: str | None = None
) -> float | None:
  """Returns the peak FLOP/s of one device, or None if it is not known.

  Args:
    device_kind: `jax.Device.device_kind`.
    dtype: Of the computation: 'float32' or 'bfloat16'.
    matmul_precision: `jax_default_matmul_precision`: of float32 alone. JAX's
      default multiplies in TF32 on these GPUs and in bfloat16 on TPUs.
  """
  formats = _TPU_FORMATS if device_kind.startswith("TPU") else _GPU_FORMATS
  product = dtype if dtype == "bfloat16" else formats.get(matmul_precision)
  peak = _PEAKS.get(device_kind, {}).get(product)
  return None if peak is None else peak * _TERA
