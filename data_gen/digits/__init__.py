"""Clips of moving digits, and the images of digits they are made of."""
