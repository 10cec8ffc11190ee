"""Scores of held-out clips, in pixels, tokens and metres."""
