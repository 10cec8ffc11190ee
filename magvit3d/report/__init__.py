"""Pages about runs: the report of one, and several side by side."""
