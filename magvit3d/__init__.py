"""Video tokens for 3D motion: MAGVIT re-implemented in JAX and Flax."""
