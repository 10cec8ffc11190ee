"""Probes: what little effort reads off frozen tokens and features."""
