"""Experiments: one file each, every field written out."""
