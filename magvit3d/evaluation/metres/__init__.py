"""Paths in metres from what several cameras see."""
