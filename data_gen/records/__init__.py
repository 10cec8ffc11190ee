"""Scenes as records: features, file formats, shards, and reading by number."""
