"""Saved states of training, and what they belong to."""
