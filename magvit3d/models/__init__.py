"""Networks: plain modules that never see the config."""
