"""The stages of a run and its work folder."""
