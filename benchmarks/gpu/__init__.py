"""Programs of `launch/gpu_check.sh`, one for each of its steps.

docs/gpu.md says how to run them and what came out.
"""
