"""The training loop and what it needs: states, steps, losses, checkpoints."""
