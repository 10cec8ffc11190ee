"""The fields of a config: types, choices, ranges and defaults."""
