"""The training loop and its stages: states, steps, losses."""
