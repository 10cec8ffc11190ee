"""Package metadata and optional dependencies."""

import setuptools

setuptools.setup(
  name="magvit3d",
  version="0.1.0",
  description=(
    "MAGVIT in JAX/Flax: 3D-VQ video tokens and a masked transformer that "
    "learn 3D motion from several cameras, measured in metres."
  ),
  packages=setuptools.find_packages(
    include=["magvit3d*", "configs", "data_gen*"]
  ),
  package_data={
    "data_gen.previews": ["*.html", "*.css", "*.js"],
    "magvit3d.pretrained": ["*/*.json", "*/*.md", "*/*.safetensors"],
    "magvit3d.report": ["*.html", "*.css", "*.js"],
  },
  python_requires=">=3.11,<3.14",
  install_requires=[
    "absl-py>=2.1",
    "chex>=0.1.90",
    "crc32c>=2.7",
    "flax>=0.12",
    "fsspec>=2024.6",
    "grain>=0.2.15",
    "jax>=0.10",
    "jaxtyping>=0.3",
    "matplotlib>=3.9",
    "ml_collections>=1.1",
    "msgpack>=1.0.8",
    "numpy>=2.0",
    "optax>=0.2.6",
    "orbax-checkpoint>=0.11.32",
    "pillow>=11.0",
    "safetensors>=0.5",
    "scipy>=1.11",
    "tensorboardX>=2.6.4",
    "tensorflow-datasets>=4.9.9",
    "tqdm>=4.66",
  ],
  extras_require={
    "cuda12": ["jax[cuda12]"],
    "cuda13": ["jax[cuda13]"],
    "tpu": ["jax[tpu]"],
    # mediapy writes with the program ffmpeg, where it is there; av needs none.
    "video": ["av>=15.1", "mediapy>=1.2"],
    # To render on many machines. It wants an older protobuf than the others.
    "beam": ["apache-beam>=2.77"],
    # To prepare UCF-101 and BAIR; reading them needs no TensorFlow.
    "tfds-tf": ["tensorflow>=2.20", "tensorflow-datasets>=4.9.9"],
    # TensorFlow is here only to read our records as an independent reference.
    "dev": [
      "av>=15.1",
      "beartype>=0.20",
      "hypothesis>=6.100",
      "pytest>=8.3",
      "pytest-xdist>=3.6",
      "ruff>=0.14",
      "tensorflow-cpu>=2.20; sys_platform == 'linux' "
      "and platform_machine == 'x86_64'",
      "tensorflow>=2.20; sys_platform != 'linux' "
      "or platform_machine != 'x86_64'",
    ],
  },
)
