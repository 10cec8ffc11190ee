"""Trained networks in use: on arrays, on users' videos and scenes."""
