"""Folders and prepared data sets of videos."""
