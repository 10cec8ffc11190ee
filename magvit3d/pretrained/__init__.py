"""Trained networks that come with the package: a folder each, with its card.

`magvit3d.ship` writes them, `magvit3d.inference.shipped_models` reads them.
"""
