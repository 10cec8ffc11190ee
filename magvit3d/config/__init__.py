"""The fields of a config: checks, and what they mean."""
