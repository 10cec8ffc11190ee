"""Solids, cameras, light: what a camera sees of objects at a time."""
