"""Runs that ask what networks understand; see `study_stages`."""
