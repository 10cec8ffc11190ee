"""Renders moving solids from several cameras and writes TFRecords."""
