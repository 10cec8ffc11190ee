"""For tools that still call setup.py: all metadata are in pyproject.toml."""

import setuptools

setuptools.setup()
