"""Video tokens for 3D motion: MAGVIT re-implemented in JAX and Flax."""

__version__ = "0.1.0"
