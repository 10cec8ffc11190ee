"""The parts of the evaluate stage, each of which adds to the results."""
