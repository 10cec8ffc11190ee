"""Trained networks that come with the package: a folder each, with its card.

`magvit3d.exports.ship` writes them, `magvit3d.pretrained.shipped` reads them.
"""
