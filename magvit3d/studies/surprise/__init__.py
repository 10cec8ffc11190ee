"""Whether networks that are there notice the impossible."""
