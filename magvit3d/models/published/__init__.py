"""Networks that others trained, for losses and metrics."""
