"""Scores by networks that others trained."""
