"""What the programs share: flags, messages, signals, JAX's settings."""
