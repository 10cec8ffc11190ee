"""Networks: plain modules; some can be made from a section of the config."""
