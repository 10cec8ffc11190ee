"""Reading records and feeding clips to training."""
