"""Trained networks in use: clips that they make, and files of them."""
