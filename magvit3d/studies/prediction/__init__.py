"""Ways to go on with a clip, on the same tokens, in one table."""
