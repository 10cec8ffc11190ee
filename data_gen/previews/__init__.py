"""Pictures and pages of rendered data sets; see `data_gen.preview`."""
