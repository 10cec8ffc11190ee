"""Many runs, and runs on clusters: sweeps, Slurm, TPU pods, containers."""
