"""Calibrated videos of several cameras as scenes."""
