"""Four extractors of features, and what they tell of motion and path."""
